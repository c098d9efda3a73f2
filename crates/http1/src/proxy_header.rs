//! The PROXY protocol, versions 1 and 2: who the client is when a balancer stands in front
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Longest header accepted, either version.
pub const LONGEST: usize = 4096;

/// Longest version 1 line (specification, section 2.1).
const LONGEST_LINE: usize = 107;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header says. `None`: the connection is the balancer's own (`LOCAL`, `UNKNOWN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client.
    pub source: Option<SocketAddr>,
    /// The address the client connected to.
    pub destination: Option<SocketAddr>,
}

/// The bytes are not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeaderError(&'static str);

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ProxyHeaderError {}

/// The header at the start of `bytes` and its length; `None` while it may still become one.
pub fn parse(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes.get(..common) == SIGNATURE.get(..common) {
        return binary(bytes);
    }
    let common = bytes.len().min(6);
    if bytes.get(..common) == b"PROXY ".get(..common) {
        return text(bytes);
    }
    Err(ProxyHeaderError("it does not begin with a PROXY header"))
}

fn text(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    let window = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if window.len() == LONGEST_LINE {
            Err(ProxyHeaderError("its PROXY line is too long"))
        } else {
            Ok(None)
        };
    };
    const MALFORMED: ProxyHeaderError = ProxyHeaderError("its PROXY line is malformed");
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(MALFORMED)?;
    let line = std::str::from_utf8(line).map_err(|_| MALFORMED)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Some((ProxyHeader { source: None, destination: None }, end + 1)));
    }
    let mut address = || words.next()?.parse::<IpAddr>().ok();
    let (source, destination) = (address().ok_or(MALFORMED)?, address().ok_or(MALFORMED)?);
    let mut port = || {
        let word = words.next()?;
        let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        word.parse::<u16>().ok().filter(|_| plain)
    };
    let (from, to) = (port().ok_or(MALFORMED)?, port().ok_or(MALFORMED)?);
    let fits = match family {
        Some("TCP4") => source.is_ipv4() && destination.is_ipv4(),
        Some("TCP6") => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    if !fits || words.next().is_some() {
        return Err(MALFORMED);
    }
    let header = ProxyHeader {
        source: Some(SocketAddr::new(source.to_canonical(), from)),
        destination: Some(SocketAddr::new(destination.to_canonical(), to)),
    };
    Ok(Some((header, end + 1)))
}

fn binary(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    let Some(&[command, family, high, low]) = bytes.get(12..16) else { return Ok(None) };
    let total = 16 + usize::from(u16::from_be_bytes([high, low]));
    if total > LONGEST {
        return Err(ProxyHeaderError("its PROXY header is too long"));
    }
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError("its PROXY header has an unknown version or command")),
    };
    let Some(body) = bytes.get(16..total) else { return Ok(None) };
    let none = ProxyHeader { source: None, destination: None };
    let header = match family {
        _ if local => none,
        0x11 => addresses::<4>(body)?,
        0x21 => addresses::<16>(body)?,
        // Unspecified, UDP and UNIX sockets: accepted, and tell nothing about a TCP client.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => none,
        _ => return Err(ProxyHeaderError("its PROXY header has an unknown address family")),
    };
    Ok(Some((header, total)))
}

/// Source and destination of `N` bytes each, then both ports.
fn addresses<const N: usize>(body: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    const SHORT: ProxyHeaderError = ProxyHeaderError("its PROXY header is too short for its addresses");
    let ip = |at: usize| -> Option<IpAddr> {
        let bytes = body.get(at..at + N)?;
        if N == 4 {
            Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)))
        } else {
            Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical())
        }
    };
    let port = |at: usize| Some(u16::from_be_bytes(<[u8; 2]>::try_from(body.get(at..at + 2)?).ok()?));
    let at = |address: usize, place: usize| Some(SocketAddr::new(ip(address)?, port(place)?));
    Ok(ProxyHeader {
        source: Some(at(0, 2 * N).ok_or(SHORT)?),
        destination: Some(at(N, 2 * N + 2).ok_or(SHORT)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<SocketAddr> {
        text.parse().ok()
    }

    #[test]
    fn version_1() {
        let good: [(&str, Option<&str>); 4] = [
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", Some("192.0.2.1:56324")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", Some("[2001:db8::1]:1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff:f...f:ffff 1 2\r\n", None),
        ];
        for (line, source) in good {
            for cut in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..cut]), Ok(None), "{line:?} cut at {cut}");
            }
            let (header, length) = parse(format!("{line}GET /").as_bytes()).expect(line).expect(line);
            assert_eq!((header.source, length), (source.and_then(address), line.len()));
        }
        for bad in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 70000\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
            "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse(format!("PROXY {}", "x".repeat(200)).as_bytes()).is_err());
    }

    #[test]
    fn version_2() {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[
            0x21, 0x11, 0, 15, 192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 1, 0xbb, 4, 0, 0,
        ]);
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        let (header, length) = parse(&bytes).expect("good").expect("whole");
        assert_eq!(header.source, address("192.0.2.1:56324"));
        assert_eq!(header.destination, address("198.51.100.2:443"));
        assert_eq!(length, bytes.len());
        bytes[12] = 0x20;
        assert_eq!(parse(&bytes).expect("local").expect("whole").0.source, None);
        bytes[12] = 0x31;
        assert!(parse(&bytes).is_err());
        bytes[12] = 0x21;
        bytes[15] = 4;
        assert!(parse(&bytes).is_err(), "too short for its addresses");
        bytes[14] = 0xff;
        assert!(parse(&bytes).is_err(), "too long");
    }
}
