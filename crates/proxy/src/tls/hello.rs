//! What can be read of TLS that is passed through: the client's first message (RFC 8446 §4.1.2).

use rustls::server::Acceptor;

use super::headers::hex;

/// The beginning of a connection, as TLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// It may be TLS; more bytes are needed.
    Awaited,
    /// It is no TLS, or none that anybody speaks today.
    None,
    /// The client's first message is there.
    Said {
        /// The name it asks for (SNI).
        name: Option<String>,
        /// The session it wants to resume, in upper-case hexadecimal; TLS 1.3 has something random there.
        session: String,
    },
}

/// Where a session stands in the first message: behind the headers of record and message (5 and 4 bytes), version and random
/// (2 and 32).
const SESSION: usize = 43;

/// Longest first message, and most records it comes in. Those of today have some 2 KB in one; what is larger is not looked at.
const LONGEST: usize = 16 * 1024;
const MOST_RECORDS: usize = 16;

/// RFC 8446 §5.1.
const RECORD_HEADER: usize = 5;
const HANDSHAKE: u8 = 22;

/// Reads what a client has sent first. Only a message that is all there is taken apart, however its bytes come in.
pub(crate) fn read(bytes: &[u8]) -> Hello {
    let end = match end_of_message(bytes) {
        End::At(end) => end,
        End::Awaited => return Hello::Awaited,
        End::None => return Hello::None,
    };
    let mut acceptor = Acceptor::default();
    let mut rest = bytes.get(..end).unwrap_or(bytes);
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return Hello::None;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let session = bytes.get(SESSION + 1..).unwrap_or_default();
                let length = bytes.get(SESSION).copied().unwrap_or(0);
                let session = session.get(..length.into()).unwrap_or_default();
                return Hello::Said {
                    name: accepted.client_hello().server_name().map(str::to_owned),
                    session: hex(session),
                };
            }
            Ok(None) => {}
            Err(_) => return Hello::None,
        }
    }
    Hello::None
}

/// Where the records of the first message end.
enum End {
    At(usize),
    Awaited,
    None,
}

fn end_of_message(bytes: &[u8]) -> End {
    let (mut at, mut message, mut wanted) = (0, 0, None);
    for _ in 0..MOST_RECORDS {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.first().is_some_and(|kind| *kind != HANDSHAKE) {
            return End::None;
        }
        let Some((&[_, _, _, high, low], body)) = rest.split_first_chunk::<RECORD_HEADER>() else {
            return End::Awaited;
        };
        let length = usize::from(high) << 8 | usize::from(low);
        if length > LONGEST {
            return End::None;
        }
        if wanted.is_none() {
            // RFC 8446 §4: the message's own length is in its first record, unless somebody plays with them.
            let Some(&[_, a, b, c]) = body.first_chunk::<4>() else {
                return if length < 4 { End::None } else { End::Awaited };
            };
            wanted = Some(4 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)));
        }
        at += RECORD_HEADER + length;
        message += length;
        match wanted {
            Some(wanted) if wanted > LONGEST || at > 2 * LONGEST => return End::None,
            _ if at > bytes.len() => return End::Awaited,
            Some(wanted) if message >= wanted => return End::At(at),
            _ => {}
        }
    }
    End::None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;
    use crate::tls::provider;

    /// The first message of a client that asks for `name`.
    fn first_of(name: &str) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = name.to_owned().try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn names_are_read_once_the_message_is_there() {
        let bytes = first_of("shop.example");
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Hello::Awaited, "{end} of {}", bytes.len());
        }
        // Whatever follows.
        for behind in [&b""[..], b"more", &vec![0; 100_000]] {
            let Hello::Said { name, session } = read(&[&bytes, behind].concat()) else {
                panic!("no message")
            };
            assert_eq!(name.as_deref(), Some("shop.example"));
            assert_eq!(session.len(), 64);
        }
        let Hello::Said { name, .. } = read(&first_of("192.0.2.1")) else { panic!("no message") };
        assert_eq!(name, None);
    }

    #[test]
    fn a_message_may_come_in_a_few_records() {
        let whole = first_of("shop.example");
        let in_records = |size: usize| {
            let records = whole[RECORD_HEADER..].chunks(size);
            let record =
                |body: &[u8]| [&[HANDSHAKE, 3, 1, (body.len() >> 8) as u8, body.len() as u8], body].concat();
            records.map(record).collect::<Vec<_>>().concat()
        };
        let bytes = in_records(whole.len() / 10);
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Hello::Awaited, "{end} of {}", bytes.len());
        }
        let Hello::Said { name, .. } = read(&bytes) else { panic!("no message") };
        assert_eq!(name.as_deref(), Some("shop.example"));
        // Who sends a byte at a time buys no work by it.
        assert_eq!(read(&in_records(1)), Hello::None);
    }

    #[test]
    fn what_is_no_tls_is_not_waited_for() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x16\x03\x01\xff\xff",
            b"\x80\x2e\x01\x03\x01",
            &vec![0; 70_000],
        ] {
            assert_eq!(read(bytes), Hello::None, "{:?}", &bytes[..bytes.len().min(20)]);
        }
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let whole = first_of("shop.example");
        for _ in 0..10_000 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(..=whole.len()));
            let _ends = read(&bytes);
        }
    }
}
