//! Metrics, under the names of the picker that Convoy replaces.
//!
//! Its current names begin with `llm_d_epp_`; the names before those are kept beside them, so
//! that dashboards of either generation work.

mod buckets;
mod build;
mod catalogue;
mod histogram;
mod labels;
mod page;
mod picks;
mod recorder;
mod requests;
mod streams;

pub use build::register_build;
pub use labels::{Labels, LegacyLabels, countable};
pub use page::{Page, serve};
pub use picks::{Attempts, PickMetrics, PluginTimings};
pub use recorder::{Failure, Finished, Recorder};
pub use requests::RequestMetrics;
pub use streams::{Bound, StreamEnd, StreamMetrics};

use prometheus_client::registry::{Metric, Registry};

/// The prefix of current names.
const CURRENT: &str = "llm_d_epp_";

/// Registers `metric` under its current name.
pub(crate) fn current(registry: &mut Registry, name: &str, help: &str, metric: impl Metric) {
    registry.register(current_name(name), current_help(help), metric);
}

fn current_name(name: &str) -> String {
    format!("{CURRENT}{name}")
}

fn current_help(help: &str) -> String {
    format!("[ALPHA] {}", text(help))
}

fn legacy_help(successor: &str, help: &str) -> String {
    format!("[ALPHA] [Deprecated: Use {CURRENT}{successor}] {}", text(help))
}

/// Registers `metric` under the name it had before `successor`, a current name.
pub(crate) fn legacy(
    registry: &mut Registry,
    name: &str,
    successor: &str,
    help: &str,
    metric: impl Metric,
) {
    registry.register(name, legacy_help(successor, help), metric);
}

/// Help as it is registered: the registry ends it with a dot.
fn text(help: &str) -> &str {
    help.trim_end_matches('.')
}
