//! Session tickets with the lifetime of the global settings.
//!
//! rustls ties a ticket's lifetime to its key: keys are replaced every half lifetime and the one before is kept, so a
//! ticket is accepted for at least half of the lifetime and at most all of it. Keys are random, live in memory only
//! and are never shared between machines.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::{Error, TicketRotator, crypto::GetRandomFailed, server::ProducesTickets};

/// Bytes of a key's public name, which tells tickets of other keys apart without trying to open them.
const KEY_NAME: usize = 16;

/// Bytes of an AES-256 key.
const KEY: usize = 32;

/// Bytes of the authentication tag.
const TAG: usize = 16;

/// Tickets larger than this are not opened; the largest that can be made is a client's whole chain.
const MAX_TICKET: usize = 65_535;

/// RFC 8446, section 4.6.1: a ticket lives seven days at most.
const MAX_LIFETIME: Duration = Duration::from_hours(168);

/// Below this, keys would be replaced faster than clients can use tickets.
const MIN_LIFETIME: Duration = Duration::from_secs(2);

/// A ticketer whose tickets live `lifetime` at most (rounded to 2 s – 7 days).
pub(crate) fn ticketer(lifetime: Duration) -> Result<Arc<dyn ProducesTickets>, Error> {
    let half = lifetime.clamp(MIN_LIFETIME, MAX_LIFETIME).as_secs() / 2;
    Ok(Arc::new(TicketRotator::new(half as u32, sealer)?))
}

fn sealer() -> Result<Box<dyn ProducesTickets>, GetRandomFailed> {
    let mut name = [0; KEY_NAME];
    let mut key = [0; KEY];
    aws_lc_rs::rand::fill(&mut name).map_err(|_| GetRandomFailed)?;
    aws_lc_rs::rand::fill(&mut key).map_err(|_| GetRandomFailed)?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| GetRandomFailed)?;
    Ok(Box::new(Sealer { name, key }))
}

/// One key. A ticket is `key name ‖ nonce ‖ ciphertext ‖ tag`, the name being authenticated as well. A random 96-bit
/// nonce is sound for 2³² tickets, more than a key makes in its life.
struct Sealer {
    name: [u8; KEY_NAME],
    key: RandomizedNonceKey,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl ProducesTickets for Sealer {
    fn enabled(&self) -> bool {
        true
    }

    /// Not asked: the rotator answers for all its keys.
    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(self.name), &mut sealed).ok()?;
        let mut ticket = Vec::with_capacity(KEY_NAME + NONCE_LEN + sealed.len());
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        if cipher.len() > MAX_TICKET {
            return None;
        }
        let sealed = cipher.strip_prefix(&self.name)?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        if sealed.len() < TAG {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let plain = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(self.name), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(plain);
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_open_only_unchanged_and_only_with_their_key() {
        let ours = ticketer(Duration::from_hours(4)).unwrap();
        let theirs = ticketer(Duration::from_hours(4)).unwrap();
        let ticket = ours.encrypt(b"session").unwrap();
        assert_eq!(ours.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(theirs.decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(ours.decrypt(&changed), None, "byte {at}");
            assert_eq!(ours.decrypt(&ticket[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_lifetime_told_to_clients_is_the_setting_within_bounds() {
        for (setting, told) in [(14_400, 14_400), (0, 2), (u64::MAX, 7 * 24 * 3600)] {
            assert_eq!(ticketer(Duration::from_secs(setting)).unwrap().lifetime(), told);
        }
    }
}
