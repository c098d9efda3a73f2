//! The key of transparent session cookies: secret text in, 32 bytes out.
//!
//! Every traffic manager of a cluster needs the same key, or a client that reaches another one loses its
//! session. Without a secret a fixed key is used: the cluster then agrees, but whoever reads this file can
//! tell which cookie names which node and choose a node at will. It gives no access to anything else.

use std::{fs::File, io::Read, path::Path};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::settings::SessionKeySource;

/// Largest secret, bytes.
const MAX_SECRET: u64 = 4096;
/// Least secret worth the name, bytes.
const MIN_SECRET: usize = 16;
/// Separates this use of a secret from any other.
const LABEL: &[u8] = b"tidegate session key 1";
/// Stands in for a secret that was not given.
const NO_SECRET: &[u8] = b"no secret was given";

/// A session key and what to tell the operator of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SessionKey {
    /// Key for the data path.
    pub(crate) key: [u8; 32],
    /// A warning, if one is due.
    pub(crate) warning: Option<&'static str>,
}

/// The key of `source`, with the file read where one is named. The error is for the operator.
pub(crate) fn load(source: &SessionKeySource) -> Result<SessionKey, String> {
    match source {
        SessionKeySource::File(path) => {
            let secret = read(path).map_err(|error| {
                format!("the session key file {} cannot be read: {error}", path.display())
            })?;
            from_secret(&secret).ok_or_else(|| format!("the session key file {} is empty", path.display()))
        }
        SessionKeySource::Text(text) => from_secret(text.as_bytes())
            .ok_or_else(|| "TIDEGATE_SESSION_KEY holds nothing but white space".to_owned()),
        SessionKeySource::Derived => Ok(SessionKey {
            key: derive(NO_SECRET),
            warning: Some(
                "no session key is set: transparent session cookies use a key anyone can derive, so clients can \
                 choose their node; set --session-key-file or TIDEGATE_SESSION_KEY to the same secret on every \
                 traffic manager",
            ),
        }),
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut secret = Vec::new();
    File::open(path)?.take(MAX_SECRET).read_to_end(&mut secret)?;
    Ok(secret)
}

/// `None` for a secret of nothing but white space; white space at the ends does not count, so that a final
/// newline in a file makes no difference.
fn from_secret(secret: &[u8]) -> Option<SessionKey> {
    let secret = secret.trim_ascii();
    let warning = (secret.len() < MIN_SECRET)
        .then_some("the session key is shorter than 16 bytes and may be guessed; use a longer secret");
    (!secret.is_empty()).then(|| SessionKey { key: derive(secret), warning })
}

fn derive(secret: &[u8]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(secret) {
        Ok(mut mac) => {
            mac.update(LABEL);
            mac.finalize().into_bytes().into()
        }
        // HMAC takes keys of any length.
        Err(_) => [0; 32],
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn file_and_text_agree_whatever_the_final_newline() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"correct horse battery staple\n").unwrap();
        let from_file = load(&SessionKeySource::File(file.path().to_owned())).unwrap();
        let from_text = load(&SessionKeySource::Text("correct horse battery staple".to_owned())).unwrap();
        assert_eq!(from_file, from_text);
        assert_eq!(from_file.warning, None);
    }

    #[test]
    fn without_a_secret_every_process_derives_the_same_key_and_says_so() {
        let first = load(&SessionKeySource::Derived).unwrap();
        assert_eq!(first, load(&SessionKeySource::Derived).unwrap());
        assert!(first.warning.is_some());
        assert_ne!(first.key, load(&SessionKeySource::Text("x".repeat(16))).unwrap().key);
    }

    #[test]
    fn an_empty_or_missing_secret_is_refused_and_a_short_one_warned_of() {
        assert!(load(&SessionKeySource::Text(" \n".to_owned())).is_err());
        assert!(load(&SessionKeySource::File("/nonexistent/key".into())).is_err());
        assert!(load(&SessionKeySource::Text("short".to_owned())).unwrap().warning.is_some());
    }
}
