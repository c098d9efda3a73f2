//! Who may come in: HTTP Basic authentication of the user `admin` (RFC 7617).
//!
//! A credential that was found right is remembered by a digest under a key of this process, so that clients that
//! ask often do not pay for argon2 each time. What has to be checked takes its turn, and failures slow down the
//! address they come from.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
};
use tracing::warn;

use crate::{
    password::{Hash, MAX_PASSWORD},
    throttle::{Attempt, Throttle},
};

/// The one user.
const USER: &str = "admin";
/// Checks at a time: each takes 19 MiB and a CPU.
const MAX_CHECKS: usize = 2;
/// Longest wait for a turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// Says who may come in.
pub(crate) struct Guard {
    hash: Hash,
    key: [u8; 32],
    /// Digest of the credential that was found right.
    known: Mutex<Option<Vec<u8>>>,
    throttle: Mutex<Throttle>,
    turns: Semaphore,
    start: Instant,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// What the guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Come in.
    Welcome,
    /// No credential, or a wrong one.
    Stranger,
    /// Too many failures from this address; seconds until the next attempt.
    Later(u64),
    /// Too many checks are waiting.
    Busy,
}

impl Guard {
    pub(crate) fn new(hash: Hash) -> Result<Self, String> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| format!("there are no random numbers: {error}"))?;
        Ok(Self {
            hash,
            key,
            known: Mutex::default(),
            throttle: Mutex::default(),
            turns: Semaphore::new(MAX_CHECKS),
            start: Instant::now(),
        })
    }

    /// Judges the `Authorization` header of a request from `address`.
    pub(crate) async fn judge(self: &Arc<Self>, header: Option<&[u8]>, address: IpAddr) -> Verdict {
        let Some(credential) = header.and_then(credential) else { return Verdict::Stranger };
        if self.is_known(&credential) {
            return Verdict::Welcome;
        }
        // The turn comes first: of many connections that begin with the same right credential, one or two check
        // it and the others find it known.
        let Some(mut turn) = self.turn().await else { return Verdict::Busy };
        if !self.is_known(&credential) {
            let attempt = self.lock().attempt(address, self.start.elapsed());
            match attempt {
                Attempt::Refused(wait) => return Verdict::Later(wait.as_secs() + 1),
                Attempt::After(wait) if wait.is_zero() => {}
                Attempt::After(wait) => {
                    drop(turn);
                    tokio::time::sleep(wait).await;
                    let Some(again) = self.turn().await else { return Verdict::Busy };
                    turn = again;
                }
            }
            let guard = Arc::clone(self);
            let check = credential.clone();
            let right = spawn_blocking(move || {
                let (user, password) = split(&check);
                // Both are looked at whatever the other says, so that the time does not tell which was wrong.
                let fits = guard.hash.fits(password);
                same(user, USER.as_bytes()) & fits
            });
            if !right.await.unwrap_or_default() {
                warn!(%address, "a login to the REST interface failed");
                return Verdict::Stranger;
            }
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = self.digest(&credential);
        }
        drop(turn);
        self.lock().succeeded(address);
        Verdict::Welcome
    }

    /// A turn to check; `None` if it takes too long to come.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(TURN_LIMIT, self.turns.acquire()).await.ok()?.ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mac(&self, credential: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(credential);
        Some(mac)
    }

    fn digest(&self, credential: &[u8]) -> Option<Vec<u8>> {
        Some(self.mac(credential)?.finalize().into_bytes().to_vec())
    }

    /// Compares in constant time.
    fn is_known(&self, credential: &[u8]) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (known, self.mac(credential)) {
            (Some(known), Some(mac)) => mac.verify_slice(&known).is_ok(),
            _ => false,
        }
    }
}

/// `user:password` of a `Basic` credential.
fn credential(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || rest.len() > 2 * (MAX_PASSWORD + 64) {
        return None;
    }
    let credential = base64::engine::general_purpose::STANDARD.decode(rest.trim_ascii()).ok()?;
    credential.contains(&b':').then_some(credential)
}

/// A user has no colon in the name; a password may have some.
fn split(credential: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = credential.splitn(2, |byte| *byte == b':');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Whether two texts are the same, in a time that tells nothing but their length.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::{PasswordSource, load};

    fn guard() -> Arc<Guard> {
        let hash = load(&PasswordSource::Text("pass:word".to_owned()), None).unwrap();
        Arc::new(Guard::new(hash).unwrap())
    }

    fn basic(text: &str) -> Vec<u8> {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)).into_bytes()
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn only_the_right_credential_comes_in() {
        let guard = guard();
        for (number, header) in [
            None,
            Some(b"".to_vec()),
            Some(b"Basic".to_vec()),
            Some(b"Basic !".to_vec()),
            Some(b"Bearer x".to_vec()),
            Some(basic("admin")),
            Some(basic("admin:")),
            Some(basic("admin:pass")),
            Some(basic("root:pass:word")),
            Some(basic("admin:pass:word ")),
        ]
        .into_iter()
        .enumerate()
        {
            let verdict = guard.judge(header.as_deref(), address(number as u8)).await;
            assert_eq!(verdict, Verdict::Stranger, "{header:?}");
        }
        let right = basic("admin:pass:word");
        assert!(!guard.is_known(b"admin:pass:word"));
        assert_eq!(guard.judge(Some(&right), address(100)).await, Verdict::Welcome);
        assert!(guard.is_known(b"admin:pass:word") && !guard.is_known(b"admin:pass"));
    }

    #[tokio::test]
    async fn many_who_begin_together_with_the_right_credential_all_come_in() {
        let guard = guard();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let guard = Arc::clone(&guard);
            tasks.spawn(async move { guard.judge(Some(&basic("admin:pass:word")), address(1)).await });
        }
        assert!(tasks.join_all().await.into_iter().all(|verdict| verdict == Verdict::Welcome));
    }

    #[tokio::test]
    async fn failures_slow_an_address_down_and_nobody_who_is_known() {
        let guard = guard();
        let right = basic("admin:pass:word");
        assert_eq!(guard.judge(Some(&right), address(1)).await, Verdict::Welcome);
        for _ in 0..10 {
            guard.lock().attempt(address(1), guard.start.elapsed());
        }
        assert!(matches!(guard.judge(Some(&basic("admin:x")), address(1)).await, Verdict::Later(_)));
        assert_eq!(guard.judge(Some(&right), address(1)).await, Verdict::Welcome);
    }
}
