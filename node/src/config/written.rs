//! What stands in a configuration, key by key, before it is known to make sense.

use super::{Invalid, Problem};
use crate::{
    document::{Document, Fault, KeyPath, Mapping, Node},
    plugins::ApiGroup,
};

/// The groups that a configuration may be written in, with their version.
const API_VERSIONS: [(&str, ApiGroup); 2] = [
    ("llm-d.ai/v1alpha1", ApiGroup::LlmD),
    ("inference.networking.x-k8s.io/v1alpha1", ApiGroup::GatewayApiExtension),
];

/// Keys of the picker that Convoy replaces that this version does nothing with.
const NOT_YET: [(&str, &str); 2] = [
    ("flowControl", "remove it; requests are not queued"),
    ("saturationDetector", "remove it; no request is shed"),
];
const NOT_YET_IN_DATA_LAYER: [(&str, &str); 3] = [
    ("peerDiscovery", "remove it; replicas do not share state in this version"),
    ("crossReplicaSyncerPluginRef", "remove it; replicas do not share state in this version"),
    ("crossReplicaSyncInterval", "remove it; replicas do not share state in this version"),
];

/// An `EndpointPickerConfig` as it is written.
#[derive(Debug)]
pub(super) struct Written<'a> {
    pub(super) api_group: ApiGroup,
    pub(super) feature_gates: Vec<Reference<'a>>,
    pub(super) plugins: Vec<WrittenPlugin<'a>>,
    pub(super) profiles: Vec<WrittenProfile<'a>>,
    pub(super) data_layer: WrittenDataLayer<'a>,
    pub(super) parsers: Vec<Reference<'a>>,
}

/// A name and the key at which it stands.
#[derive(Clone, Debug)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
    pub(super) at: KeyPath,
}

#[derive(Debug)]
pub(super) struct WrittenPlugin<'a> {
    pub(super) at: KeyPath,
    /// The type, unless written.
    pub(super) name: &'a str,
    pub(super) plugin_type: &'a str,
    pub(super) parameters: Option<Node<'a>>,
}

#[derive(Debug)]
pub(super) struct WrittenProfile<'a> {
    pub(super) at: KeyPath,
    pub(super) name: &'a str,
    pub(super) plugins: Vec<WrittenStep<'a>>,
}

/// A plugin of a profile.
#[derive(Debug)]
pub(super) struct WrittenStep<'a> {
    pub(super) plugin: Reference<'a>,
    pub(super) weight: Option<Weighed>,
}

/// A weight and the key at which it stands.
#[derive(Debug)]
pub(super) struct Weighed {
    pub(super) weight: f64,
    pub(super) at: KeyPath,
}

#[derive(Debug)]
pub(super) struct WrittenDataLayer<'a> {
    pub(super) inject_defaults: bool,
    pub(super) sources: Vec<WrittenSource<'a>>,
    pub(super) discovery: Option<Reference<'a>>,
    /// Where `discovery` stands or would stand.
    pub(super) discovery_at: KeyPath,
}

#[derive(Debug)]
pub(super) struct WrittenSource<'a> {
    pub(super) plugin: Reference<'a>,
    pub(super) extractors: Vec<Reference<'a>>,
}

/// Reads a document whole. Keys that are not known are refused.
pub(super) fn read(document: &Document) -> Result<Written<'_>, Invalid> {
    let mut root = document.root().mapping()?;
    let api_group = api_group(&mut root)?;
    let kind = root.text("kind")?;
    if root.required("kind", kind, "EndpointPickerConfig")? != "EndpointPickerConfig" {
        return Err(root.refuse("kind", "EndpointPickerConfig").into());
    }
    refuse_not_yet(&mut root, &NOT_YET)?;
    let gates = root.list("featureGates")?;
    let gates =
        gates.iter().map(|gate| Ok(Reference { name: gate.text()?, at: gate.path().clone() }));
    let feature_gates = gates.collect::<Result<_, Fault>>()?;
    let plugins = each(root.list("plugins")?, plugin)?;
    let profiles = each(root.list("schedulingProfiles")?, profile)?;
    let data_layer = data_layer(root.mapping("dataLayer")?)?;
    let mut request_handler = root.mapping("requestHandler")?;
    let mut parsers = each(request_handler.list("parsers")?, reference_only)?;
    request_handler.finish()?;
    // The older name of the same; the newer goes before it.
    let older = root.node("parser").map(|node| reference_only(node.mapping()?)).transpose()?;
    if parsers.is_empty() {
        parsers.extend(older);
    }
    root.finish()?;
    Ok(Written { api_group, feature_gates, plugins, profiles, data_layer, parsers })
}

fn api_group(root: &mut Mapping<'_>) -> Result<ApiGroup, Fault> {
    let [(newer, _), (older, _)] = API_VERSIONS;
    let written = root.text("apiVersion")?;
    let written = root.required("apiVersion", written, newer)?;
    let known = API_VERSIONS.iter().find(|(api_version, _)| *api_version == written);
    let refused = || root.refuse("apiVersion", format!("{newer} or {older}"));
    known.map(|&(_, group)| group).ok_or_else(refused)
}

fn refuse_not_yet(
    mapping: &mut Mapping<'_>,
    keys: &[(&'static str, &'static str)],
) -> Result<(), Invalid> {
    for &(key, instead) in keys {
        if let Some(node) = mapping.node(key) {
            let path = node.path().clone();
            return Err(Invalid { path, problem: Problem::NotYet { instead } });
        }
    }
    Ok(())
}

/// Reads each entry of a list as a mapping.
fn each<'a, T>(
    entries: Vec<Node<'a>>,
    read: impl Fn(Mapping<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    entries.into_iter().map(|entry| read(entry.mapping()?)).collect()
}

fn plugin(mut entry: Mapping<'_>) -> Result<WrittenPlugin<'_>, Fault> {
    let plugin_type = entry.text("type")?.filter(|written| !written.is_empty());
    let plugin_type =
        entry.required("type", plugin_type, "a plugin's type, such as queue-scorer")?;
    let name = entry.text("name")?.filter(|written| !written.is_empty()).unwrap_or(plugin_type);
    let parameters = entry.node("parameters");
    let at = entry.path().clone();
    entry.finish()?;
    Ok(WrittenPlugin { at, name, plugin_type, parameters })
}

fn profile(mut entry: Mapping<'_>) -> Result<WrittenProfile<'_>, Fault> {
    let name = entry.text("name")?.filter(|written| !written.is_empty());
    let name = entry.required("name", name, "the profile's name, such as default")?;
    let plugins = each(entry.list("plugins")?, step)?;
    let at = entry.path().clone();
    entry.finish()?;
    Ok(WrittenProfile { at, name, plugins })
}

fn step(mut entry: Mapping<'_>) -> Result<WrittenStep<'_>, Fault> {
    let plugin = reference(&mut entry)?;
    let at = entry.path().key("weight");
    let weight = entry.number("weight")?.map(|weight| Weighed { weight, at });
    entry.finish()?;
    Ok(WrittenStep { plugin, weight })
}

fn reference<'a>(entry: &mut Mapping<'a>) -> Result<Reference<'a>, Fault> {
    let name = entry.text("pluginRef")?.filter(|written| !written.is_empty());
    let name =
        entry.required("pluginRef", name, "the name of a plugin that stands under plugins")?;
    Ok(Reference { name, at: entry.path().key("pluginRef") })
}

fn reference_only(mut entry: Mapping<'_>) -> Result<Reference<'_>, Fault> {
    let reference = reference(&mut entry)?;
    entry.finish()?;
    Ok(reference)
}

fn data_layer(mut layer: Mapping<'_>) -> Result<WrittenDataLayer<'_>, Invalid> {
    refuse_not_yet(&mut layer, &NOT_YET_IN_DATA_LAYER)?;
    let inject_defaults = layer.flag("injectDefaults")?.unwrap_or(true);
    let sources = each(layer.list("sources")?, |mut entry| {
        let plugin = reference(&mut entry)?;
        let extractors = each(entry.list("extractors")?, reference_only)?;
        entry.finish()?;
        Ok(WrittenSource { plugin, extractors })
    })?;
    let discovery =
        layer.node("discovery").map(|node| reference_only(node.mapping()?)).transpose()?;
    let discovery_at = layer.path().key("discovery").key("pluginRef");
    layer.finish()?;
    Ok(WrittenDataLayer { inject_defaults, sources, discovery, discovery_at })
}
