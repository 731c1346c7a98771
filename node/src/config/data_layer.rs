//! Where endpoints and their loads come from.

use super::{
    Discovery, Invalid, MetricsReading, Overrides, Problem,
    check::{Declared, resolve, wrong_type},
    written::{WrittenDataLayer, WrittenSource},
};
use crate::{
    document::KeyPath,
    plugins::{CacheInfo, MetricSpec, MetricsExtractor, MetricsSource, Plugin},
};

pub(super) fn discovery(
    written: &WrittenDataLayer<'_>,
    declared: &[Declared<'_>],
) -> Result<Discovery, Invalid> {
    let Some(reference) = &written.discovery else {
        let is_file =
            |declared: &&Declared<'_>| matches!(declared.plugin, Plugin::FileDiscovery(_));
        let declared = declared.iter().find(is_file).map(|declared| declared.name.to_owned());
        let problem = Problem::NeedsKubernetes { declared };
        let refusal = Invalid { path: written.discovery_at.clone(), problem };
        return Ok(Discovery::Kubernetes { refusal });
    };
    match resolve(reference, declared)? {
        Declared { plugin: Plugin::FileDiscovery(file), .. } => Ok(Discovery::File(file.clone())),
        declared => Err(wrong_type(reference, declared, "a source of endpoints")),
    }
}

/// A value and where it stands; `None` in place of the key if it is the default.
struct Found<T> {
    value: T,
    at: Option<KeyPath>,
}

pub(super) fn metrics(
    written: &WrittenDataLayer<'_>,
    declared: &[Declared<'_>],
    overrides: &Overrides,
    notices: &mut Vec<String>,
) -> Result<Option<MetricsReading>, Invalid> {
    let (source, extractor) = match written.sources.as_slice() {
        [] if !written.inject_defaults => {
            notices.push("no metrics are read, so every load is unknown".to_owned());
            return Ok(None);
        }
        [] => (only(declared, source_of)?, only(declared, extractor_of)?),
        [source] => named(source, declared)?,
        [first, second, ..] => {
            let problem =
                Problem::Second { what: "source of metrics", first: first.plugin.at.clone() };
            return Err(Invalid { path: second.plugin.at.clone(), problem });
        }
    };
    let source = override_source(source, overrides)?;
    let extractor = override_extractor(extractor, overrides)?;
    Ok(Some(MetricsReading { source, extractor }))
}

fn source_of(plugin: &Plugin) -> Option<&MetricsSource> {
    if let Plugin::MetricsSource(source) = plugin { Some(source) } else { None }
}

fn extractor_of(plugin: &Plugin) -> Option<&MetricsExtractor> {
    if let Plugin::MetricsExtractor(extractor) = plugin { Some(extractor) } else { None }
}

/// The one declared plugin of a kind, or the default where none is.
fn only<T: Clone + Default>(
    declared: &[Declared<'_>],
    kind: impl Fn(&Plugin) -> Option<&T>,
) -> Result<Found<T>, Invalid> {
    let mut all = declared.iter().filter_map(|declared| Some((kind(&declared.plugin)?, declared)));
    let Some((value, first)) = all.next() else {
        return Ok(Found { value: T::default(), at: None });
    };
    if let Some((_, second)) = all.next() {
        let problem = Problem::Second { what: first.plugin_type, first: first.at.clone() };
        return Err(Invalid { path: second.at.clone(), problem });
    }
    Ok(Found { value: value.clone(), at: Some(first.at.clone()) })
}

/// The source and the extractor that `dataLayer.sources` names.
fn named(
    written: &WrittenSource<'_>,
    declared: &[Declared<'_>],
) -> Result<(Found<MetricsSource>, Found<MetricsExtractor>), Invalid> {
    let plugin = resolve(&written.plugin, declared)?;
    let source = source_of(&plugin.plugin)
        .ok_or_else(|| wrong_type(&written.plugin, plugin, "a source of metrics"))?;
    let source = Found { value: source.clone(), at: Some(plugin.at.clone()) };
    let extractor = match written.extractors.as_slice() {
        [] => only(declared, extractor_of)?,
        [reference] => {
            let plugin = resolve(reference, declared)?;
            let extractor = extractor_of(&plugin.plugin)
                .ok_or_else(|| wrong_type(reference, plugin, "an extractor of metrics"))?;
            Found { value: extractor.clone(), at: Some(plugin.at.clone()) }
        }
        [first, second, ..] => {
            let problem = Problem::Second { what: "extractor of metrics", first: first.at.clone() };
            return Err(Invalid { path: second.at.clone(), problem });
        }
    };
    Ok((source, extractor))
}

/// Refuses a flag that says what a plugin in the file says, too.
fn alone<T>(flag: &'static str, said: Option<&T>, at: Option<&KeyPath>) -> Result<(), Invalid> {
    match (said, at) {
        (Some(_), Some(at)) => {
            Err(Invalid { path: at.clone(), problem: Problem::AgainstFlag { flag } })
        }
        (_, _) => Ok(()),
    }
}

fn override_source(
    found: Found<MetricsSource>,
    overrides: &Overrides,
) -> Result<MetricsSource, Invalid> {
    let Found { value: mut source, at } = found;
    let Overrides { port, path, scheme, insecure_skip_verify, .. } = overrides;
    alone("model-server-metrics-port", port.as_ref(), at.as_ref())?;
    alone("model-server-metrics-path", path.as_ref(), at.as_ref())?;
    alone("model-server-metrics-scheme", scheme.as_ref(), at.as_ref())?;
    let flag = "model-server-metrics-https-insecure-skip-verify";
    alone(flag, insecure_skip_verify.as_ref(), at.as_ref())?;
    source.port = port.or(source.port);
    source.scheme = scheme.unwrap_or(source.scheme);
    source.insecure_skip_verify = insecure_skip_verify.unwrap_or(source.insecure_skip_verify);
    if let Some(path) = path {
        path.clone_into(&mut source.path);
    }
    Ok(source)
}

fn override_extractor(
    found: Found<MetricsExtractor>,
    overrides: &Overrides,
) -> Result<MetricsExtractor, Invalid> {
    let Found { value: mut extractor, at } = found;
    let Overrides { waiting_requests, running_requests, kv_used_ratio, lora, cache_info, .. } =
        overrides;
    let at = at.as_ref();
    alone("total-queued-requests-metric", waiting_requests.as_ref(), at)?;
    alone("total-running-requests-metric", running_requests.as_ref(), at)?;
    alone("kv-cache-usage-percentage-metric", kv_used_ratio.as_ref(), at)?;
    alone("lora-info-metric", lora.as_ref(), at)?;
    alone("cache-info-metric", cache_info.as_ref(), at)?;
    let engine = extractor.engines.entry(extractor.default_engine.clone()).or_default();
    let replace = |place: &mut Option<MetricSpec>, said: &Option<Option<MetricSpec>>| {
        if let Some(said) = said {
            place.clone_from(said);
        }
    };
    replace(&mut engine.waiting_requests, waiting_requests);
    replace(&mut engine.running_requests, running_requests);
    replace(&mut engine.lora, lora);
    if let Some(said) = kv_used_ratio {
        engine.kv_used_ratio = said.clone().into_iter().collect();
    }
    if let Some(said) = cache_info {
        engine.cache = said.clone().map_or(CacheInfo::Untold, |series| CacheInfo::Labels {
            series,
            block_tokens_label: "block_size".to_owned(),
            blocks_label: "num_gpu_blocks".to_owned(),
        });
    }
    Ok(extractor)
}
