//! How a replica stops without losing a request, as a function of time.
//!
//! A gateway learns that a replica is going from its own endpoint discovery, some hundred
//! milliseconds after the replica said so, and nothing retries a stream that was refused. So the
//! replica goes on serving until new streams have stopped coming, then asks connections to go, and
//! near the end of its grace period leaves the streams that are still open at quiet moments: what
//! they carry then passes without it.

use std::{fmt, time::Duration};

/// For at least so long new streams are served after the replica said that it is going.
const SERVE_MIN: Duration = Duration::from_secs(5);

/// Gateways have turned away when no stream was opened for so long.
const TURNED_AWAY_AFTER: Duration = Duration::from_secs(2);

/// So long before the end of the grace period streams are left.
const LEAVE_BEFORE_END: Duration = Duration::from_secs(3);

/// So long before the end of the grace period the process ends by itself.
const END_BEFORE_END: Duration = Duration::from_millis(500);

/// How long each step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopSettings {
    /// New streams are served for so long at most; zero ends serving at once.
    pub drain_timeout: Duration,
    /// When whoever sent the signal will kill the process.
    pub grace_period: Duration,
}

/// What is seen of the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub since_signal: Duration,
    pub since_last_opened: Duration,
    pub connections: usize,
}

/// Where a stop has come to. Steps follow one another in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Serve as before; health says `NOT_SERVING`.
    Drain,
    /// Accept nothing new; finish what is open.
    GoAway,
    /// Leave what is open, at quiet moments.
    Leave,
    End,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "serving on until gateways have turned away",
            Self::GoAway => "asking gateways to leave; open streams are served to their end",
            Self::Leave => "leaving streams that are still open, each at a quiet moment",
            Self::End => "closing what is left",
        })
    }
}

impl StopSettings {
    /// The step that what is `seen` calls for, which never lies before `current`.
    pub fn step(&self, current: Step, seen: Seen) -> Step {
        self.wanted(current, seen).max(current)
    }

    fn wanted(&self, current: Step, seen: Seen) -> Step {
        let until = |before: Duration| self.grace_period.saturating_sub(before);
        if until(END_BEFORE_END) <= seen.since_signal {
            return Step::End;
        }
        if current != Step::Drain && seen.connections == 0 {
            return Step::End;
        }
        if until(LEAVE_BEFORE_END) <= seen.since_signal {
            return Step::Leave;
        }
        let served_enough = SERVE_MIN.min(self.drain_timeout) <= seen.since_signal;
        let turned_away = seen.connections == 0 || TURNED_AWAY_AFTER <= seen.since_last_opened;
        if self.drain_timeout <= seen.since_signal || (served_enough && turned_away) {
            return Step::GoAway;
        }
        Step::Drain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: StopSettings = StopSettings {
        drain_timeout: Duration::from_secs(30),
        grace_period: Duration::from_mins(1),
    };

    /// Rows are (seconds since the signal, seconds since a stream was opened, connections, step).
    #[track_caller]
    fn check(settings: StopSettings, rows: &[(f64, f64, usize, Step)]) {
        let mut step = Step::Drain;
        for &(since_signal, since_last_opened, connections, expected) in rows {
            step = settings.step(
                step,
                Seen {
                    since_signal: Duration::from_secs_f64(since_signal),
                    since_last_opened: Duration::from_secs_f64(since_last_opened),
                    connections,
                },
            );
            assert_eq!(step, expected, "after {since_signal} s");
        }
    }

    #[test]
    fn serves_on_while_streams_come() {
        check(
            SETTINGS,
            &[
                (0.0, 0.0, 2, Step::Drain),
                (5.0, 0.1, 2, Step::Drain),
                (29.0, 0.1, 2, Step::Drain),
                (30.0, 0.1, 2, Step::GoAway),
                (31.0, 1.0, 0, Step::End),
            ],
        );
    }

    #[test]
    fn goes_when_gateways_have_turned_away_but_not_before_five_seconds() {
        check(
            SETTINGS,
            &[
                (4.9, 4.9, 2, Step::Drain),
                (5.0, 4.9, 2, Step::GoAway),
                (6.0, 5.9, 1, Step::GoAway),
                (7.0, 6.9, 0, Step::End),
            ],
        );
    }

    #[test]
    fn an_idle_replica_still_waits_for_gateways_that_do_not_know_yet() {
        check(SETTINGS, &[(1.0, 100.0, 0, Step::Drain), (5.0, 100.0, 0, Step::GoAway)]);
    }

    #[test]
    fn leaves_long_streams_before_the_grace_period_ends() {
        check(
            SETTINGS,
            &[
                (10.0, 3.0, 2, Step::GoAway),
                (56.9, 50.0, 2, Step::GoAway),
                (57.0, 50.0, 2, Step::Leave),
                (59.5, 52.0, 2, Step::End),
            ],
        );
    }

    #[test]
    fn a_drain_timeout_of_zero_ends_serving_at_once() {
        let settings = StopSettings { drain_timeout: Duration::ZERO, ..SETTINGS };
        check(settings, &[(0.0, 0.0, 2, Step::GoAway)]);
    }

    #[test]
    fn a_short_grace_period_shortens_everything() {
        let settings = StopSettings { grace_period: Duration::from_secs(2), ..SETTINGS };
        check(settings, &[(0.0, 0.0, 2, Step::Leave), (1.5, 0.0, 2, Step::End)]);
    }
}
