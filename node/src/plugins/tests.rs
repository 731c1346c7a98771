//! What the plugins that pick do, by rows.

mod pickers;
mod registry;
mod scorers;

use std::sync::Arc;

use super::{ApiGroup, NotAvailable, Plugin, find};
use crate::{
    document::Document,
    scheduling::{Filter, Picker, Scorer},
};

/// Builds a plugin from parameters in YAML; a fault comes as its message and remedy.
pub(crate) fn build(
    plugin_type: &str,
    parameters: &str,
    api_group: ApiGroup,
) -> Result<Plugin, String> {
    let unknown = |refused: NotAvailable| format!("{refused}; {}", refused.remedy());
    let (_, builder) = find(plugin_type).map_err(unknown)?;
    let document = Document::parse(parameters).unwrap();
    let plugin = document.root().mapping().and_then(|mapping| builder.build(mapping, api_group));
    plugin.map_err(|fault| format!("{fault}; {}", fault.problem.remedy()))
}

#[track_caller]
fn scorer(plugin_type: &str, parameters: &str) -> Arc<dyn Scorer> {
    match build(plugin_type, parameters, ApiGroup::LlmD) {
        Ok(Plugin::Scorer(scorer)) => scorer,
        Ok(Plugin::PrefixScorer(built)) => built.scorer,
        other => panic!("{plugin_type} is no scorer: {other:?}"),
    }
}

#[track_caller]
fn picker(plugin_type: &str, parameters: &str) -> Arc<dyn Picker> {
    match build(plugin_type, parameters, ApiGroup::LlmD) {
        Ok(Plugin::Picker(picker)) => picker,
        other => panic!("{plugin_type} is no picker: {other:?}"),
    }
}

#[track_caller]
fn filter(plugin_type: &str) -> Arc<dyn Filter> {
    match build(plugin_type, "", ApiGroup::LlmD) {
        Ok(Plugin::Filter(filter)) => filter,
        other => panic!("{plugin_type} is no filter: {other:?}"),
    }
}
