//! The command line of the binary `model-server`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::settings::{Invalid, Settings};

/// What the binary was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Help,
    Serve(Box<Plan>),
}

/// Which servers to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// At least one.
    pub listen: Vec<SocketAddr>,
    /// Shared by all of them.
    pub settings: Settings,
    /// Exit when standard input ends.
    pub exit_with_parent: bool,
}

/// Why a command line was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    #[error("unknown flag {flag:?}; --help lists all")]
    Unknown { flag: String },
    #[error("{flag} needs a value")]
    NoValue { flag: String },
    #[error("{flag} takes no value, not {value:?}")]
    StrayValue { flag: String, value: String },
    #[error("{flag}: {value:?} is not {wanted}")]
    Value { flag: String, value: String, wanted: &'static str },
    #[error("nothing to listen on: give --listen, or --first and --count")]
    NoAddress,
    #[error("--count, --first and --port belong together: --first 127.0.1.1 --count 4 --port 8000")]
    IncompleteRange,
    #[error("{first} and the {count} addresses from there on do not all exist")]
    RangeEnds { first: Ipv4Addr, count: u32 },
    #[error("{address} is listed twice")]
    Twice { address: SocketAddr },
    #[error(transparent)]
    Settings(#[from] Invalid),
}

/// What `--help` prints.
pub const HELP: &str = "\
model-server: stands in for GPU servers that run vLLM; one process plays many

  --listen IP:PORT              serve there; may be given again; port 0 finds one
  --first IP --count N          serve on N addresses, from IP on
  --port PORT                   the port for --first (0: each server its own)
  --exit-with-parent            exit when standard input ends

  --model NAME                  name of the base model (sim/llama)
  --lora NAME                   an adapter known from the start; may be given again
  --max-loras N                 adapters loaded at once; 0 switches LoRA off (4)
  --block-size TOKENS           tokens in a block of the KV cache (16)
  --num-gpu-blocks N            blocks of the KV cache, one is padding (8193)
  --no-prefix-caching           never find a block again
  --max-num-seqs N              requests that run at once (256)
  --max-num-batched-tokens N    tokens computed in one step (8192)
  --max-model-len TOKENS        prompt and answer together (131072 or what the cache holds)

  --prefill-overhead DURATION   of a step in which a prompt begins (5ms)
  --prefill-per-token DURATION  of a token that is not cached (4us)
  --inter-token-latency DURATION  of a step in which one answer grows (1ms)
  --decode-per-sequence DURATION  for every further answer in that step (4us)
  --adapter-load DURATION       of loading an adapter (20ms)
  --slow-start DURATION         not ready for so long after the start (0s)

  --max-body-bytes N            larger requests are refused (67108864)
  --max-connections N           of each server; more wait to be accepted (4096)
  --old-metric-names            also show vllm:gpu_cache_usage_perc

Durations: 250ns, 4us, 1.5ms, 2s. For each server one line of JSON says where it
listens, then one line says {\"ready\": true}.

Each server takes commands, POST /control/NAME with a JSON object or nothing:
  hang {\"scope\": \"inference\" or \"all\"}
  error {\"status\": 500, \"times\": N}           without times: until heal
  reset {\"after_tokens\": 1, \"times\": N}
  restart_empty
  drain {\"refuse\": true}
  slow_start {\"seconds\": S}
  metrics {\"page\": \"normal\", \"broken\", \"truncated\", \"empty\", \"huge\", \"hang\" or \"error\"}
  heal
GET /control/statistics counts; /control/echo tells what arrived.
";

/// Reads the arguments that follow the program's name.
pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Asked, UsageError> {
    let mut reading = Reading::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (flag, attached) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        if flag == "--help" || flag == "-h" {
            return Ok(Asked::Help);
        }
        if let Some(switch) = reading.switch(&flag) {
            if let Some(value) = attached {
                return Err(UsageError::StrayValue { flag, value });
            }
            *switch = true;
            continue;
        }
        if !is_flag(&flag) {
            return Err(UsageError::Unknown { flag });
        }
        let Some(value) = attached.or_else(|| arguments.next()) else {
            return Err(UsageError::NoValue { flag });
        };
        reading.set(&flag, &value)?;
    }
    Ok(Asked::Serve(Box::new(reading.finish()?)))
}

#[derive(Debug, Default)]
struct Reading {
    listen: Vec<SocketAddr>,
    first: Option<Ipv4Addr>,
    count: Option<u32>,
    port: Option<u16>,
    model_len: Option<usize>,
    no_prefix_caching: bool,
    exit_with_parent: bool,
    settings: Settings,
}

/// Whether `flag` exists; asked before its value is, so that a mistyped last word is named.
fn is_flag(flag: &str) -> bool {
    HELP.split_whitespace().any(|word| word == flag)
}

impl Reading {
    fn switch(&mut self, flag: &str) -> Option<&mut bool> {
        match flag {
            "--exit-with-parent" => Some(&mut self.exit_with_parent),
            "--no-prefix-caching" => Some(&mut self.no_prefix_caching),
            "--old-metric-names" => Some(&mut self.settings.old_metric_names),
            _ => None,
        }
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        let settings = &mut self.settings;
        let engine = &mut settings.engine;
        match flag {
            "--listen" => self.listen.push(parse(flag, value, "an address like 127.0.0.1:8000")?),
            "--first" => self.first = Some(parse(flag, value, "an IPv4 address")?),
            "--count" => self.count = Some(parse(flag, value, "a number")?),
            "--port" => self.port = Some(parse(flag, value, "a port")?),
            "--model" => value.clone_into(&mut settings.model),
            "--lora" => settings.adapters.push(value.to_owned()),
            "--max-loras" => engine.max_loras = parse(flag, value, "a number")?,
            "--block-size" => engine.block_tokens = parse(flag, value, "a number")?,
            "--num-gpu-blocks" => engine.blocks = parse(flag, value, "a number")?,
            "--max-num-seqs" => engine.running_max = parse(flag, value, "a number")?,
            "--max-num-batched-tokens" => engine.step_tokens_max = parse(flag, value, "a number")?,
            "--max-model-len" => self.model_len = Some(parse(flag, value, "a number")?),
            "--max-body-bytes" => settings.body_bytes_max = parse(flag, value, "a number")?,
            "--max-connections" => settings.connections_max = parse(flag, value, "a number")?,
            "--prefill-overhead" => engine.timing.prefill_overhead = duration(flag, value)?,
            "--prefill-per-token" => engine.timing.prefill_per_token = duration(flag, value)?,
            "--inter-token-latency" => engine.timing.inter_token_latency = duration(flag, value)?,
            "--decode-per-sequence" => engine.timing.decode_per_sequence = duration(flag, value)?,
            "--adapter-load" => engine.timing.adapter_load = duration(flag, value)?,
            "--slow-start" => settings.slow_start = duration(flag, value)?,
            _ => return Err(UsageError::Unknown { flag: flag.to_owned() }),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Plan, UsageError> {
        match (self.first, self.count, self.port) {
            (Some(first), Some(count), port) => self.add_range(first, count, port.unwrap_or(0))?,
            (None, None, None) => {}
            _ => return Err(UsageError::IncompleteRange),
        }
        if self.listen.is_empty() {
            return Err(UsageError::NoAddress);
        }
        for (position, address) in self.listen.iter().enumerate() {
            if address.port() != 0 && self.listen.iter().take(position).any(|a| a == address) {
                return Err(UsageError::Twice { address: *address });
            }
        }
        let engine = &mut self.settings.engine;
        engine.prefix_caching = !self.no_prefix_caching;
        let fitting = (engine.usable_blocks() as usize).saturating_mul(engine.block_tokens);
        let default = engine.sequence_tokens_max.min(fitting).max(2);
        engine.sequence_tokens_max = self.model_len.unwrap_or(default);
        let settings = self.settings.checked()?;
        Ok(Plan { listen: self.listen, settings, exit_with_parent: self.exit_with_parent })
    }

    fn add_range(&mut self, first: Ipv4Addr, count: u32, port: u16) -> Result<(), UsageError> {
        if count == 0 || u32::from(first).checked_add(count - 1).is_none() {
            return Err(UsageError::RangeEnds { first, count });
        }
        let addresses = (0..count).map(|step| Ipv4Addr::from(u32::from(first) + step));
        self.listen.extend(addresses.map(|ip| SocketAddr::new(IpAddr::V4(ip), port)));
        Ok(())
    }
}

fn parse<T: std::str::FromStr>(
    flag: &str,
    value: &str,
    wanted: &'static str,
) -> Result<T, UsageError> {
    value.parse().map_err(|_| wrong(flag, value, wanted))
}

fn wrong(flag: &str, value: &str, wanted: &'static str) -> UsageError {
    UsageError::Value { flag: flag.to_owned(), value: value.to_owned(), wanted }
}

fn duration(flag: &str, value: &str) -> Result<Duration, UsageError> {
    let refused = || wrong(flag, value, "a duration like 4us, 1.5ms or 2s");
    let digits = value.find(|c: char| c != '.' && !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = value.split_at(digits);
    let number: f64 = number.parse().map_err(|_| refused())?;
    let second = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return Err(refused()),
    };
    let longest = Duration::from_hours(24);
    let duration = Duration::try_from_secs_f64(number * second).map_err(|_| refused())?;
    if longest < duration { Err(refused()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests;
