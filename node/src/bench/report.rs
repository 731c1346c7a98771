//! What a run found, as JSON and for people. `help` documents the JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::processes::Reading;
use super::settings::{Arrivals, Client, Load, Observation, Settings};
use super::tally::{Tally, Traffic};
use super::text::float;

mod table;

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    target: String,
    seed: u64,
    connections: usize,
    plaintext: bool,
    load: LoadReport,
    profile: Profile,
    observation: &'static str,
    window_s: f64,
    requests: Requests,
    latency_us: Latencies,
    messages: Pair,
    bytes: Pair,
    picks: BTreeMap<String, u64>,
    errors: BTreeMap<String, ErrorReport>,
    warm_up_errors: u64,
    processes: Vec<ProcessReport>,
    generator: Option<ProcessReport>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
enum LoadReport {
    Open { rate: f64, arrivals: &'static str },
    Closed { concurrency: usize },
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Profile {
    input_tokens: Option<usize>,
    output_tokens: usize,
    token_gap_us: f64,
    time_to_first_token_us: f64,
    conversations: usize,
    shared_prefix: f64,
    client: &'static str,
    chunk_bytes: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Requests {
    due: u64,
    completed: u64,
    failed: u64,
    not_sent: u64,
    unobserved: u64,
    sent_late: u64,
    finished_in_window: u64,
    per_second: f64,
}

#[derive(Clone, Debug, Serialize)]
struct Latencies {
    pick: Option<Latency>,
    pick_since_due: Option<Latency>,
    exchange: Option<Latency>,
    token: Option<Latency>,
    send_delay: Option<Latency>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Latency {
    count: u64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Pair {
    sent: u64,
    received: u64,
}

#[derive(Clone, Debug, Serialize)]
struct ErrorReport {
    count: u64,
    first: String,
}

#[derive(Clone, Debug, Serialize)]
struct ProcessReport {
    pid: u32,
    command: String,
    /// The rest is null if the process ended before the window did.
    #[serde(flatten)]
    cost: Option<CostReport>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct CostReport {
    cpu_us_per_request: Option<f64>,
    user_share: Option<f64>,
    cores: f64,
    idle_cores: Option<f64>,
    cpu_us_per_request_above_idle: Option<f64>,
    rss_bytes: u64,
    rss_peak_bytes: u64,
    rss_peak_ever_bytes: u64,
}

/// What was seen of a process.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    pub(super) pid: u32,
    pub(super) command: String,
    pub(super) before: Option<Reading>,
    pub(super) after: Option<Reading>,
    /// Between these two.
    pub(super) elapsed: Duration,
    pub(super) rss_peak_bytes: u64,
    /// CPU time by time without load.
    pub(super) idle_cores: Option<f64>,
}

impl Report {
    pub(super) fn new(
        settings: &Settings,
        tally: &Tally,
        costs: &[Cost],
        generator: Option<&Cost>,
    ) -> Self {
        let finished = tally.counts.finished_in_window;
        Self {
            target: settings.target.clone(),
            seed: settings.seed,
            connections: settings.connections,
            plaintext: settings.plaintext,
            load: LoadReport::new(settings.load),
            profile: Profile::new(settings),
            observation: match settings.observation {
                Observation::Full => "full",
                Observation::Off => "off",
                Observation::Any => "any",
            },
            window_s: settings.duration.as_secs_f64(),
            requests: Requests::new(tally, settings.duration),
            latency_us: Latencies::new(tally),
            messages: pair(tally, |traffic| traffic.messages),
            bytes: pair(tally, |traffic| traffic.bytes),
            picks: tally.picks.clone(),
            errors: tally
                .errors
                .iter()
                .map(|(kind, errors)| {
                    let report = ErrorReport { count: errors.count, first: errors.first.clone() };
                    (kind.clone(), report)
                })
                .collect(),
            warm_up_errors: tally.counts.warm_up_errors,
            processes: costs.iter().map(|cost| ProcessReport::new(cost, finished)).collect(),
            generator: generator.map(|cost| ProcessReport::new(cost, finished)),
        }
    }

    /// True if every request was answered as it should be, and every process is still there.
    pub fn is_good(&self) -> bool {
        let Requests { due, completed, .. } = self.requests;
        0 < completed
            && completed == due
            && self.warm_up_errors == 0
            && self.processes.iter().all(|process| process.cost.is_some())
    }

    /// As JSON on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, texts and maps keyed by texts are JSON")
    }
}

impl LoadReport {
    fn new(load: Load) -> Self {
        match load {
            Load::Open { per_second, arrivals } => Self::Open {
                rate: per_second,
                arrivals: match arrivals {
                    Arrivals::Poisson => "poisson",
                    Arrivals::Uniform => "uniform",
                },
            },
            Load::Closed { concurrency } => Self::Closed { concurrency },
        }
    }
}

impl Profile {
    fn new(settings: &Settings) -> Self {
        Self {
            input_tokens: settings.request.input_tokens,
            output_tokens: settings.answer.output_tokens,
            token_gap_us: micros(settings.answer.token_gap.as_secs_f64() * 1e9),
            time_to_first_token_us: micros(settings.answer.time_to_first_token.as_secs_f64() * 1e9),
            conversations: settings.request.conversations,
            shared_prefix: settings.request.shared_prefix,
            client: match settings.request.client {
                Client::Http1 => "http1",
                Client::Http2 => "http2",
            },
            chunk_bytes: settings.request.chunk_bytes,
        }
    }
}

impl Requests {
    fn new(tally: &Tally, window: Duration) -> Self {
        let counts = tally.counts;
        Self {
            due: counts.due,
            completed: counts.completed,
            failed: counts.failed,
            not_sent: counts.not_sent,
            unobserved: counts.unobserved,
            sent_late: counts.sent_late,
            finished_in_window: counts.finished_in_window,
            per_second: rounded(number(counts.finished_in_window) / window.as_secs_f64()),
        }
    }
}

impl Latencies {
    fn new(tally: &Tally) -> Self {
        let times = &tally.times;
        Self {
            pick: Latency::of(&times.pick),
            pick_since_due: Latency::of(&times.pick_since_due),
            exchange: Latency::of(&times.exchange),
            token: Latency::of(&times.token),
            send_delay: Latency::of(&times.send_delay),
        }
    }
}

impl Latency {
    fn of(nanos: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| micros(number(nanos.value_at_quantile(quantile)));
        (!nanos.is_empty()).then(|| Self {
            count: nanos.len(),
            mean: micros(nanos.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(number(nanos.max())),
        })
    }
}

impl ProcessReport {
    fn new(cost: &Cost, finished: u64) -> Self {
        Self { pid: cost.pid, command: cost.command.clone(), cost: CostReport::new(cost, finished) }
    }
}

impl CostReport {
    fn new(cost: &Cost, finished: u64) -> Option<Self> {
        let (before, after) = (cost.before?, cost.after?);
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let user = number(after.user_ticks.saturating_sub(before.user_ticks));
        let system = number(after.system_ticks.saturating_sub(before.system_ticks));
        let per_request =
            |seconds: f64| (0 < finished).then(|| rounded(seconds * 1e6 / number(finished)));
        let elapsed = cost.elapsed.as_secs_f64();
        Some(Self {
            cpu_us_per_request: per_request(cpu),
            user_share: (0.0 < user + system).then(|| rounded(user / (user + system))),
            cores: cpu / elapsed,
            idle_cores: cost.idle_cores,
            cpu_us_per_request_above_idle: cost
                .idle_cores
                .and_then(|idle| per_request(cpu - idle * elapsed)),
            rss_bytes: after.rss_bytes,
            rss_peak_bytes: cost.rss_peak_bytes,
            rss_peak_ever_bytes: after.rss_peak_ever_bytes,
        })
    }
}

fn pair(tally: &Tally, what: impl Fn(&Traffic) -> u64) -> Pair {
    Pair { sent: what(&tally.sent), received: what(&tally.received) }
}

fn micros(nanos: f64) -> f64 {
    rounded(nanos / 1e3)
}

/// To a thousandth: more digits are noise.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn number(count: u64) -> f64 {
    float(usize::try_from(count).unwrap_or(usize::MAX))
}
