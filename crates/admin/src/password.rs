//! The password of the user `admin`: where it comes from, and the hash that is kept of a generated one.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tracing::{info, warn};

use crate::files;

/// Longest password, bytes.
pub(crate) const MAX_PASSWORD: usize = 1024;
/// Least length that is not warned of, bytes.
const SHORT: usize = 8;
/// Bytes of salt.
const SALT: usize = 16;
/// File of the hash in the state directory.
const FILE: &str = "admin-password";

/// Letters and digits that are not taken for each other.
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const SYMBOLS: &[u8] =
    b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789!#%*+,-./:;<=>?@_~!#%*+,-./:;<=>?@_~";

/// Where the password comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// Given as it is.
    Text(String),
    /// The first line of a file.
    File(PathBuf),
    /// Made up at the first start and told once in the log.
    Generated(Strength),
}

/// What a generated password looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strength {
    /// 12 letters and digits.
    #[default]
    Random,
    /// 9 letters and digits.
    Simple,
    /// 16 characters, symbols among them.
    Strong,
}

impl fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Generated(strength) => f.debug_tuple("Generated").field(strength).finish(),
        }
    }
}

/// The argon2 hash of a password.
#[derive(Clone)]
pub(crate) struct Hash(String);

impl Hash {
    fn of(password: &[u8]) -> Result<Self, String> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(|error| format!("there are no random numbers: {error}"))?;
        let hash = Argon2::default()
            .hash_password_with_salt(password, &salt)
            .map_err(|error| format!("the password cannot be hashed: {error}"))?;
        Ok(Self(hash.to_string()))
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        PasswordHash::new(text).is_ok().then(|| Self(text.to_owned()))
    }

    /// Whether this is the password. Takes tens of milliseconds and 19 MiB by design.
    pub(crate) fn fits(&self, password: &[u8]) -> bool {
        let Ok(hash) = PasswordHash::new(&self.0) else { return false };
        Argon2::default().verify_password(password, &hash).is_ok()
    }
}

/// The hash of the password that `source` gives. A generated one is told once in the log; its hash is kept in
/// `directory`, so that it stays over restarts. Blocks.
///
/// # Errors
/// A sentence for the operator.
pub(crate) fn load(source: &PasswordSource, directory: Option<&Path>) -> Result<Hash, String> {
    match source {
        PasswordSource::Text(password) => given(password.as_bytes(), "the password of the REST interface"),
        PasswordSource::File(path) => {
            let what = format!("the password file {}", path.display());
            let text = files::read_text(path, MAX_PASSWORD as u64 + 2)
                .map_err(|error| format!("{what} cannot be read: {error}"))?
                .ok_or_else(|| format!("{what} is not there"))?;
            given(text.lines().next().unwrap_or_default().as_bytes(), &what)
        }
        PasswordSource::Generated(strength) => generated(*strength, directory),
    }
}

fn given(password: &[u8], what: &str) -> Result<Hash, String> {
    if password.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if password.len() > MAX_PASSWORD {
        return Err(format!("{what} has more than {MAX_PASSWORD} bytes"));
    }
    if password.len() < SHORT {
        warn!("{what} is shorter than {SHORT} characters and may be guessed");
    }
    Hash::of(password)
}

fn generated(strength: Strength, directory: Option<&Path>) -> Result<Hash, String> {
    let path = directory.map(|directory| directory.join(FILE));
    if let Some(path) = &path {
        match files::read_text(path, 4096) {
            Ok(Some(text)) => {
                if let Some(hash) = Hash::read(&text) {
                    return Ok(hash);
                }
                warn!("{} is no hash of a password; a new password is made", path.display());
            }
            Ok(None) => {}
            Err(error) => {
                warn!("{} cannot be read: {error}; a new password is made", path.display());
            }
        }
    }
    let password = random(strength)?;
    let hash = Hash::of(password.as_bytes())?;
    if let Some(path) = &path
        && let Err(error) = files::write(path, &[hash.0.as_bytes(), b"\n"])
    {
        warn!("{} cannot be written: {error}; the next start makes a new password", path.display());
    }
    // The words that scripts look for in the log of the container this follows.
    info!("Generated random password for vTM: {password}");
    Ok(hash)
}

fn random(strength: Strength) -> Result<String, String> {
    let (alphabet, length) = match strength {
        Strength::Random => (LETTERS, 12),
        Strength::Simple => (LETTERS, 9),
        Strength::Strong => (SYMBOLS, 16),
    };
    let limit = 256 / alphabet.len() * alphabet.len();
    let mut password = String::new();
    while password.len() < length {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).map_err(|error| format!("there are no random numbers: {error}"))?;
        // Beyond the last multiple of the alphabet some characters would be likelier than others.
        let even = bytes.into_iter().map(usize::from).filter(|byte| *byte < limit);
        let characters = even.map(|byte| char::from(alphabet[byte % alphabet.len()]));
        password.extend(characters.take(length - password.len()));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_passwords_fit_and_others_do_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret pass\n").unwrap();
        for source in
            [PasswordSource::Text("secret pass".to_owned()), PasswordSource::File(file.path().to_owned())]
        {
            let hash = load(&source, None).unwrap();
            assert!(hash.fits(b"secret pass") && !hash.fits(b"secret pass\n") && !hash.fits(b""));
            assert!(!format!("{source:?}").contains("secret pass"));
        }
        for source in [
            PasswordSource::Text(String::new()),
            PasswordSource::Text("x".repeat(MAX_PASSWORD + 1)),
            PasswordSource::File("/nonexistent/password".into()),
        ] {
            assert!(load(&source, None).is_err());
        }
    }

    #[test]
    fn a_generated_password_stays_over_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let source = PasswordSource::Generated(Strength::Simple);
        load(&source, Some(directory.path())).unwrap();
        let first = std::fs::read(directory.path().join(FILE)).unwrap();
        load(&source, Some(directory.path())).unwrap();
        assert_eq!(std::fs::read(directory.path().join(FILE)).unwrap(), first);
        assert!(first.starts_with(b"$argon2id$"));
    }

    #[test]
    fn generated_passwords_have_the_length_of_their_word() {
        for (strength, length) in [(Strength::Random, 12), (Strength::Simple, 9), (Strength::Strong, 16)] {
            let (a, b) = (random(strength).unwrap(), random(strength).unwrap());
            assert_eq!((a.len(), b.len()), (length, length));
            assert_ne!(a, b);
        }
    }
}
