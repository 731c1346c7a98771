//! What scraping shows: pages read, and what went wrong.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::fetch::FetchError;
use crate::metrics::{current, legacy};

/// Metrics of all scrapers together. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) pages: Counter,
    pub(super) garbage_lines: Counter,
    /// Samples that the endpoint book had no room for.
    pub(super) dropped: Counter,
    failures: Family<ByReason, Counter>,
    poll_errors: Family<BySource, Counter>,
    extract_errors: Family<ByExtractor, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySource {
    source_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByExtractor {
    source_type: &'static str,
    extractor_type: &'static str,
}

const SOURCE: &str = "metrics-data-source";
const INCOMPLETE: ByExtractor =
    ByExtractor { source_type: SOURCE, extractor_type: "core-metrics-extractor" };

/// What the errors were called before `llm_d_epp_`.
const LEGACY: &str = "llm_d_inference_scheduler_";

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        // A count that is not there cannot be seen to grow.
        drop(self.poll_errors.get_or_create(&BySource { source_type: SOURCE }));
        drop(self.extract_errors.get_or_create(&INCOMPLETE));
        for reason in FetchError::REASONS {
            drop(self.failures.get_or_create(&ByReason { reason }));
        }
        let help = "Data-source poll errors per source type";
        let name = "datalayer_poll_errors";
        current(registry, name, help, self.poll_errors.clone());
        let (old, successor) = (format!("{LEGACY}{name}"), format!("{name}_total"));
        legacy(registry, &old, &successor, help, self.poll_errors.clone());

        let help = "Extract errors per source/extractor type";
        let name = "datalayer_extract_errors";
        current(registry, name, help, self.extract_errors.clone());
        let (old, successor) = (format!("{LEGACY}{name}"), format!("{name}_total"));
        legacy(registry, &old, &successor, help, self.extract_errors.clone());

        registry.register(
            "convoy_scrape_failures",
            "Metrics pages that were not fetched, by what went wrong",
            self.failures.clone(),
        );
        registry.register("convoy_scrape_pages", "Metrics pages read", self.pages.clone());
        registry.register(
            "convoy_scrape_garbage_lines",
            "Lines of metrics pages that could not be read",
            self.garbage_lines.clone(),
        );
        registry.register(
            "convoy_scrape_samples_dropped",
            "Samples that the endpoint book had no room for",
            self.dropped.clone(),
        );
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&ByReason { reason }).inc();
        self.poll_errors.get_or_create(&BySource { source_type: SOURCE }).inc();
    }

    /// A page did not hold what the engine should tell.
    pub(super) fn incomplete(&self) {
        self.extract_errors.get_or_create(&INCOMPLETE).inc();
    }

    /// Pages that were not fetched for this reason.
    pub fn failures(&self, reason: &'static str) -> u64 {
        self.failures.get(&ByReason { reason }).map_or(0, |counter| counter.get())
    }

    /// Pages read.
    pub fn pages(&self) -> u64 {
        self.pages.get()
    }
}
