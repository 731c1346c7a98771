//! What a simulated server does wrong, and the commands that make it do so.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A command: `POST /control/NAME` with its fields as a JSON object, or no body for the defaults.
///
/// For example `POST /control/error` with `{"status": 503, "times": 3}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Accept requests and never answer them, until `heal`.
    Hang {
        #[serde(default)]
        scope: Scope,
    },
    /// Answer the next `times` requests for text with `status`; without `times`, until `heal`.
    Error {
        #[serde(default = "internal_server_error")]
        status: u16,
        #[serde(default)]
        times: Option<u32>,
    },
    /// Reset the connections of the next `times` requests for text (without `times`, until
    /// `heal`) once `after_tokens` tokens were sent; of an answer that is no stream, after its
    /// first half.
    Reset {
        #[serde(default = "one")]
        after_tokens: usize,
        #[serde(default)]
        times: Option<u32>,
    },
    /// Die and come back at once: connections are reset, the cache is empty, counters are zero,
    /// the process is younger, adapters that were loaded by request are gone, all faults too.
    RestartEmpty {},
    /// Not ready: `/health` says 503. What runs is finished; what comes is refused, unless
    /// `refuse` is false.
    Drain {
        #[serde(default = "yes")]
        refuse: bool,
    },
    /// Not ready, and no answer but 503 to anything, for `seconds` from now.
    SlowStart { seconds: f64 },
    /// What `/metrics` answers.
    Metrics {
        #[serde(default)]
        page: Page,
    },
    /// None of the above any more.
    Heal {},
}

/// What hangs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Requests for text; health and metrics are answered.
    #[default]
    Inference,
    /// All but `/control`.
    All,
}

/// A metrics page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    #[default]
    Normal,
    /// Status 200 with text that is no metrics page.
    Broken,
    /// The page cut in the middle of a line, and the connection closed.
    Truncated,
    /// A page without the families that routing reads.
    Empty,
    /// 64 MiB of well-formed lines, the true page last.
    Huge,
    /// No answer.
    Hang,
    /// Status 500.
    Error,
}

fn internal_server_error() -> u16 {
    500
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

/// Why a command was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(
        "no command {name:?}; there are: hang, error, reset, restart_empty, drain, slow_start, \
         metrics, heal"
    )]
    Unknown { name: String },
    #[error("the body of {name} is not understood: {source}")]
    Body { name: String, source: serde_json::Error },
    #[error("status must be 400 to 599, not {status}")]
    Status { status: u16 },
    #[error("seconds must be 0 to 86400, not {seconds}")]
    Seconds { seconds: f64 },
}

const NAMES: [&str; 8] =
    ["hang", "error", "reset", "restart_empty", "drain", "slow_start", "metrics", "heal"];

impl Command {
    /// Reads the command `name` with its fields in `body`.
    pub fn read(name: &str, body: &[u8]) -> Result<Self, Refused> {
        let name_owned = || name.to_owned();
        if !NAMES.contains(&name) {
            return Err(Refused::Unknown { name: name_owned() });
        }
        let is_blank = body.iter().all(u8::is_ascii_whitespace);
        let fields: serde_json::Map<String, serde_json::Value> = if is_blank {
            serde_json::Map::new()
        } else {
            serde_json::from_slice(body)
                .map_err(|source| Refused::Body { name: name_owned(), source })?
        };
        let command: Self = serde_json::from_value(serde_json::json!({ name: fields }))
            .map_err(|source| Refused::Body { name: name_owned(), source })?;
        match command {
            Self::Error { status, .. } if !(400..600).contains(&status) => {
                Err(Refused::Status { status })
            }
            Self::SlowStart { seconds } if !(0.0..=86_400.0).contains(&seconds) => {
                Err(Refused::Seconds { seconds })
            }
            Self::Hang { .. }
            | Self::Error { .. }
            | Self::Reset { .. }
            | Self::RestartEmpty {}
            | Self::Drain { .. }
            | Self::SlowStart { .. }
            | Self::Metrics { .. }
            | Self::Heal {} => Ok(command),
        }
    }

    /// The path and the body of the request that gives this command.
    pub fn request(&self) -> (String, String) {
        let tree = serde_json::to_value(self).unwrap_or_default();
        let only = tree.as_object().and_then(|tree| tree.iter().next());
        let (name, fields) = only.map_or(("", "{}".to_owned()), |(n, f)| (n, f.to_string()));
        (format!("/control/{name}"), fields)
    }
}

/// A fault that counts down.
#[derive(Clone, Copy, Debug)]
struct Countdown<T> {
    what: T,
    /// `None`: without an end.
    left: Option<u32>,
}

impl<T: Copy> Countdown<T> {
    /// Takes one turn of `fault`, if it has one left.
    fn take(fault: &mut Option<Self>) -> Option<T> {
        let Self { what, left } = fault.as_mut()?;
        let what = *what;
        if let Some(left) = left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                *fault = None;
            }
        }
        Some(what)
    }

    fn new(what: T, times: Option<u32>) -> Option<Self> {
        (times != Some(0)).then_some(Self { what, left: times })
    }
}

/// What a server does wrong at the moment.
#[derive(Debug, Default)]
pub struct Faults {
    hang: Option<Scope>,
    error: Option<Countdown<StatusCode>>,
    reset: Option<Countdown<usize>>,
    draining: Option<bool>,
    ready_at: Option<Instant>,
    page: Page,
}

/// What becomes of a request for text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Serve {
        /// Reset the connection after so many tokens.
        reset_after_tokens: Option<usize>,
    },
    /// Never answer.
    Hang,
    Refuse(StatusCode, &'static str),
}

const STARTING: &str = "the simulated server is starting";
const DRAINING: &str = "the simulated server is draining";

impl Faults {
    /// A server that starts at `now` and is ready after `slow_start`.
    pub fn starting(now: Instant, slow_start: Duration) -> Self {
        Self { ready_at: Some(now + slow_start), ..Self::default() }
    }

    /// Takes a command. [`Command::RestartEmpty`] heals; restarting is its caller's part.
    pub fn apply(&mut self, command: &Command, now: Instant) {
        match *command {
            Command::Hang { scope } => self.hang = Some(scope),
            Command::Error { status, times } => {
                let status = StatusCode::from_u16(status);
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                self.error = Countdown::new(status, times);
            }
            Command::Reset { after_tokens, times } => {
                self.reset = Countdown::new(after_tokens, times);
            }
            Command::Drain { refuse } => self.draining = Some(refuse),
            Command::SlowStart { seconds } => {
                self.ready_at = Some(now + Duration::from_secs_f64(seconds));
            }
            Command::Metrics { page } => self.page = page,
            Command::RestartEmpty {} | Command::Heal {} => *self = Self::default(),
        }
    }

    /// Rules on a request for text.
    pub fn rule(&mut self, now: Instant) -> Verdict {
        if self.is_starting(now) {
            return Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE, STARTING);
        }
        if self.hang.is_some() {
            return Verdict::Hang;
        }
        if self.draining == Some(true) {
            return Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE, DRAINING);
        }
        if let Some(status) = Countdown::take(&mut self.error) {
            return Verdict::Refuse(status, "the simulated server was told to fail");
        }
        Verdict::Serve { reset_after_tokens: Countdown::take(&mut self.reset) }
    }

    /// Rules on a request for anything else.
    pub fn rule_other(&self, now: Instant) -> Verdict {
        if self.is_starting(now) {
            return Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE, STARTING);
        }
        if self.hang == Some(Scope::All) {
            return Verdict::Hang;
        }
        Verdict::Serve { reset_after_tokens: None }
    }

    /// Whether `/health` is to say so.
    pub fn is_ready(&self, now: Instant) -> bool {
        !self.is_starting(now) && self.draining.is_none()
    }

    /// What `/metrics` answers.
    pub fn page(&self) -> Page {
        self.page
    }

    fn is_starting(&self, now: Instant) -> bool {
        self.ready_at.is_some_and(|ready_at| now < ready_at)
    }
}

#[cfg(test)]
mod tests;
