//! What the links show: connections, refusals, hints and bytes.

use convoy_raft::transport::Lane;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::refusal::{Reason, Side};

/// Counters of the links. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Connections to other replicas that are up.
    pub(super) up: Gauge,
    /// Connections of other replicas that are up.
    pub(super) accepted: Gauge,
    /// All of those since the start.
    pub(super) connections: Counter,
    /// Attempts to connect that failed without a refusal.
    pub(super) failed: Counter,
    refusals: Family<ByReason, Counter>,
    hints: Family<ByOutcome, Counter>,
    pub(super) hints_sent: Counter,
    pub(super) hints_received: Counter,
    /// Not sent, since the other side took too few, or was not there.
    pub(super) hints_dropped: Counter,
    bytes: Family<ByTraffic, Counter>,
}

/// What messages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    Calls,
    Lane(Lane),
    Hints,
}

/// Counts the bytes of one kind of traffic, without looking up its labels each time.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    sent: Counter,
    received: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    by: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTraffic {
    traffic: &'static str,
    direction: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let hints = Family::<ByOutcome, Counter>::default();
        let of = |outcome| hints.get_or_create_owned(&ByOutcome { outcome });
        Self {
            up: Gauge::default(),
            accepted: Gauge::default(),
            connections: Counter::default(),
            failed: Counter::default(),
            refusals: Family::default(),
            hints_sent: of("sent"),
            hints_received: of("received"),
            hints_dropped: of("dropped"),
            hints,
            bytes: Family::default(),
        }
    }
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "convoy_replica_links",
            "Connections from this replica to others that are up",
            self.up.clone(),
        );
        registry.register(
            "convoy_replica_links_accepted",
            "Connections from other replicas to this one that are up",
            self.accepted.clone(),
        );
        registry.register(
            "convoy_replica_connections",
            "Connections from other replicas to this one since the start",
            self.connections.clone(),
        );
        registry.register(
            "convoy_replica_link_failures",
            "Attempts to reach another replica that failed, refusals not counted",
            self.failed.clone(),
        );
        registry.register(
            "convoy_replica_refusals",
            "Connections between replicas that one side refused, by that side and its reason",
            self.refusals.clone(),
        );
        registry.register(
            "convoy_replica_hints",
            "Batches of hints, by what became of them",
            self.hints.clone(),
        );
        registry.register(
            "convoy_replica_bytes",
            "Bytes of messages between replicas, by what they are for and by direction",
            self.bytes.clone(),
        );
    }

    pub(super) fn refused(&self, by: Side, reason: Reason) {
        let labels = ByReason { by: by.label(), reason: reason.label() };
        self.refusals.get_or_create(&labels).inc();
    }

    /// How often `by` refused for `reason`.
    pub fn refusals(&self, by: Side, reason: Reason) -> u64 {
        let labels = ByReason { by: by.label(), reason: reason.label() };
        self.refusals.get(&labels).map_or(0, |counter| counter.get())
    }

    pub(super) fn bytes(&self, traffic: Traffic) -> Bytes {
        let traffic = traffic.label();
        let of = |direction| self.bytes.get_or_create_owned(&ByTraffic { traffic, direction });
        Bytes { sent: of("sent"), received: of("received") }
    }
}

impl Traffic {
    fn label(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Lane(Lane::Entries) => "entries",
            Self::Lane(Lane::Snapshot) => "snapshots",
            Self::Lane(Lane::Proposals) => "proposals",
            Self::Hints => "hints",
        }
    }
}

impl Bytes {
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}
