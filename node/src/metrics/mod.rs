//! Metrics, under the names of the picker that Convoy replaces.
//!
//! Its current names begin with `llm_d_epp_`; the names before those are kept beside them, so
//! that dashboards of either generation work.

mod buckets;
mod build;
mod labels;
mod page;
mod picks;
mod requests;
mod streams;

pub use build::register_build;
pub use labels::{Labels, LegacyLabels, countable};
pub use page::{Page, serve};
pub use picks::{Attempts, PickMetrics, PluginTimings};
pub use requests::{Finished, Recorder, RequestMetrics};
pub use streams::{Bound, StreamEnd, StreamMetrics};

use prometheus_client::registry::{Metric, Registry};

/// The prefix of current names.
const CURRENT: &str = "llm_d_epp_";

/// Registers `metric` under its current name.
pub(crate) fn current(registry: &mut Registry, name: &str, help: &str, metric: impl Metric) {
    registry.register(format!("{CURRENT}{name}"), format!("[ALPHA] {}", text(help)), metric);
}

/// Registers `metric` under the name it had before `successor`, a current name.
pub(crate) fn legacy(
    registry: &mut Registry,
    name: &str,
    successor: &str,
    help: &str,
    metric: impl Metric,
) {
    let help = format!("[ALPHA] [Deprecated: Use {CURRENT}{successor}] {}", text(help));
    registry.register(name, help, metric);
}

/// Help as it is registered: the registry ends it with a dot.
fn text(help: &str) -> &str {
    help.trim_end_matches('.')
}
