//! LDAP messages (RFC 4511): questions as bytes, bytes as answers. Pure.

use tidegate_model::{Authenticator, directory::Filter};
use tidegate_trafficscript::host::DirectoryEntry;

use super::ber::{BOOLEAN, ENUMERATED, Elements, Fault, INTEGER, OCTETS, SEQUENCE, nest, number, put};

/// Attributes of an entry, and values of all of them, that a rule gets to see.
const MOST_ATTRIBUTES: usize = 1024;
const MOST_VALUES: usize = 16_384;

/// Entries that are asked for: one is a user, two are a fault.
const ENTRIES: u32 = 2;

const BIND: u8 = 0x60;
const BOUND: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const FOUND: u8 = 0x64;
const SEARCHED: u8 = 0x65;
const EXTENDED: u8 = 0x77;
const EXTENDED_DONE: u8 = 0x78;

/// Identity of the request for TLS (RFC 4511 §4.14.1).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// A message of this number around an operation.
fn message(id: u32, operation: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    nest(&mut out, SEQUENCE, |out| {
        number(out, INTEGER, id);
        operation(out);
    });
    out
}

/// Who asks, by name and password.
pub(super) fn bind(id: u32, name: &[u8], password: &[u8]) -> Vec<u8> {
    const VERSION: u32 = 3;
    message(id, |out| {
        nest(out, BIND, |out| {
            number(out, INTEGER, VERSION);
            put(out, OCTETS, name);
            put(out, 0x80, password);
        });
    })
}

/// The end of a conversation.
pub(super) fn unbind(id: u32) -> Vec<u8> {
    message(id, |out| put(out, UNBIND, &[]))
}

/// TLS from here on.
pub(super) fn start_tls(id: u32) -> Vec<u8> {
    message(id, |out| nest(out, EXTENDED, |out| put(out, 0x80, START_TLS)))
}

/// The search for a user, everywhere below the base, which the server may spend `seconds` on.
pub(super) fn search(id: u32, authenticator: &Authenticator, user: &[u8], seconds: u32) -> Vec<u8> {
    const WHOLE_SUBTREE: u32 = 2;
    const NEVER_DEREFERENCE: u32 = 0;
    message(id, |out| {
        nest(out, SEARCH, |out| {
            put(out, OCTETS, authenticator.base_dn.as_bytes());
            number(out, ENUMERATED, WHOLE_SUBTREE);
            number(out, ENUMERATED, NEVER_DEREFERENCE);
            number(out, INTEGER, ENTRIES);
            number(out, INTEGER, seconds);
            put(out, BOOLEAN, &[0]);
            filter(out, &authenticator.filter, user);
            nest(out, SEQUENCE, |out| {
                for attribute in &authenticator.attributes {
                    put(out, OCTETS, attribute.as_bytes());
                }
            });
        });
    })
}

/// A filter for a user. Its depth is bounded by whoever has read it.
fn filter(out: &mut Vec<u8>, given: &Filter, user: &[u8]) {
    let mut compare = |tag, attribute: &str, value: Vec<u8>| {
        nest(out, tag, |out| {
            put(out, OCTETS, attribute.as_bytes());
            put(out, OCTETS, &value);
        });
    };
    match given {
        Filter::Equal(attribute, value) => compare(0xa3, attribute, value.of(user)),
        Filter::AtLeast(attribute, value) => compare(0xa5, attribute, value.of(user)),
        Filter::AtMost(attribute, value) => compare(0xa6, attribute, value.of(user)),
        Filter::Like(attribute, value) => compare(0xa8, attribute, value.of(user)),
        Filter::Present(attribute) => put(out, 0x87, attribute.as_bytes()),
        Filter::And(filters) => {
            nest(out, 0xa0, |out| filters.iter().for_each(|each| filter(out, each, user)));
        }
        Filter::Or(filters) => {
            nest(out, 0xa1, |out| filters.iter().for_each(|each| filter(out, each, user)));
        }
        Filter::Not(inner) => nest(out, 0xa2, |out| filter(out, inner, user)),
        Filter::Parts { attribute, first, middle, last } => nest(out, 0xa4, |out| {
            put(out, OCTETS, attribute.as_bytes());
            nest(out, SEQUENCE, |out| {
                // Empty parts may not be sent.
                let mut part = |tag, value: Vec<u8>| {
                    if !value.is_empty() {
                        put(out, tag, &value);
                    }
                };
                part(0x80, first.of(user));
                for each in middle {
                    part(0x81, each.of(user));
                }
                part(0x82, last.of(user));
            });
        }),
        Filter::Rule { attribute, rule, of_name, value } => nest(out, 0xa9, |out| {
            if !rule.is_empty() {
                put(out, 0x81, rule.as_bytes());
            }
            if !attribute.is_empty() {
                put(out, 0x82, attribute.as_bytes());
            }
            put(out, 0x83, &value.of(user));
            if *of_name {
                put(out, 0x84, &[0xff]);
            }
        }),
    }
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// How a bind, a search or an extended operation ended.
    Done(Outcome),
    /// An entry of a search: its name, and what is known of it.
    Entry(Vec<u8>, DirectoryEntry),
    /// Something that does not matter here: a reference to another server.
    Other,
}

/// Result of an operation (RFC 4511 §4.1.9).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) code: u32,
    /// What the server adds for people.
    pub(super) text: String,
}

impl Outcome {
    pub(super) const SUCCESS: u32 = 0;
    pub(super) const SIZE_LIMIT: u32 = 4;
    pub(super) const INAPPROPRIATE: u32 = 48;
    pub(super) const INVALID_CREDENTIALS: u32 = 49;

    /// For people.
    pub(super) fn describe(&self) -> String {
        let name = match self.code {
            1 => "operations error",
            2 => "protocol error",
            3 => "time limit exceeded",
            4 => "size limit exceeded",
            8 => "stronger authentication required",
            10 => "referral to another server",
            11 => "administrative limit exceeded",
            13 => "confidentiality required",
            32 => "no such object",
            34 => "invalid name",
            48 => "inappropriate authentication",
            49 => "invalid credentials",
            50 => "insufficient access rights",
            51 => "busy",
            52 => "unavailable",
            53 => "unwilling to perform",
            _ => "another fault",
        };
        let text = if self.text.is_empty() { String::new() } else { format!(": {}", self.text) };
        format!("{name} (code {}){text}", self.code)
    }
}

/// Reads one message, to the question `id`.
pub(super) fn read(bytes: &[u8], id: u32) -> Result<Said, Fault> {
    let mut message = Elements(Elements(bytes).expect(SEQUENCE)?);
    let of = message.number(INTEGER)?;
    let (tag, content) = message.next()?.ok_or("a message is empty")?;
    let mut content = Elements(content);
    if of == 0 && tag == EXTENDED_DONE {
        return Err("the server ends the conversation");
    }
    if of != id {
        return Err("an answer belongs to no question");
    }
    match tag {
        BOUND | SEARCHED | EXTENDED_DONE => {
            /// Longest text of a server that is shown.
            const SHOWN: usize = 300;
            let code = content.number(ENUMERATED)?;
            content.expect(OCTETS)?;
            let text = content.expect(OCTETS)?;
            let text =
                String::from_utf8_lossy(text.get(..SHOWN).unwrap_or(text)).replace(char::is_control, " ");
            Ok(Said::Done(Outcome { code, text: text.trim().to_owned() }))
        }
        FOUND => entry(content),
        _ => Ok(Said::Other),
    }
}

fn entry(mut content: Elements<'_>) -> Result<Said, Fault> {
    const SET: u8 = 0x31;
    let name = content.expect(OCTETS)?.to_vec();
    let mut list = Elements(content.expect(SEQUENCE)?);
    let mut found = DirectoryEntry::default();
    let mut values = 0;
    while let Some((tag, attribute)) = list.next()? {
        if tag != SEQUENCE {
            return Err("an attribute is of another kind than it should be");
        }
        let mut attribute = Elements(attribute);
        let name = attribute.expect(OCTETS)?.to_vec();
        let mut set = Elements(attribute.expect(SET)?);
        let mut of_it = Vec::new();
        while let Some((_, value)) = set.next()? {
            values += 1;
            if values > MOST_VALUES {
                return Err("an entry has too many values; name those that are needed in ldap.attributes");
            }
            of_it.push(value.to_vec());
        }
        found.attributes.push((name, of_it));
        if found.attributes.len() > MOST_ATTRIBUTES {
            return Err("an entry has too many attributes; name those that are needed in ldap.attributes");
        }
    }
    Ok(Said::Entry(name, found))
}

#[cfg(test)]
mod tests {
    use tidegate_model::directory::DirectorySecurity;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn filter_hex(text: &str, user: &str) -> String {
        let mut out = Vec::new();
        filter(&mut out, &Filter::read(text).unwrap(), user.as_bytes());
        hex(&out)
    }

    #[test]
    fn questions() {
        assert_eq!(hex(&bind(1, b"cn=a", b"pw")), "3012020101600d0201030404636e3d6180027077");
        assert_eq!(hex(&unbind(3)), "30050201034200");
        assert_eq!(hex(&start_tls(1)), format!("301d02010177188016{}", hex(b"1.3.6.1.4.1.1466.20037")));
        let authenticator = Authenticator {
            name: "l".into(),
            host: "h".into(),
            port: 389,
            attributes: vec!["cn".into()],
            bind_dn: "".into(),
            bind_password: "".into(),
            filter: Filter::read("(uid=%u)").unwrap(),
            base_dn: "o=x".into(),
            security: DirectorySecurity::None,
            authority: None,
        };
        assert_eq!(
            hex(&search(2, &authenticator, b"*)", 10)),
            "302a02010263250403 6f3d78 0a01020a0100 020102 02010a 010100 a30904037569640402 2a29 30040402 636e"
                .replace(' ', "")
        );
    }

    #[test]
    fn filters() {
        for (text, user, expected) in [
            ("(a=%u)", "x", "a306 040161 040178"),
            ("(&(a=1)(!(b=*)))", "", "a00d a306 040161 040131 a203 870162"),
            ("(|(a>=1)(a<=2)(a~=3))", "", "a118 a506 040161 040131 a606 040161 040132 a806 040161 040133"),
            ("(a=x*%u*z)", "y", "a40e 040161 3009 800178 810179 82017a"),
            ("(a=x*%u*)", "", "a408 040161 3003 800178"),
            ("(a:dn:1.2:=%u)", "y", "a90e 8103312e32 820161 830179 8401ff"),
        ] {
            assert_eq!(filter_hex(text, user), expected.replace(' ', ""), "{text}");
        }
    }

    #[test]
    fn answers() {
        let done = |tag, code: u32, text: &str| {
            message(7, |out| {
                nest(out, tag, |out| {
                    number(out, ENUMERATED, code);
                    put(out, OCTETS, b"");
                    put(out, OCTETS, text.as_bytes());
                });
            })
        };
        for tag in [BOUND, SEARCHED, EXTENDED_DONE] {
            let said = Said::Done(Outcome { code: 49, text: "no\u{fffd} way".replace('\u{fffd}', " ") });
            assert_eq!(read(&done(tag, 49, "no\n way"), 7), Ok(said));
        }
        assert_eq!(read(&done(BOUND, 0, ""), 8), Err("an answer belongs to no question"));
        let outcome = Outcome { code: 32, text: "gone".to_owned() };
        assert_eq!(outcome.describe(), "no such object (code 32): gone");
        let entry = message(7, |out| {
            nest(out, FOUND, |out| {
                put(out, OCTETS, b"cn=a");
                nest(out, SEQUENCE, |out| {
                    nest(out, SEQUENCE, |out| {
                        put(out, OCTETS, b"mail");
                        nest(out, 0x31, |out| {
                            put(out, OCTETS, b"a@x");
                            put(out, OCTETS, b"\xff");
                        });
                    });
                });
            });
        });
        let attributes = vec![(b"mail".to_vec(), vec![b"a@x".to_vec(), vec![0xff]])];
        assert_eq!(read(&entry, 7), Ok(Said::Entry(b"cn=a".into(), DirectoryEntry { attributes })));
        assert_eq!(read(&message(7, |out| put(out, 0x73, b"")), 7), Ok(Said::Other));
        assert!(read(&message(0, |out| put(out, EXTENDED_DONE, b"")), 7).unwrap_err().contains("ends"));
    }

    #[test]
    fn garbage_is_no_panic() {
        const SEED: u64 = 11;
        println!("seed {SEED}");
        let mut random = fastrand::Rng::with_seed(SEED);
        let good = message(7, |out| {
            nest(out, FOUND, |out| {
                put(out, OCTETS, b"cn=a");
                nest(out, SEQUENCE, |out| nest(out, SEQUENCE, |out| put(out, OCTETS, b"mail")));
            });
        });
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
            bytes.truncate(random.usize(..=bytes.len()));
            drop(read(&bytes, 7));
        }
    }
}
