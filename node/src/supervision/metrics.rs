//! What supervision shows: how often each actor was started again.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Restarts by the actor's name.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    restarts: Family<ByActor, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByActor {
    actor: &'static str,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "convoy_actor_restarts",
            "Actors that failed and were started again, by name",
            self.restarts.clone(),
        );
    }

    /// Shows that `actor` runs, and was not started again yet.
    pub fn started(&self, actor: &'static str) {
        drop(self.restarts.get_or_create(&ByActor { actor }));
    }

    /// Counts a restart.
    pub fn restarted(&self, actor: &'static str) {
        self.restarts.get_or_create(&ByActor { actor }).inc();
    }

    /// How often `actor` was started again.
    pub fn restarts(&self, actor: &'static str) -> u64 {
        self.restarts.get(&ByActor { actor }).map_or(0, |counter| counter.get())
    }
}
