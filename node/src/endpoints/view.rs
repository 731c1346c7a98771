//! The view: an immutable snapshot of the pool that every pick reads.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// What makes an endpoint the same endpoint over time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    pub namespace: String,
    pub name: String,
    pub address: SocketAddr,
}

/// One `ip:port` of one pod that can take a request.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub key: EndpointKey,
    /// The address as Envoy is told it; IPv6 is bracketed.
    pub address_text: String,
    /// `host:port` whose metrics page tells this endpoint's load.
    pub metrics_host: String,
    pub labels: BTreeMap<String, String>,
    /// One life of the engine's process, as the source of endpoints names it; where it names none,
    /// `restart-1` and so on once the metrics page has shown a restart.
    pub incarnation: Option<String>,
    /// Where the prefix index counts this endpoint's holdings.
    pub slot: u32,
    pub in_flight: InFlight,
}

/// Requests that this replica has sent and not yet seen finish.
///
/// Clones count together: an endpoint whose labels change keeps its count.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    counters: Arc<Counters>,
}

/// A cache line of its own, since every request through the endpoint writes to it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Counters {
    requests: AtomicU32,
}

impl InFlight {
    /// True if both count together: they belong to one life of one endpoint.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.counters, &other.counters)
    }

    /// Something that knows whether this life of the endpoint is still held by anyone.
    pub(super) fn downgrade(&self) -> Weak<Counters> {
        Arc::downgrade(&self.counters)
    }

    pub fn requests(&self) -> u32 {
        self.counters.requests.load(Ordering::Relaxed)
    }

    /// Counts `requests` in.
    pub fn started(&self, requests: u32) {
        self.counters.requests.fetch_add(requests, Ordering::Relaxed);
    }

    /// Counts `requests` out that were counted in.
    pub fn finished(&self, requests: u32) {
        self.counters.requests.fetch_sub(requests, Ordering::Relaxed);
    }
}

/// What one metrics page said. What the page did not tell is `None`, never zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    pub waiting_requests: Option<u32>,
    pub running_requests: Option<u32>,
    /// Share of the KV cache in use, 0.0 to 1.0.
    pub kv_used_ratio: Option<f64>,
    pub lora: Option<Arc<LoraAdapters>>,
    /// Tokens in one of the engine's own cache blocks.
    pub cache_block_tokens: Option<u32>,
    /// The engine's own cache blocks.
    pub cache_blocks: Option<u32>,
    /// When the engine's process started, in seconds since the Unix epoch by its own clock. A
    /// change is a new incarnation.
    pub process_start_s: Option<f64>,
    /// A count that only rises while the engine's process lives, for engines whose page does not
    /// tell when it started. A fall is a new incarnation.
    pub lifetime_tokens: Option<f64>,
}

/// The adapters that a server has loaded or is about to load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoraAdapters {
    pub running: Vec<String>,
    pub waiting: Vec<String>,
    pub adapters_max: u32,
}

/// A load and when its page was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub load: Load,
    pub sampled_at: Instant,
}

/// One endpoint in a view.
#[derive(Clone, Debug)]
pub struct Member {
    pub endpoint: Arc<Endpoint>,
    pub ready: bool,
    /// The newest sample, however old; `None` before the first.
    pub sample: Option<Arc<Sample>>,
}

impl Member {
    /// The load, unless it is older than `age_max` at `now`: stale is unknown.
    pub fn load(&self, now: Instant, age_max: Duration) -> Option<&Load> {
        let sample = self.sample.as_deref()?;
        (now.saturating_duration_since(sample.sampled_at) <= age_max).then_some(&sample.load)
    }
}

/// The pool at one moment, ordered by [`EndpointKey`].
#[derive(Clone, Debug, Default)]
pub struct View {
    pub members: Vec<Member>,
}

impl View {
    /// How many endpoints may take requests.
    pub fn ready(&self) -> usize {
        self.members.iter().filter(|member| member.ready).count()
    }
}
