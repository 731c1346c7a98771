//! Which build of `epp` runs.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{current, legacy};
use crate::version::COMMIT;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    commit: &'static str,
    build_ref: &'static str,
}

/// The name of the build; that of the release unless whoever builds an image says another.
const BUILD_REF: Option<&str> = option_env!("CONVOY_BUILD_REF");

/// Registers the metric that tells the build, which is always 1.
pub fn register_build(registry: &mut Registry) {
    let labels = BuildLabels {
        commit: COMMIT.unwrap_or("unknown"),
        build_ref: BUILD_REF.unwrap_or(concat!("v", env!("CARGO_PKG_VERSION"))),
    };
    let help = "Which build runs.";
    for name in [None, Some("inference_extension_info")] {
        let info: Family<BuildLabels, Gauge> = Family::default();
        info.get_or_create(&labels).set(1);
        match name {
            None => current(registry, "info", help, info),
            Some(old) => legacy(registry, old, "info", help, info),
        }
    }
}
