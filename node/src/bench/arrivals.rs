//! When the requests of an open load are due.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::settings::Arrivals;
use super::text;
use super::workload::mixed;

/// The share of one of `parts` workers in a load, each of its requests with its number in the whole load.
#[derive(Debug)]
pub(super) struct Schedule {
    kind: Arrivals,
    /// Of this worker.
    mean_gap: Duration,
    rng: Rng,
    part: u64,
    parts: u64,
    start: Instant,
    /// The next request of this worker, and when it is due after the start.
    nth: u64,
    due: Duration,
}

impl Schedule {
    pub(super) fn new(
        (kind, per_second): (Arrivals, f64),
        (part, parts): (usize, usize),
        seed: u64,
        start: Instant,
    ) -> Self {
        let mean_gap = Duration::from_secs_f64(text::float(parts) / per_second);
        let mut schedule = Self {
            kind,
            mean_gap,
            rng: Rng::with_seed(mixed(!seed, part)),
            part: u64::try_from(part).unwrap_or(u64::MAX),
            parts: u64::try_from(parts).unwrap_or(u64::MAX),
            start,
            nth: 0,
            due: Duration::ZERO,
        };
        schedule.due = match kind {
            Arrivals::Poisson => schedule.gap(),
            // The workers take turns.
            Arrivals::Uniform => mean_gap.mul_f64(text::float(part) / text::float(parts)),
        };
        schedule
    }

    fn gap(&mut self) -> Duration {
        match self.kind {
            // The logarithm's argument is in (0, 1].
            Arrivals::Poisson => self.mean_gap.mul_f64(-(1.0 - self.rng.f64()).ln()),
            Arrivals::Uniform => self.mean_gap,
        }
    }
}

/// The time when a request is due, and its number.
impl Iterator for Schedule {
    type Item = (Instant, u64);

    fn next(&mut self) -> Option<(Instant, u64)> {
        let item = (self.start + self.due, self.nth * self.parts + self.part);
        let gap = self.gap();
        self.due += gap;
        self.nth += 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn due(kind: Arrivals, seed: u64) -> Vec<(Duration, u64)> {
        let start = clock::now();
        let part = |part| Schedule::new((kind, 100.0), (part, 2), seed, start);
        let within = |schedule: Schedule| {
            schedule
                .map(|(due, nth)| (due - start, nth))
                .take_while(|(due, _)| *due < 100 * SECOND)
                .collect::<Vec<_>>()
        };
        let mut all = [within(part(0)), within(part(1))].concat();
        all.sort();
        all
    }

    #[test]
    fn uniform_arrivals_have_equal_gaps_over_all_workers() {
        let all = due(Arrivals::Uniform, 1);
        assert_eq!(all.len(), 10_000);
        assert!(all.is_sorted_by_key(|(_, nth)| *nth));
        for pair in all.windows(2) {
            assert_eq!(pair[0].0 + SECOND / 100, pair[1].0);
        }
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_vary_as_much_as_their_mean() {
        let all = due(Arrivals::Poisson, 1);
        assert!((9_700..10_300).contains(&all.len()), "{}", all.len());
        let gaps: Vec<f64> =
            all.windows(2).map(|pair| pair[1].0.as_secs_f64() - pair[0].0.as_secs_f64()).collect();
        let longer = gaps.iter().filter(|gap| 0.01 < **gap).count();
        let share = text::float(longer) / text::float(gaps.len());
        assert!(
            (0.33..0.41).contains(&share),
            "{share} of the gaps are longer than the mean, not 1/e"
        );
    }

    #[test]
    fn equal_seeds_give_equal_times() {
        assert_eq!(due(Arrivals::Poisson, 7), due(Arrivals::Poisson, 7));
        assert_ne!(due(Arrivals::Poisson, 7), due(Arrivals::Poisson, 8));
    }
}
