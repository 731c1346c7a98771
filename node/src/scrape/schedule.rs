//! When the next page is asked for.

use std::time::{Duration, Instant};

/// A grid of ticks. One that falls while a page is awaited is skipped, so scrapes of one endpoint
/// never overlap; failures in a row skip more and more of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    origin: Instant,
    interval: Duration,
}

/// A server that keeps failing is asked this often at least, or once per interval if that is longer.
const FAILING_APART_MAX: Duration = Duration::from_secs(1);

/// Each tick is late by up to this share of the interval, so that replicas do not ask in step.
const JITTER_RATIO: f64 = 0.1;

impl Schedule {
    /// Ticks from `now` on, the first within one interval: `phase`, 0.0 to 1.0, says where in it.
    pub(super) fn new(now: Instant, interval: Duration, phase: f64) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        Self { origin: now + interval.mul_f64(phase), interval }
    }

    pub(super) fn first(&self) -> Instant {
        self.origin
    }

    /// The tick after `now`; later ones after `failures` in a row. `jitter` is from 0.0 to 1.0.
    pub(super) fn next(&self, now: Instant, failures: u32, jitter: f64) -> Instant {
        let skipped = match failures {
            0 | 1 => Duration::ZERO,
            many => {
                let apart = self.interval.saturating_mul(1 << (many - 1).min(16));
                apart.min(FAILING_APART_MAX).saturating_sub(self.interval)
            }
        };
        let after = (now + skipped).saturating_duration_since(self.origin);
        // Quotients are small: an hour of 1 ms ticks is 3.6 million.
        let ticks = after.as_nanos() / self.interval.as_nanos() + 1;
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        self.origin + self.interval * ticks + self.interval.mul_f64(JITTER_RATIO * jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn ticks_keep_to_the_grid_and_skip_what_a_slow_page_overran() {
        let start = crate::clock::now();
        let schedule = Schedule::new(start, ms(50), 0.5);
        assert_eq!(schedule.first(), start + ms(25));
        let next = |after| schedule.next(start + ms(after), 0, 0.0) - start;
        assert_eq!(next(25), ms(75));
        assert_eq!(next(30), ms(75));
        assert_eq!(next(74), ms(75));
        assert_eq!(next(75), ms(125));
        assert_eq!(next(190), ms(225));
    }

    #[test]
    fn jitter_delays_a_tick_by_a_tenth_of_the_interval_at_most() {
        let start = crate::clock::now();
        let schedule = Schedule::new(start, ms(50), 0.0);
        assert_eq!(schedule.next(start, 0, 1.0), start + ms(55));
        // The tick after a late one is the grid's again.
        assert_eq!(schedule.next(start + ms(56), 0, 0.0), start + ms(100));
    }

    #[test]
    fn failures_in_a_row_ask_less_often_but_at_least_once_a_second() {
        let start = crate::clock::now();
        let schedule = Schedule::new(start, ms(50), 0.0);
        let wait = |failures| schedule.next(start, failures, 0.0) - start;
        let waits = [0, 1, 2, 3, 4, 5, 6, 7, 100, u32::MAX].map(wait);
        let expected = [50, 50, 100, 200, 400, 800, 1000, 1000, 1000, 1000].map(ms);
        assert_eq!(waits, expected);
        let slow = Schedule::new(start, ms(5000), 0.0);
        assert_eq!(slow.next(start, 100, 0.0), start + ms(5000));
    }
}
