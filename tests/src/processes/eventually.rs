//! Waiting for what another process does: ask again and again, up to a limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long to rest between two questions. Short beside what processes do (milliseconds to
/// seconds), long beside what a question costs.
const INTERVAL: Duration = Duration::from_millis(5);

/// What was waited for did not happen in time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("waited {within:?} in vain for {what}")]
pub struct NeverHappened {
    pub what: String,
    pub within: Duration,
}

/// Asks `probe` until it answers, at most `within`; the answer is what it held.
///
/// It is asked at least once, and a probe that is under way at the limit is not cut off: give what
/// it does a limit of its own.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Result<T, NeverHappened> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = probe().await {
            return Ok(answer);
        }
        if deadline <= Instant::now() {
            return Err(NeverHappened { what: what.to_owned(), within });
        }
        sleep(INTERVAL).await;
    }
}
