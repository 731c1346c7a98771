//! When the next page is asked for.

use std::time::{Duration, Instant};

/// The beat in which one replica asks all its endpoints for their pages.
///
/// Endpoints are asked in waves, those of a wave at the same moments: being woken to ask and to
/// read costs more than reading a page, and is paid once for the wave. Waves stand apart, so that
/// the pages of a large pool do not all come at once.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    origin: Instant,
    interval: Duration,
    seed: u64,
}

/// Endpoints asked at the same moments. Reading 16 pages of 40 KB takes less than a millisecond.
const WAVE_ENDPOINTS: u32 = 16;

/// Steps of this part of an interval fall far from one another however many there are: the golden
/// ratio's fraction.
const WAVES_APART: f64 = 0.618_033_988_749_894_9;

impl Beat {
    /// Beats from `now` on. `random` differs between replicas, so that they do not ask in step.
    pub fn new(now: Instant, interval: Duration, random: u64) -> Self {
        Self { origin: now, interval: interval.max(Duration::from_millis(1)), seed: random }
    }

    /// The ticks of the endpoint at `slot`.
    pub(super) fn schedule(&self, slot: u32) -> Schedule {
        let wave = slot / WAVE_ENDPOINTS;
        let phase = fastrand::Rng::with_seed(self.seed).f64() + f64::from(wave) * WAVES_APART;
        Schedule {
            origin: self.origin + self.interval.mul_f64(phase.fract()),
            interval: self.interval,
            seed: self.seed.wrapping_add(wave.into()),
        }
    }
}

/// A grid of ticks. One that falls while a page is awaited is skipped, so scrapes of one endpoint
/// never overlap; failures in a row skip more and more of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    origin: Instant,
    interval: Duration,
    seed: u64,
}

/// A server that keeps failing is asked this often at least, or once per interval if that is longer.
const FAILING_APART_MAX: Duration = Duration::from_secs(1);

/// Each tick is late by up to this share of the interval, so that replicas whose grids agree by
/// chance do not ask in step for ever.
const JITTER_RATIO: f64 = 0.1;

impl Schedule {
    /// The first tick after `now`, at most one interval and its jitter away.
    pub(super) fn first(&self, now: Instant) -> Instant {
        match self.origin.checked_duration_since(now) {
            Some(_) => self.tick(0),
            None => self.next(now, 0),
        }
    }

    /// The tick after `now`; later ones after `failures` in a row.
    pub(super) fn next(&self, now: Instant, failures: u32) -> Instant {
        let skipped = match failures {
            0 | 1 => Duration::ZERO,
            many => {
                let apart = self.interval.saturating_mul(1 << (many - 1).min(16));
                apart.min(FAILING_APART_MAX).saturating_sub(self.interval)
            }
        };
        let after = (now + skipped).saturating_duration_since(self.origin);
        self.tick(nanos(after) / nanos(self.interval) + 1)
    }

    fn tick(&self, number: u64) -> Instant {
        let since = Duration::from_nanos(number.saturating_mul(nanos(self.interval)));
        let jitter = fastrand::Rng::with_seed(self.seed.wrapping_add(number)).f64();
        self.origin + since + self.interval.mul_f64(JITTER_RATIO * jitter)
    }
}

/// A process does not live for the 584 years at which this ends.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn beat(interval: Duration) -> (Instant, Beat) {
        let start = crate::clock::now();
        (start, Beat::new(start, interval, 7))
    }

    #[test]
    fn ticks_keep_to_the_grid_and_skip_what_a_slow_page_overran() {
        let (start, beat) = beat(ms(50));
        let schedule = beat.schedule(0);
        let grid =
            |after: Duration| (schedule.next(start + after, 0) - schedule.origin).as_millis() / 50;
        let phase = schedule.origin - start;
        assert_eq!(grid(phase), 1);
        assert_eq!(grid(phase + ms(5)), 1);
        assert_eq!(grid(phase + ms(49)), 1);
        assert_eq!(grid(phase + ms(50)), 2);
        assert_eq!(grid(phase + ms(165)), 4);
        // A year on, the next tick is still within an interval and its jitter.
        let late = phase + Duration::from_hours(365 * 24);
        assert!(schedule.next(start + late, 0) - (start + late) <= ms(55));
    }

    #[test]
    fn a_tick_is_late_by_a_tenth_of_the_interval_at_most_and_seldom_twice_the_same() {
        let (_, beat) = beat(ms(50));
        let schedule = beat.schedule(0);
        let late = |tick: u64| schedule.tick(tick) - (schedule.origin + ms(50 * tick));
        assert!((0..1000).all(|tick| late(tick) <= ms(5)));
        assert!((0..1000).filter(|&tick| late(tick) == late(tick + 1)).count() < 10);
    }

    #[test]
    fn an_endpoint_that_joins_late_is_asked_within_an_interval_and_with_its_wave() {
        let (start, beat) = beat(ms(50));
        let (early, late) = (beat.schedule(0), beat.schedule(15));
        for after in [0, 20, 90, 1234] {
            let now = start + ms(after);
            let first = late.first(now);
            assert!(now < first && first - now <= ms(55), "{:?}", first - now);
            assert_eq!(first, early.first(now));
        }
    }

    #[test]
    fn waves_are_spread_over_the_interval() {
        let (start, beat) = beat(ms(100));
        let mut phases: Vec<_> =
            (0..10).map(|wave| beat.schedule(wave * WAVE_ENDPOINTS).origin - start).collect();
        phases.sort();
        let apart = phases.windows(2).map(|pair| pair[1].abs_diff(pair[0])).min().unwrap();
        assert!(ms(3) <= apart, "{phases:?}");
    }

    #[test]
    fn failures_in_a_row_ask_less_often_but_at_least_once_a_second() {
        let (_, beat) = beat(ms(50));
        let schedule = beat.schedule(0);
        let wait = |failures| {
            let next = schedule.next(schedule.origin, failures) - schedule.origin;
            u64::try_from(next.as_millis()).unwrap() / 50 * 50
        };
        let waits = [0, 1, 2, 3, 4, 5, 6, 7, 100, u32::MAX].map(wait);
        assert_eq!(waits, [50, 50, 100, 200, 400, 800, 1000, 1000, 1000, 1000]);
        let slow = Beat::new(schedule.origin, ms(5000), 7).schedule(0);
        assert!(slow.next(slow.origin, 100) - slow.origin <= ms(5500));
    }
}
