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

/// Reads what a client has sent first.
pub(crate) fn read(bytes: &[u8]) -> Hello {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    loop {
        // Nothing more is taken where the message is complete, or larger than any may be.
        let taken = if rest.is_empty() { 0 } else { acceptor.read_tls(&mut rest).unwrap_or(0) };
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
            Ok(None) if taken == 0 => return if rest.is_empty() { Hello::Awaited } else { Hello::None },
            Ok(None) => {}
            Err(_) => return Hello::None,
        }
    }
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
