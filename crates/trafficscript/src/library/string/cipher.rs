//! Strings that only those who know a passphrase can read, and nobody else can change.
//!
//! ```text
//! version (1) │ salt (16) │ nonce (12) │ AES-256-GCM of the string, with its tag (16)
//! ```
//!
//! The key is PBKDF2-HMAC-SHA256 of the passphrase and the salt. The version is authenticated with the rest. What is made
//! are raw bytes; `string.base64encode` makes a cookie of them.

use std::num::NonZeroU32;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    pbkdf2,
};

use super::super::{Call, Function, Outcome, cost::PASSPHRASE, make::charge_work, row::works};
use crate::value::Value;

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("string.encrypt", "s, passphrase", (2, 2), "s encrypted and authenticated, raw bytes.", encrypt),
    works(
        "string.decrypt",
        "s, passphrase",
        (2, 2),
        "What string.encrypt was given; empty on any failure.",
        decrypt,
    ),
];

/// First byte of what is made here.
const VERSION: u8 = 1;
const SALT: usize = 16;
const TAG: usize = 16;
const KEY: usize = 32;
/// Bytes made besides the encrypted string itself.
const OVERHEAD: usize = 1 + SALT + NONCE_LEN + TAG;
/// Rounds of PBKDF2. A call stays below a millisecond; a passphrase must have entropy of its own, as a cookie's key has.
const ROUNDS: NonZeroU32 = NonZeroU32::new(1000).unwrap();
/// Bytes that making a key is accounted for: as much time as handling these takes.
const KEY_WORK: usize = 512 << 10;

/// `string.encrypt(s, passphrase)` → 45 bytes more than s. Another result every time: salt and nonce are random.
fn encrypt<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, passphrase) = (call.text(0)?, call.text(1)?);
    charge_work(call, KEY_WORK.saturating_add(passphrase.len().saturating_mul(PASSPHRASE)))?;
    call.charge(text.len().saturating_add(OVERHEAD))?;
    let mut salt = [0; SALT];
    let mut nonce = [0; NONCE_LEN];
    call.host.secret_bytes(&mut salt);
    call.host.secret_bytes(&mut nonce);
    let mut sealed = text.to_vec();
    let tag = key(&passphrase, &salt).and_then(|key| {
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_separate_tag(nonce, Aad::from([VERSION]), &mut sealed).ok()
    });
    let Some(tag) = tag else {
        call.warn("string.encrypt: the string cannot be encrypted")?;
        return Ok(Value::EMPTY);
    };
    let mut made = Vec::with_capacity(sealed.len() + OVERHEAD);
    made.push(VERSION);
    made.extend(salt);
    made.extend(nonce);
    made.extend(sealed);
    made.extend(tag.as_ref());
    Ok(Value::from(made))
}

/// `string.decrypt(s, passphrase)` → what was encrypted; the empty string if s was not made by `string.encrypt`, was
/// changed, or the passphrase is another.
fn decrypt<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, passphrase) = (call.text(0)?, call.text(1)?);
    if text.len() < OVERHEAD {
        return Ok(Value::EMPTY);
    }
    charge_work(call, KEY_WORK.saturating_add(passphrase.len().saturating_mul(PASSPHRASE)))?;
    call.charge(text.len())?;
    Ok(opened(&text, &passphrase).map_or(Value::EMPTY, Value::from))
}

fn opened(text: &[u8], passphrase: &[u8]) -> Option<Vec<u8>> {
    let (version, rest) = text.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (salt, rest) = rest.split_first_chunk::<SALT>()?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
    let mut sealed = rest.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key(passphrase, salt)?.open_in_place(nonce, Aad::from([VERSION]), &mut sealed).ok()?.len();
    sealed.truncate(length);
    Some(sealed)
}

fn key(passphrase: &[u8], salt: &[u8]) -> Option<LessSafeKey> {
    let mut key = [0; KEY];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, passphrase, &mut key);
    UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::super::super::{
        Interrupt,
        trial::{Trial, v},
    };
    use crate::value::Value;

    fn bytes(value: &Value<'static>) -> Vec<u8> {
        match value {
            Value::Text(text) => text.to_vec(),
            other => panic!("no text: {other:?}"),
        }
    }

    #[test]
    fn what_is_encrypted_comes_back() {
        for text in [&b""[..], b"user=7", b"\0\xff", &[7; 5000]] {
            let mut trial = Trial::new();
            let sealed = trial.call("string.encrypt", v![text, "open sesame"]).unwrap();
            assert_eq!(bytes(&sealed).len(), text.len() + super::OVERHEAD);
            let opened = trial.call("string.decrypt", v![sealed.clone(), "open sesame"]).unwrap();
            assert_eq!(bytes(&opened), text);
            assert_eq!(trial.shown("string.decrypt", v![sealed, "other"]), "\"\"");
        }
    }

    #[test]
    fn the_same_string_encrypts_differently_every_time() {
        let mut trial = Trial::new();
        let first = trial.call("string.encrypt", v!["x", "p"]).unwrap();
        let second = trial.call("string.encrypt", v!["x", "p"]).unwrap();
        assert_ne!(bytes(&first), bytes(&second));
    }

    #[test]
    fn a_change_anywhere_gives_nothing() {
        let mut trial = Trial::new();
        let sealed = bytes(&trial.call("string.encrypt", v!["secret", "p"]).unwrap());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(Trial::new().shown("string.decrypt", v![&changed[..], "p"]), "\"\"", "byte {at}");
        }
        for end in [0, 1, 44, sealed.len() - 1] {
            assert_eq!(Trial::new().shown("string.decrypt", v![&sealed[..end], "p"]), "\"\"", "{end} bytes");
        }
        assert!(trial.log().is_empty());
    }

    #[test]
    fn the_passphrase_may_be_empty() {
        let mut trial = Trial::new();
        let sealed = trial.call("string.encrypt", v!["x", ""]).unwrap();
        assert_eq!(trial.shown("string.decrypt", v![sealed, ""]), "\"x\"");
    }

    #[test]
    fn many_keys_reach_a_limit() {
        let mut trial = Trial::new();
        let last = (0..1000).map(|_| trial.call("string.encrypt", v!["x", "p"])).find(Result::is_err);
        assert!(matches!(last, Some(Err(Interrupt::Abort(_)))));
    }
}
