//! What every stream is served with: one per process, shared by all serving threads.

use std::time::Duration;

use crate::{
    command_line::ResponseObservation,
    endpoints::PublishedView,
    metrics::{PickMetrics, RequestMetrics, StreamMetrics},
    plugins::Parser,
    prefix::Prefixes,
    scheduling::Scheduler,
    server::bounds::Bounds,
};

/// Settings, published state and counters that exchanges read.
#[derive(Debug)]
pub struct Service {
    pub view: PublishedView,
    pub scheduler: Scheduler,
    /// What the index knows of prompts; `None` when no plugin asks for it.
    pub prefixes: Option<Prefixes>,
    pub behaviour: Behaviour,
    /// In the order in which they are asked; a path that none claims is refused.
    pub parsers: Vec<Parser>,
    pub bounds: Bounds,
    pub streams: StreamMetrics,
    pub picks: PickMetrics,
    pub requests: RequestMetrics,
}

/// How exchanges are served.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Older samples are unknown.
    pub load_age_max: Duration,
    pub observation: ResponseObservation,
    /// A request that is not whole by then is refused.
    pub request_deadline: Duration,
    /// Whether the gateway's choice of candidates is heeded.
    pub heed_subset: bool,
    /// Whether the gateway is told each candidate's score.
    pub emit_scores: bool,
    /// Whether responses tell clients who served them, for conformance tests.
    pub tell_served: bool,
}

impl Service {
    /// Accounts for a stream that held `before` bytes of bodies and now holds `after`; false if
    /// all streams together hold too much.
    pub fn held(&self, before: usize, after: usize) -> bool {
        if before == after {
            return true;
        }
        self.streams.held(before, after);
        self.bounds.held(before, after)
    }
}
