//! What the demo comes to: how both ways of routing did on the same chats.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::traffic::{Failure, Served};

/// How one way of routing did.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    prompt_tokens: u64,
    cached_tokens: u64,
    first_tokens: Vec<Duration>,
    failures: Vec<Failure>,
    never_sent: usize,
}

impl Tally {
    /// Counts one request.
    pub fn note(&mut self, outcome: &Result<Served, Failure>) {
        match outcome {
            Ok(served) => {
                self.prompt_tokens += served.prompt_tokens;
                self.cached_tokens += served.cached_tokens;
                self.first_tokens.push(served.first_token);
            }
            Err(failure) => self.failures.push(failure.clone()),
        }
    }

    /// Counts requests that could not be sent, because what they would have continued failed.
    pub fn note_never_sent(&mut self, count: usize) {
        self.never_sent += count;
    }

    /// Requests that have ended.
    pub fn requests(&self) -> usize {
        self.first_tokens.len() + self.failures.len()
    }

    /// The share of prompt tokens, in percent, that servers had cached; none before the first.
    pub fn hit_percent(&self) -> Option<u64> {
        (100 * self.cached_tokens).checked_div(self.prompt_tokens)
    }

    /// The time to first token that `percent` of the requests did not exceed: the smallest one
    /// measured of which that is true.
    pub fn first_token(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.first_tokens.clone();
        sorted.sort_unstable();
        let rank = (percent * sorted.len()).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }

    /// What went wrong, once for each cause.
    fn complaints(&self, name: &str) -> Vec<String> {
        let mut by_cause: BTreeMap<&str, Vec<&Failure>> = BTreeMap::new();
        for failure in &self.failures {
            by_cause.entry(&failure.why).or_default().push(failure);
        }
        let complaint = |(why, failures): (&str, Vec<&Failure>)| {
            let first = failures.first()?;
            Some(format!("{name}: {why} ({}, {} in all)", first.what, failures.len()))
        };
        by_cause.into_iter().filter_map(complaint).collect()
    }
}

/// Both ways, as a table.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    pub picker: &'a Tally,
    pub round_robin: &'a Tally,
}

impl Comparison<'_> {
    /// What is wrong with the run; nothing if it is as it should be.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.picker.complaints("picker");
        complaints.extend(self.round_robin.complaints("round robin"));
        if self.picker.hit_percent() <= self.round_robin.hit_percent() {
            complaints.push("the picker found no more in the caches than round robin".to_owned());
        }
        complaints
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |tally: &Tally| {
            tally.hit_percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"))
        };
        let first = |tally: &Tally, percent| {
            tally.first_token(percent).map_or_else(|| "-".to_owned(), milliseconds)
        };
        let failed = |tally: &Tally| (tally.failures.len() + tally.never_sent).to_string();
        let sent = |tally: &Tally| tally.requests().to_string();
        let mut row = |name: &str, picker: String, round_robin: String| {
            writeln!(out, "  {name:<32}{picker:>12}{round_robin:>14}")
        };
        let Self { picker, round_robin } = *self;
        row("", "Convoy".to_owned(), "round robin".to_owned())?;
        row("requests", sent(picker), sent(round_robin))?;
        row("failed", failed(picker), failed(round_robin))?;
        row("prompt tokens found cached", percent(picker), percent(round_robin))?;
        row("time to first token, median", first(picker, 50), first(round_robin, 50))?;
        row("time to first token, p95", first(picker, 95), first(round_robin, 95))
    }
}

/// A duration in whole milliseconds.
pub fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(first_tokens_ms: &[u64], cached_tokens: u64) -> Tally {
        let mut tally = Tally::default();
        for &ms in first_tokens_ms {
            tally.note(&Ok(Served {
                prompt_tokens: 100,
                cached_tokens,
                first_token: Duration::from_millis(ms),
                ..Served::default()
            }));
        }
        tally
    }

    #[test]
    fn percentiles_are_measured_values() {
        let twenty: Vec<u64> = (1..=20).rev().collect();
        let tally = tally(&twenty, 0);
        let at = |percent| tally.first_token(percent).map(|time| time.as_millis());
        assert_eq!([at(0), at(50), at(95), at(100)], [Some(1), Some(10), Some(19), Some(20)]);
        assert_eq!(Tally::default().first_token(50), None);
    }

    #[test]
    fn a_picker_that_finds_no_more_than_round_robin_is_a_complaint() {
        let (good, bad) = (tally(&[1], 80), tally(&[1], 20));
        let complaints = |picker, round_robin| Comparison { picker, round_robin }.complaints();
        assert_eq!(complaints(&good, &bad), Vec::<String>::new());
        assert_eq!(complaints(&bad, &good).len(), 1);
    }

    #[test]
    fn a_failure_is_a_complaint_once_for_each_cause() {
        let mut picker = tally(&[1], 80);
        for turn in 2..5 {
            let what = format!("chat 1, turn {turn}");
            picker.note(&Err(Failure { what, why: "status 500".into() }));
        }
        let round_robin = tally(&[1], 20);
        let complaints = Comparison { picker: &picker, round_robin: &round_robin }.complaints();
        assert_eq!(complaints, ["picker: status 500 (chat 1, turn 2, 3 in all)"]);
    }
}
