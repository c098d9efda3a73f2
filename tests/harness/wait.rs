//! Waiting with deadlines.

use std::{fmt::Debug, future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// Longest time any single step of a test may take unless it says otherwise.
pub const STEP: Duration = Duration::from_secs(15);
/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// The outcome of `step`, which must come within [`STEP`]; `what` names it in the failure.
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    timeout(STEP, step).await.unwrap_or_else(|_| panic!("{what}: not within {STEP:?}"))
}

/// Looks again and again until `condition` gives a value; fails the test after [`STEP`].
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(STEP, what, condition).await
}

/// As [`eventually`], with a deadline of its own.
pub async fn eventually_within<T>(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        sleep(LOOK).await;
    }
}

/// Fails the test if `step` took less than `least` or more than `most`; returns its outcome.
pub async fn takes<T: Debug>(least: Duration, most: Duration, step: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let outcome = timeout(most, step).await.unwrap_or_else(|_| panic!("took more than {most:?}"));
    let taken = start.elapsed();
    assert!(taken >= least, "took only {taken:?} instead of {least:?}: {outcome:?}");
    outcome
}
