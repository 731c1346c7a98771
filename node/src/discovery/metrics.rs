//! What discovery shows: how many endpoints are listed, and whether the last list could be used.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Metrics of one source of endpoints. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) listed: Gauge,
    pub(super) refused: Gauge,
    pub(super) refusals: Counter,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "convoy_discovery_endpoints",
            "Endpoints in the list in force",
            self.listed.clone(),
        );
        registry.register(
            "convoy_discovery_list_refused",
            "1 while the source's current list cannot be used and an older one is in force",
            self.refused.clone(),
        );
        registry.register(
            "convoy_discovery_refusals",
            "Lists that could not be used",
            self.refusals.clone(),
        );
    }

    /// True while an older list than the source's current one is in force.
    pub fn is_refused(&self) -> bool {
        self.refused.get() != 0
    }
}
