//! The command line of `eppctl bench`.
//!
//! `lexopt` cuts the arguments and knows nothing of flags: it has no dependencies and costs no time to compile.
//! The parser of `epp` is no use here, since it keeps to the forms and faults of the flags of the picker that
//! `epp` replaces.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};

use super::settings::{AnswerShape, Arrivals, Client, Load, Observation, RequestShape, Settings};
use crate::notation::nearest;

mod given;

use given::Given;

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    Help,
    Run { settings: Box<Settings>, output: Output },
}

/// How the report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// Why a command line was refused.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error("unknown flag {flag}{}", nearest.map_or_else(String::new, |known| format!("; did you mean {known}?")))]
    Unknown { flag: String, nearest: Option<&'static str> },
    #[error("{text:?} belongs to no flag")]
    Stray { text: String },
    #[error("{flag} {value:?} is not {right}")]
    Value { flag: &'static str, value: String, right: String },
    #[error("{flag} is missing: {right}")]
    Missing { flag: &'static str, right: &'static str },
    #[error("{one} and {other} exclude each other")]
    Excluded { one: &'static str, other: &'static str },
    #[error(
        "the prompts of {conversations} conversations take {bytes} bytes, more than {}: ask for fewer with --conversations",
        PROMPT_BYTES_MAX
    )]
    PromptBytes { conversations: usize, bytes: usize },
    #[error(transparent)]
    Cut(#[from] lexopt::Error),
}

const FLAGS: [&str; 26] = [
    "--target",
    "--plaintext",
    "--connections",
    "--rate",
    "--arrivals",
    "--concurrency",
    "--duration",
    "--warm-up",
    "--timeout",
    "--in-flight-max",
    "--seed",
    "--profile",
    "--input-tokens",
    "--output-tokens",
    "--token-gap",
    "--time-to-first-token",
    "--conversations",
    "--shared-prefix",
    "--model",
    "--client",
    "--chunk-bytes",
    "--observation",
    "--pid",
    "--idle",
    "--output",
    "--help",
];

/// All prompts are made before the run and kept.
const PROMPT_BYTES_MAX: usize = 1 << 30;
const BYTES_PER_TOKEN: usize = super::workload::BYTES_PER_TOKEN;

const CONNECTIONS_MAX: u64 = 256;
const RATE_MAX: f64 = 1e6;
const IN_FLIGHT_MAX: u64 = 1_000_000;
const TOKENS_MAX: u64 = 4_000_000;
const CONVERSATIONS_MAX: u64 = 1_000_000;
const PROCESSES_MAX: usize = 64;

/// Where a token of a chunk begins must not depend on where the chunk begins.
const CHUNK_BYTES_MIN: u64 = 1024;
const CHUNK_BYTES_MAX: u64 = 1 << 20;

/// Reads the arguments that follow `bench`.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, UsageError> {
    let mut parser = Parser::from_args(arguments);
    let mut written = Written::default();
    loop {
        let flag = match parser.next()? {
            None => break,
            Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Asked::Help),
            Some(Arg::Long(name)) => format!("--{name}"),
            Some(Arg::Short(letter)) => format!("-{letter}"),
            Some(Arg::Value(text)) => {
                return Err(UsageError::Stray { text: text.to_string_lossy().into_owned() });
            }
        };
        let Some(&known) = FLAGS.iter().find(|known| **known == flag) else {
            return Err(UsageError::Unknown { nearest: nearest(&flag, FLAGS), flag });
        };
        if known == "--plaintext" {
            written.plaintext = true;
        } else {
            written.set(known, parser.value()?.string()?)?;
        }
    }
    written.check()
}

/// What stands on the command line, each flag read, none held against another.
#[derive(Debug, Default)]
struct Written {
    target: Option<String>,
    plaintext: bool,
    connections: Option<usize>,
    rate: Option<f64>,
    arrivals: Option<Arrivals>,
    concurrency: Option<usize>,
    duration: Option<Duration>,
    warm_up: Option<Duration>,
    timeout: Option<Duration>,
    in_flight_max: Option<usize>,
    seed: Option<u64>,
    profile: Profile,
    input_tokens: Option<usize>,
    output_tokens: Option<usize>,
    token_gap: Duration,
    time_to_first_token: Duration,
    conversations: Option<usize>,
    shared_prefix: Option<f64>,
    model: Option<String>,
    client: Option<Client>,
    chunk_bytes: Option<usize>,
    observation: Option<Observation>,
    processes: Vec<u32>,
    idle: Duration,
    output: Output,
}

/// A named size of requests and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Profile {
    #[default]
    Short,
    Medium,
    Long,
    Bodyless,
}

impl Profile {
    /// Tokens in, if there is a body, and tokens out.
    fn tokens(self) -> (Option<usize>, usize) {
        match self {
            Self::Short => (Some(200), 100),
            Self::Medium => (Some(10_000), 1000),
            Self::Long => (Some(100_000), 1000),
            Self::Bodyless => (None, 0),
        }
    }
}

impl Written {
    fn set(&mut self, flag: &'static str, value: String) -> Result<(), UsageError> {
        let given = Given { flag, value };
        match flag {
            "--target" => self.target = Some(given.target()?),
            "--connections" => self.connections = Some(given.count(1, CONNECTIONS_MAX)?),
            "--rate" => self.rate = Some(given.number(0.001, RATE_MAX)?),
            "--arrivals" => {
                self.arrivals = Some(
                    given.word([("poisson", Arrivals::Poisson), ("uniform", Arrivals::Uniform)])?,
                );
            }
            "--concurrency" => self.concurrency = Some(given.count(1, IN_FLIGHT_MAX)?),
            "--in-flight-max" => self.in_flight_max = Some(given.count(1, IN_FLIGHT_MAX)?),
            "--seed" => self.seed = Some(given.parsed("a number")?),
            "--output" => {
                self.output = given.word([("text", Output::Text), ("json", Output::Json)])?;
            }
            "--pid" => self.add_process(&given)?,
            "--duration"
            | "--warm-up"
            | "--timeout"
            | "--idle"
            | "--token-gap"
            | "--time-to-first-token" => self.set_time(&given)?,
            _ => self.set_request(&given)?,
        }
        Ok(())
    }

    fn set_time(&mut self, given: &Given) -> Result<(), UsageError> {
        let duration = given.duration()?;
        match given.flag {
            "--duration" => self.duration = Some(duration),
            "--warm-up" => self.warm_up = Some(duration),
            "--timeout" => self.timeout = Some(duration),
            "--idle" => self.idle = duration,
            "--token-gap" => self.token_gap = duration,
            _ => self.time_to_first_token = duration,
        }
        Ok(())
    }

    fn set_request(&mut self, given: &Given) -> Result<(), UsageError> {
        match given.flag {
            "--profile" => {
                self.profile = given.word([
                    ("short", Profile::Short),
                    ("medium", Profile::Medium),
                    ("long", Profile::Long),
                    ("bodyless", Profile::Bodyless),
                ])?;
            }
            "--input-tokens" => self.input_tokens = Some(given.count(1, TOKENS_MAX)?),
            "--output-tokens" => self.output_tokens = Some(given.count(0, TOKENS_MAX)?),
            "--conversations" => self.conversations = Some(given.count(1, CONVERSATIONS_MAX)?),
            "--shared-prefix" => self.shared_prefix = Some(given.number(0.0, 1.0)?),
            "--client" => {
                let client = given.word([("http1", Client::Http1), ("http2", Client::Http2)])?;
                self.client = Some(client);
            }
            "--chunk-bytes" => {
                self.chunk_bytes = Some(given.bytes(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)?);
            }
            "--observation" => {
                self.observation = Some(given.word([
                    ("full", Observation::Full),
                    ("off", Observation::Off),
                    ("any", Observation::Any),
                ])?);
            }
            _ => self.model = Some(given.value.clone()),
        }
        Ok(())
    }

    fn add_process(&mut self, given: &Given) -> Result<(), UsageError> {
        let id: u32 = given.parsed("a process id")?;
        if self.processes.len() == PROCESSES_MAX {
            return Err(given.wrong(format!("one of at most {PROCESSES_MAX} processes")));
        }
        if !self.processes.contains(&id) {
            self.processes.push(id);
        }
        Ok(())
    }

    fn check(self) -> Result<Asked, UsageError> {
        let target = self.target.clone().ok_or(UsageError::Missing {
            flag: "--target",
            right: "the picker's address, such as 127.0.0.1:9002",
        })?;
        let load = self.load()?;
        let request = self.request()?;
        let (_, output_tokens) = self.profile.tokens();
        let answer = AnswerShape {
            output_tokens: self.output_tokens.unwrap_or(output_tokens),
            token_gap: self.token_gap,
            time_to_first_token: self.time_to_first_token,
        };
        let settings = Settings {
            target,
            plaintext: self.plaintext,
            connections: self.connections.unwrap_or(2),
            load,
            request,
            answer,
            observation: self.observation.unwrap_or(Observation::Full),
            duration: self.duration.unwrap_or(Duration::from_secs(15)),
            warm_up: self.warm_up.unwrap_or(Duration::from_secs(2) + answer.playing_time()),
            idle: self.idle,
            timeout: self.timeout.unwrap_or(Duration::from_secs(10)),
            in_flight_max: self.in_flight_max.unwrap_or(10_000),
            seed: self.seed.unwrap_or(1),
            processes: self.processes,
        };
        Ok(Asked::Run { settings: Box::new(settings), output: self.output })
    }

    fn load(&self) -> Result<Load, UsageError> {
        match (self.rate, self.concurrency) {
            (Some(per_second), None) => {
                Ok(Load::Open { per_second, arrivals: self.arrivals.unwrap_or(Arrivals::Poisson) })
            }
            (None, Some(_)) if self.arrivals.is_some() => {
                Err(UsageError::Excluded { one: "--concurrency", other: "--arrivals" })
            }
            (None, Some(concurrency)) => Ok(Load::Closed { concurrency }),
            (Some(_), Some(_)) => {
                Err(UsageError::Excluded { one: "--rate", other: "--concurrency" })
            }
            (None, None) => Err(UsageError::Missing {
                flag: "--rate",
                right: "requests a second, or --concurrency with so many at a time",
            }),
        }
    }

    fn request(&self) -> Result<RequestShape, UsageError> {
        let (input_tokens, _) = self.profile.tokens();
        let input_tokens = self.input_tokens.or(input_tokens);
        let conversations = self.conversations.unwrap_or(64);
        let bytes = input_tokens.unwrap_or(0).saturating_mul(BYTES_PER_TOKEN);
        let bytes = bytes.saturating_mul(conversations);
        if PROMPT_BYTES_MAX < bytes {
            return Err(UsageError::PromptBytes { conversations, bytes });
        }
        let client = self.client.unwrap_or(Client::Http2);
        Ok(RequestShape {
            input_tokens,
            conversations,
            shared_prefix: self.shared_prefix.unwrap_or(0.9),
            model: self.model.clone().unwrap_or_else(|| "sim/llama".to_owned()),
            client,
            chunk_bytes: self.chunk_bytes.unwrap_or(client.chunk_bytes()),
        })
    }
}

#[cfg(test)]
mod tests;
