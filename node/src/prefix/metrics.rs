//! What is counted of the index and of sightings on their way to it.

use convoy_prefix_index::{Refusal, Statistics};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::metrics::PickMetrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Cloned handles count together.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    picks: PickMetrics,
    applied: Counter,
    refused: Family<Reason, Counter>,
    evicted: Counter,
    blocks: Gauge,
    bytes: Gauge,
    dropped: Family<Reason, Counter>,
    shed: Counter,
}

/// Why a sighting was dropped before the index heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// As many wait as may.
    Waiting,
    /// Sightings take as much memory as they may.
    Memory,
    /// No applier runs.
    Stopped,
    /// Its endpoint left, or began another life, before it was applied.
    EndpointLeft,
}

impl Dropped {
    const ALL: [Self; 4] = [Self::Waiting, Self::Memory, Self::Stopped, Self::EndpointLeft];

    fn reason(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Memory => "memory",
            Self::Stopped => "stopped",
            Self::EndpointLeft => "endpoint_left",
        }
    }
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry, picks: PickMetrics) -> Self {
        let metrics = Self {
            picks,
            applied: Counter::default(),
            refused: Family::default(),
            evicted: Counter::default(),
            blocks: Gauge::default(),
            bytes: Gauge::default(),
            dropped: Family::default(),
            shed: Counter::default(),
        };
        // A count that is not there cannot be seen to grow. Refusals for other reasons are not
        // expected, and that they are there says enough.
        drop(metrics.refused.get_or_create(&Reason { reason: reason(Refusal::MissingBase) }));
        for dropped in Dropped::ALL {
            drop(metrics.dropped.get_or_create(&Reason { reason: dropped.reason() }));
        }
        let help = "Commands that the prefix index carried out";
        registry.register("convoy_index_commands_applied", help, metrics.applied.clone());
        let help = "Commands that the prefix index refused, by reason";
        registry.register("convoy_index_commands_refused", help, metrics.refused.clone());
        let help = "Holdings that the prefix index forgot to make room";
        registry.register("convoy_index_evicted", help, metrics.evicted.clone());
        let help = "Distinct blocks in the prefix index";
        registry.register("convoy_index_blocks", help, metrics.blocks.clone());
        let help = "Memory of the prefix index, free room in it included";
        registry.register("convoy_index_bytes", help, metrics.bytes.clone());
        let help = "Sightings that did not reach the prefix index, by reason";
        registry.register("convoy_sightings_dropped", help, metrics.dropped.clone());
        let help = "Sightings that were out of picks' sight for a while, since the prefix index \
                    was slow to hear of them";
        registry.register("convoy_overlay_shed", help, metrics.shed.clone());
        metrics
    }

    pub(super) fn applied(&self, commands: u64) {
        self.applied.inc_by(commands);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.refused.get_or_create(&Reason { reason: reason(refusal) }).inc();
    }

    pub(super) fn dropped(&self, why: Dropped) {
        self.dropped.get_or_create(&Reason { reason: why.reason() }).inc();
    }

    pub(super) fn shed(&self) {
        self.shed.inc();
    }

    /// Tells what the index holds. `before` is what it held the last time, or the default for an
    /// index that was just made.
    pub(super) fn holds(&self, before: &Statistics, held: &Statistics) {
        self.picks.index_holds(held.memberships);
        self.evicted.inc_by(held.evicted.saturating_sub(before.evicted));
        self.blocks.set(i64::try_from(held.blocks).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
    }
}

fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownEndpoint => "unknown_endpoint",
        Refusal::OtherIncarnation { .. } => "other_incarnation",
        Refusal::AlreadyJoined => "already_joined",
        Refusal::TooManyEndpoints => "too_many_endpoints",
        Refusal::TooManyOrigins => "too_many_origins",
        Refusal::RepeatedSequence { .. } => "repeated_sequence",
        Refusal::MissingBase => "missing_base",
        Refusal::NotHeld => "not_held",
        Refusal::EmptyChain => "empty_chain",
        Refusal::ChainTooLong => "chain_too_long",
        Refusal::Inconsistent { .. } => "inconsistent",
        Refusal::Shrinking => "shrinking",
    }
}
