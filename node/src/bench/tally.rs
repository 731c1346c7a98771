//! What one worker counts, and how workers' counts add up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::fault::Fault;

/// Three digits: what differs by less than a thousandth is one value.
const DIGITS: u8 = 3;
/// Longer times count as this.
const TIME_MAX: Duration = Duration::from_hours(1);
/// A request sent later than this after it was due was sent late.
const PUNCTUAL: Duration = Duration::from_millis(1);
/// A wrong picker may pick a new endpoint each time, or fail in ever new ways.
const PICKS_MAX: usize = 1024;
const ERROR_KINDS_MAX: usize = 64;

/// The time that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: Instant,
    pub(super) end: Instant,
}

impl Window {
    pub(super) fn contains(&self, time: Instant) -> bool {
        self.start <= time && time < self.end
    }
}

/// Counts of the requests that were due within a window.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) window: Window,
    pub(super) counts: Counts,
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
    pub(super) times: Times,
    pub(super) picks: BTreeMap<String, u64>,
    pub(super) errors: BTreeMap<String, Errors>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) due: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    /// Too many were in flight.
    pub(super) not_sent: u64,
    pub(super) unobserved: u64,
    pub(super) sent_late: u64,
    /// Whenever they were due.
    pub(super) finished_in_window: u64,
    /// Of requests that were due before the window.
    pub(super) warm_up_errors: u64,
}

/// gRPC messages and their bytes, prefixes included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Traffic {
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

/// Times in nanoseconds.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) pick: Histogram<u64>,
    pub(super) pick_since_due: Histogram<u64>,
    pub(super) exchange: Histogram<u64>,
    pub(super) token: Histogram<u64>,
    pub(super) send_delay: Histogram<u64>,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) count: u64,
    pub(super) first: String,
}

/// An exchange that went as it should.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) pick: String,
    pub(super) picked_after: Duration,
    pub(super) picked_at: Instant,
    /// The picker left before the answer.
    pub(super) unobserved: bool,
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
}

impl Tally {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            counts: Counts::default(),
            sent: Traffic::default(),
            received: Traffic::default(),
            times: Times::default(),
            picks: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }

    /// A request that was due at `due` is sent at `now`.
    pub(super) fn sends(&mut self, due: Instant, now: Instant) {
        if !self.window.contains(due) {
            return;
        }
        let delay = now.saturating_duration_since(due);
        self.counts.due += 1;
        self.counts.sent_late += u64::from(PUNCTUAL < delay);
        record(&mut self.times.send_delay, delay);
    }

    /// A request that was due at `due` is not sent.
    pub(super) fn leaves_out(&mut self, due: Instant) {
        if self.window.contains(due) {
            self.counts.due += 1;
            self.counts.not_sent += 1;
        }
    }

    /// A token came back `after` it was sent, in an exchange that was due at `due`.
    pub(super) fn token(&mut self, due: Instant, after: Duration) {
        if self.window.contains(due) {
            record(&mut self.times.token, after);
        }
    }

    /// The exchange that was due at `due` has ended at `now`.
    pub(super) fn ends(&mut self, due: Instant, result: Result<Done, Fault>, now: Instant) {
        if result.is_ok() && self.window.contains(now) {
            self.counts.finished_in_window += 1;
        }
        if !self.window.contains(due) {
            self.counts.warm_up_errors += u64::from(result.is_err());
            return;
        }
        match result {
            Ok(done) => self.completes(due, done, now),
            Err(fault) => {
                self.counts.failed += 1;
                self.note(&fault);
            }
        }
    }

    fn completes(&mut self, due: Instant, done: Done, now: Instant) {
        self.counts.completed += 1;
        self.counts.unobserved += u64::from(done.unobserved);
        self.sent = self.sent + done.sent;
        self.received = self.received + done.received;
        record(&mut self.times.pick, done.picked_after);
        record(&mut self.times.pick_since_due, done.picked_at.saturating_duration_since(due));
        record(&mut self.times.exchange, now.saturating_duration_since(due));
        if self.picks.len() < PICKS_MAX || self.picks.contains_key(&done.pick) {
            *self.picks.entry(done.pick).or_default() += 1;
        }
    }

    fn note(&mut self, fault: &Fault) {
        let kind = fault.kind();
        let kind = if self.errors.len() < ERROR_KINDS_MAX || self.errors.contains_key(&*kind) {
            kind.into_owned()
        } else {
            "other".to_owned()
        };
        let first = || Errors { count: 0, first: fault.to_string() };
        self.errors.entry(kind).or_insert_with(first).count += 1;
    }

    /// Adds what another worker counted in the same window.
    pub(super) fn add(&mut self, other: Self) {
        self.counts = self.counts + other.counts;
        self.sent = self.sent + other.sent;
        self.received = self.received + other.received;
        self.times.add(&other.times);
        for (pick, count) in other.picks {
            *self.picks.entry(pick).or_default() += count;
        }
        for (kind, errors) in other.errors {
            let first = || Errors { count: 0, first: errors.first };
            self.errors.entry(kind).or_insert_with(first).count += errors.count;
        }
    }
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

impl Default for Times {
    fn default() -> Self {
        let max = u64::try_from(TIME_MAX.as_nanos()).unwrap_or(u64::MAX);
        let new = || Histogram::new_with_bounds(1, max, DIGITS).expect("these bounds are in order");
        Self {
            pick: new(),
            pick_since_due: new(),
            exchange: new(),
            token: new(),
            send_delay: new(),
        }
    }
}

impl Times {
    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.pick, &other.pick),
            (&mut self.pick_since_due, &other.pick_since_due),
            (&mut self.exchange, &other.exchange),
            (&mut self.token, &other.token),
            (&mut self.send_delay, &other.send_delay),
        ];
        for (sum, part) in pairs {
            sum.add(part).expect("all have equal bounds");
        }
    }
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            due: self.due + other.due,
            completed: self.completed + other.completed,
            failed: self.failed + other.failed,
            not_sent: self.not_sent + other.not_sent,
            unobserved: self.unobserved + other.unobserved,
            sent_late: self.sent_late + other.sent_late,
            finished_in_window: self.finished_in_window + other.finished_in_window,
            warm_up_errors: self.warm_up_errors + other.warm_up_errors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn window() -> Window {
        let start = clock::now();
        Window { start, end: start + 10 * SECOND }
    }

    fn done(picked_at: Instant) -> Done {
        Done {
            pick: "10.0.0.1:8000".to_owned(),
            picked_after: Duration::from_millis(3),
            picked_at,
            unobserved: false,
            sent: Traffic { messages: 3, bytes: 30 },
            received: Traffic { messages: 4, bytes: 40 },
        }
    }

    #[test]
    fn only_requests_due_in_the_window_are_counted() {
        let window = window();
        let mut tally = Tally::new(window);
        let before = window.start.checked_sub(SECOND).unwrap();
        for due in [before, window.start, window.end] {
            tally.sends(due, due);
            tally.ends(due, Ok(done(due)), due + SECOND);
        }
        tally.ends(before, Err(Fault::NoStatus), window.start);
        assert_eq!(tally.counts.due, 1);
        assert_eq!(tally.counts.completed, 1);
        // The first finished when the window began.
        assert_eq!(tally.counts.finished_in_window, 2);
        assert_eq!(tally.counts.warm_up_errors, 1);
        assert!(tally.errors.is_empty());
    }

    #[test]
    fn a_late_send_counts_from_when_it_was_due() {
        let window = window();
        let mut tally = Tally::new(window);
        tally.sends(window.start, window.start + SECOND);
        tally.ends(window.start, Ok(done(window.start + 2 * SECOND)), window.start + 3 * SECOND);
        assert_eq!(tally.counts.sent_late, 1);
        assert_eq!(tally.times.pick.max() / 1_000_000, 3);
        assert_eq!(tally.times.pick_since_due.max() / 100_000_000, 20);
        assert_eq!(tally.times.exchange.max() / 100_000_000, 30);
    }

    #[test]
    fn kinds_of_errors_are_bounded_and_keep_their_first_text() {
        let window = window();
        let mut tally = Tally::new(window);
        for status in (400..600).chain([400]) {
            let body = format!("text {status}");
            tally.ends(window.start, Err(Fault::Refused { status, body }), window.start);
        }
        assert_eq!(tally.errors.len(), ERROR_KINDS_MAX + 1);
        let first = "refused with 400: text 400".to_owned();
        assert_eq!(tally.errors["refused_400"], Errors { count: 2, first });
        assert_eq!(tally.errors["other"].count, 200 - 64);
    }

    #[test]
    fn workers_counts_add_up() {
        let window = window();
        let mut sum = Tally::new(window);
        for _ in 0..2 {
            let mut tally = Tally::new(window);
            tally.sends(window.start, window.start);
            tally.ends(window.start, Ok(done(window.start)), window.start);
            tally.leaves_out(window.start);
            sum.add(tally);
        }
        assert_eq!((sum.counts.due, sum.counts.completed, sum.counts.not_sent), (4, 2, 2));
        assert_eq!((sum.sent.messages, sum.received.bytes), (6, 80));
        assert_eq!(sum.times.pick.len(), 2);
        assert_eq!(sum.picks["10.0.0.1:8000"], 2);
    }
}
