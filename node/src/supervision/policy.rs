//! When a child that died is started again, and when its parent gives up.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How much failure a parent takes from one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// More failures than this within `window` and the parent gives up; `None`: it never does.
    pub failures_max: Option<usize>,
    pub window: Duration,
    /// The wait before the first restart; it doubles with every further failure in the window.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

impl Policy {
    /// For an actor that the replica cannot do without: its end, again and again, is the end of
    /// the process, and whatever started that can do better.
    pub const ESSENTIAL: Self = Self {
        failures_max: Some(10),
        window: Duration::from_mins(1),
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_secs(5),
    };

    /// For one of many alike, of which each serves one endpoint or peer: never worth a process.
    pub const ONE_OF_MANY: Self = Self {
        failures_max: None,
        window: Duration::from_mins(1),
        backoff_min: Duration::from_millis(100),
        backoff_max: Duration::from_secs(30),
    };
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    RestartAfter(Duration),
    Escalate,
}

/// The recent failures of one child.
#[derive(Debug)]
pub struct Failures {
    policy: Policy,
    recent: VecDeque<Instant>,
}

impl Failures {
    pub fn new(policy: Policy) -> Self {
        Self { policy, recent: VecDeque::new() }
    }

    /// Records a failure at `now` and rules on it.
    pub fn on_failure(&mut self, now: Instant) -> Verdict {
        let Policy { failures_max, window, backoff_min, backoff_max } = self.policy;
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|&first| window < now.duration_since(first)) {
            self.recent.pop_front();
        }
        if failures_max.is_some_and(|max| max < self.recent.len()) {
            return Verdict::Escalate;
        }
        let doublings = u32::try_from(self.recent.len() - 1).unwrap_or(u32::MAX).min(31);
        Verdict::RestartAfter(backoff_min.saturating_mul(1 << doublings).min(backoff_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failures(failures_max: Option<usize>) -> Failures {
        Failures::new(Policy {
            failures_max,
            window: 10 * SECOND,
            backoff_min: SECOND,
            backoff_max: 5 * SECOND,
        })
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_shrinks_after_a_quiet_time() {
        let mut failures = failures(None);
        let start = crate::clock::now();
        let waits = [(0, 1), (0, 2), (0, 4), (0, 5), (0, 5), (11, 1), (11, 2)];
        for (at, wait) in waits {
            let verdict = failures.on_failure(start + at * SECOND);
            assert_eq!(verdict, Verdict::RestartAfter(wait * SECOND), "at {at} s");
        }
    }

    #[test]
    fn more_failures_than_the_window_allows_are_passed_up() {
        let mut failures = failures(Some(2));
        let start = crate::clock::now();
        assert_ne!(failures.on_failure(start), Verdict::Escalate);
        assert_ne!(failures.on_failure(start + 9 * SECOND), Verdict::Escalate);
        assert_ne!(failures.on_failure(start + 11 * SECOND), Verdict::Escalate);
        assert_eq!(failures.on_failure(start + 12 * SECOND), Verdict::Escalate);
    }
}
