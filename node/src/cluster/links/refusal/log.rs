//! Refusals as they are told: each counted, and each logged once in a while.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Reason, Refusal, Side};
use crate::cluster::links::metrics::Metrics;

/// The same refusal of the same peer is said again after this time, with how often it came.
const SAID_AGAIN_AFTER: Duration = Duration::from_mins(10);

/// Different refusals remembered. Each stands for a peer and a reason; more come only from strangers.
const KNOWN_MAX: usize = 256;

/// Lines in [`LINES_WINDOW`], whoever they are about.
const LINES_MAX: u32 = 20;
const LINES_WINDOW: Duration = Duration::from_mins(1);

/// Counts refusals, and says each once.
#[derive(Debug)]
pub(in crate::cluster::links) struct Refusals {
    metrics: Metrics,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    known: BTreeMap<(String, Side, Reason), Known>,
    window_began_at: Option<Instant>,
    lines: u32,
}

#[derive(Debug)]
struct Known {
    said_at: Instant,
    /// Since it was said.
    repeated: u64,
}

impl Refusals {
    pub(in crate::cluster::links) fn new(metrics: Metrics) -> Self {
        Self { metrics, said: Mutex::default() }
    }

    /// Takes note of a refusal. `peer` says who it is about, in a form that comes back when it does.
    pub(in crate::cluster::links) fn note(&self, now: Instant, peer: &str, refusal: &Refusal) {
        let Refusal { by, reason, text } = refusal;
        self.metrics.refused(*by, *reason);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repeated) = said.note(now, peer, (*by, *reason)) {
            let (by, reason) = (by.to_string(), reason.label());
            tracing::warn!(
                peer,
                by,
                reason,
                repeated,
                "connection between replicas refused: {text}"
            );
        }
    }
}

impl Said {
    /// How often it was kept quiet before, if it is to be said.
    fn note(&mut self, now: Instant, peer: &str, what: (Side, Reason)) -> Option<u64> {
        let key = (peer.to_owned(), what.0, what.1);
        if let Some(known) = self.known.get_mut(&key)
            && now.saturating_duration_since(known.said_at) < SAID_AGAIN_AFTER
        {
            known.repeated += 1;
            return None;
        }
        let window = self.window_began_at.get_or_insert(now);
        if LINES_WINDOW <= now.saturating_duration_since(*window) {
            (*window, self.lines) = (now, 0);
        }
        if LINES_MAX <= self.lines {
            return None;
        }
        self.lines += 1;
        if KNOWN_MAX <= self.known.len() {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.said_at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.known.remove(&oldest);
            }
        }
        let before = self.known.insert(key, Known { said_at: now, repeated: 0 });
        Some(before.map_or(0, |before| before.repeated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const EXPIRED: (Side, Reason) = (Side::This, Reason::Expired);

    #[test]
    fn a_refusal_is_said_once_and_again_later_with_how_often_it_came() {
        let (mut said, start) = (Said::default(), clock::now());
        assert_eq!(said.note(start, "a", EXPIRED), Some(0));
        for second in 1..60 {
            assert_eq!(said.note(start + Duration::from_secs(second), "a", EXPIRED), None);
        }
        assert_eq!(said.note(start + SAID_AGAIN_AFTER, "a", EXPIRED), Some(59));
    }

    #[test]
    fn another_peer_or_reason_is_said_beside_it() {
        let (mut said, start) = (Said::default(), clock::now());
        assert_eq!(said.note(start, "a", EXPIRED), Some(0));
        assert_eq!(said.note(start, "b", EXPIRED), Some(0));
        assert_eq!(said.note(start, "a", (Side::Other, Reason::Expired)), Some(0));
        assert_eq!(said.note(start, "a", (Side::This, Reason::OtherPool)), Some(0));
    }

    #[test]
    fn strangers_without_number_fill_neither_the_log_nor_memory() {
        let (mut said, start) = (Said::default(), clock::now());
        let mut lines = 0;
        for second in 0..3600 {
            for stranger in 0..10 {
                let (now, peer) = (start + Duration::from_secs(second), second * 10 + stranger);
                lines += u32::from(said.note(now, &peer.to_string(), EXPIRED).is_some());
            }
        }
        assert_eq!(lines, 60 * LINES_MAX);
        assert_eq!(said.known.len(), KNOWN_MAX);
    }
}
