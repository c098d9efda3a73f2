//! Who may come in: HTTP Basic authentication of the user `admin` (RFC 7617).
//!
//! A credential that was found right is remembered by a digest under a key of this process, so that clients that
//! ask often do not pay for argon2 each time; so is one that was found wrong, which then costs neither a check nor
//! the patience that its address has with others: a program with an old password does not shut out whoever shares
//! its address. What has to be checked takes its turn, and failures slow down the address they come from.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
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
/// Wrong credentials that are remembered.
const MAX_WRONG: usize = 256;
/// Longest wait for a turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// Of a credential, under the key of this process.
type Digest = [u8; 32];

/// Says who may come in.
pub(crate) struct Guard {
    hash: Hash,
    key: [u8; 32],
    /// Digest of the credential that was found right.
    known: Mutex<Option<Digest>>,
    /// Digests of those that were found wrong, the latest one last.
    wrong: Mutex<VecDeque<Digest>>,
    throttle: Mutex<Throttle>,
    turns: Arc<Semaphore>,
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
            wrong: Mutex::default(),
            throttle: Mutex::default(),
            turns: Arc::new(Semaphore::new(MAX_CHECKS)),
            start: Instant::now(),
        })
    }

    /// Judges the `Authorization` header of a request from `address`.
    pub(crate) async fn judge(self: &Arc<Self>, header: Option<&[u8]>, address: IpAddr) -> Verdict {
        let Some(credential) = header.and_then(credential) else { return Verdict::Stranger };
        let Some(digest) = self.digest(&credential) else { return Verdict::Busy };
        if let Some(verdict) = self.remembered(&digest) {
            return verdict;
        }
        // The turn comes first: of many connections that begin with the same right credential, one or two check
        // it and the others find it known.
        let Some(mut turn) = self.turn().await else { return Verdict::Busy };
        if let Some(verdict) = self.remembered(&digest) {
            return verdict;
        }
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
        let check = spawn_blocking(move || {
            // Here, since whoever asked may go away while the check goes on.
            let _turn = turn;
            guard.check(&credential, digest, address)
        });
        check.await.unwrap_or(Verdict::Busy)
    }

    /// Checks a credential and remembers what came of it. Blocks for what argon2 takes.
    fn check(&self, credential: &[u8], digest: Digest, address: IpAddr) -> Verdict {
        let (user, password) = split(credential);
        // Both are looked at whatever the other says, so that the time does not tell which was wrong.
        let fits = self.hash.fits(password);
        if same(user, USER.as_bytes()) & fits {
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
            self.lock().succeeded(address);
            return Verdict::Welcome;
        }
        warn!(%address, "a login to the REST interface failed");
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= MAX_WRONG {
            wrong.pop_front();
        }
        wrong.push_back(digest);
        Verdict::Stranger
    }

    /// What was found of this credential before.
    fn remembered(&self, digest: &Digest) -> Option<Verdict> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|known| same(&known, digest)) {
            return Some(Verdict::Welcome);
        }
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.contains(digest).then_some(Verdict::Stranger)
    }

    /// A turn to check; `None` if it takes too long to come.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(TURN_LIMIT, Arc::clone(&self.turns).acquire_owned()).await.ok()?.ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, credential: &[u8]) -> Option<Digest> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(credential);
        Some(mac.finalize().into_bytes().into())
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
        let remembered = |text: &[u8]| guard.remembered(&guard.digest(text).unwrap());
        assert_eq!(remembered(b"admin:pass:word"), None);
        assert_eq!(guard.judge(Some(&right), address(100)).await, Verdict::Welcome);
        assert_eq!(remembered(b"admin:pass:word"), Some(Verdict::Welcome));
        assert_eq!(remembered(b"admin:pass"), Some(Verdict::Stranger));
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

    #[tokio::test]
    async fn a_program_with_an_old_password_shuts_nobody_out_who_shares_its_address() {
        let guard = guard();
        for _ in 0..100 {
            assert_eq!(guard.judge(Some(&basic("admin:old")), address(1)).await, Verdict::Stranger);
        }
        assert_eq!(guard.judge(Some(&basic("admin:pass:word")), address(1)).await, Verdict::Welcome);
    }

    #[tokio::test]
    async fn wrong_credentials_that_are_remembered_are_bounded() {
        let guard = guard();
        for number in 0..MAX_WRONG as u32 {
            let digest = guard.digest(&number.to_be_bytes()).unwrap();
            guard.wrong.lock().unwrap().push_back(digest);
        }
        guard.judge(Some(&basic("admin:x")), address(1)).await;
        assert_eq!(guard.wrong.lock().unwrap().len(), MAX_WRONG);
        assert_eq!(guard.remembered(&guard.digest(&0_u32.to_be_bytes()).unwrap()), None);
        assert_eq!(guard.remembered(&guard.digest(b"admin:x").unwrap()), Some(Verdict::Stranger));
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_turn_to_the_check_that_goes_on() {
        let guard = guard();
        // As many as may check at a time, each gone as soon as its check has begun.
        for number in 0..MAX_CHECKS {
            let header = basic(&format!("admin:{number}"));
            let mut judged = Box::pin(guard.judge(Some(&header), address(number as u8)));
            let before = guard.turns.available_permits();
            std::future::poll_fn(|context| {
                assert!(judged.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            assert_eq!(guard.turns.available_permits(), before - 1);
            drop(judged);
            // The check goes on, and has its turn until it remembers what it found.
            let digest = guard.digest(format!("admin:{number}").as_bytes()).unwrap();
            let deadline = Instant::now() + Duration::from_secs(30);
            while guard.turns.available_permits() < before {
                assert!(Instant::now() < deadline, "the turn is not given back");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(guard.remembered(&digest), Some(Verdict::Stranger));
        }
    }
}
