//! What a configuration means, once every name in it is known to lead somewhere.

use crate::{
    document::{self, KeyPath, Mapping},
    notation::nearest,
    plugins::{
        FileDiscovery, MetricsExtractor, MetricsSource, NotAvailable, Parser, Plugin,
        PrefixSettings, find,
    },
    scheduling::Scheduler,
};

use super::{
    Invalid, Overrides, Problem, data_layer, prefix, profile,
    written::{Reference, Written},
};

/// A configuration that makes sense.
#[derive(Clone, Debug)]
pub struct Checked {
    pub scheduler: Scheduler,
    /// How the prefix index is kept; `None`: nothing reads one.
    pub prefix: Option<PrefixSettings>,
    pub discovery: Discovery,
    /// How loads are read; `None`: they are not, so all are unknown.
    pub metrics: Option<MetricsReading>,
    /// In the order in which they are asked; a path that none takes is refused.
    pub parsers: Vec<Parser>,
    /// Tells the client which endpoint served, for conformance tests.
    pub report_served_endpoint: bool,
    /// What the operator should be told once, at the start.
    pub notices: Vec<String>,
}

/// Where endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    File(FileDiscovery),
    /// The pool's pods, which this version cannot ask for: `refusal` says what to write instead.
    Kubernetes {
        refusal: Invalid,
    },
}

/// How a model server's load is asked for and read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsReading {
    pub source: MetricsSource,
    pub extractor: MetricsExtractor,
}

/// A plugin of the configuration, built.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) name: &'a str,
    pub(super) plugin_type: &'static str,
    pub(super) at: KeyPath,
    pub(super) plugin: Plugin,
}

/// Feature gates of every generation.
const GATES: [&str; 5] = [
    "flowControl",
    "haPopulateNonLeaderDatastore",
    "dataLayer",
    "prepareDataPlugins",
    "enableLegacyMetrics",
];

pub(super) fn check(written: &Written<'_>, overrides: &Overrides) -> Result<Checked, Invalid> {
    written.feature_gates.iter().try_for_each(check_gate)?;
    let declared = declare(written)?;
    let mut notices = Vec::new();
    let profile = profile::check(&written.profiles, &declared, &mut notices)?;
    let prefix = prefix::check(&declared, &mut notices)?;
    let metrics = data_layer::metrics(&written.data_layer, &declared, overrides, &mut notices)?;
    Ok(Checked {
        scheduler: Scheduler::new(profile),
        prefix,
        discovery: data_layer::discovery(&written.data_layer, &declared)?,
        metrics,
        parsers: parsers(written, &declared)?,
        report_served_endpoint: declared
            .iter()
            .any(|declared| matches!(declared.plugin, Plugin::ServedVerifier)),
        notices,
    })
}

/// Builds every plugin that is declared, in order.
fn declare<'a>(written: &Written<'a>) -> Result<Vec<Declared<'a>>, Invalid> {
    let mut all: Vec<Declared<'a>> = Vec::new();
    for plugin in &written.plugins {
        let at = plugin.at.clone();
        if let Some(first) = all.iter().find(|other| other.name == plugin.name) {
            let (name, first) = (plugin.name.to_owned(), first.at.clone());
            return Err(Invalid { path: at, problem: Problem::NameTwice { name, first } });
        }
        let (plugin_type, build) = find(plugin.plugin_type)
            .map_err(|problem| Invalid { path: at.key("type"), problem: problem.into() })?;
        let parameters = match &plugin.parameters {
            Some(node) => node.mapping()?,
            None => Mapping::absent(at.key("parameters")),
        };
        let name = plugin.name;
        let plugin = build.build(parameters, written.api_group)?;
        all.push(Declared { name, plugin_type, at, plugin });
    }
    Ok(all)
}

fn check_gate(gate: &Reference<'_>) -> Result<(), Invalid> {
    let (name, value) = gate.name.split_once('=').unwrap_or((gate.name, "true"));
    let on = match value.trim().to_lowercase().as_str() {
        "1" | "t" | "true" => true,
        "0" | "f" | "false" => false,
        _ => {
            let expected = format!("{name}=true or {name}=false");
            let problem = document::Problem::Value { value: gate.name.to_owned(), expected };
            return Err(Invalid { path: gate.at.clone(), problem: problem.into() });
        }
    };
    let problem = match name {
        "flowControl" if on => Problem::NotYet { instead: "remove it; requests are not queued" },
        name if GATES.contains(&name) => return Ok(()),
        name => Problem::NoSuchGate { name: name.to_owned(), nearest: nearest(name, GATES) },
    };
    Err(Invalid { path: gate.at.clone(), problem })
}

/// The plugin that a reference names.
pub(super) fn resolve<'d, 'a>(
    reference: &Reference<'_>,
    declared: &'d [Declared<'a>],
) -> Result<&'d Declared<'a>, Invalid> {
    declared.iter().find(|declared| declared.name == reference.name).ok_or_else(|| {
        let names = declared.iter().map(|declared| declared.name);
        let nearest = nearest(reference.name, names).map(str::to_owned);
        let problem = Problem::NoSuchPlugin { name: reference.name.to_owned(), nearest };
        Invalid { path: reference.at.clone(), problem }
    })
}

/// A plugin that is of another type than the key that names it needs.
pub(super) fn wrong_type(
    reference: &Reference<'_>,
    declared: &Declared<'_>,
    wanted: &'static str,
) -> Invalid {
    let (name, plugin_type) = (declared.name.to_owned(), declared.plugin_type);
    let problem = Problem::WrongType { name, plugin_type, wanted };
    Invalid { path: reference.at.clone(), problem }
}

/// The parsers in order. A parser's type may be named without declaring it.
fn parsers(written: &Written<'_>, declared: &[Declared<'_>]) -> Result<Vec<Parser>, Invalid> {
    if written.parsers.is_empty() {
        return Ok(vec![Parser::OpenAi, Parser::Passthrough]);
    }
    let parser = |reference: &Reference<'_>| {
        let undeclared = match resolve(reference, declared) {
            Ok(Declared { plugin: Plugin::Parser(parser), .. }) => return Ok(*parser),
            Ok(declared) => return Err(wrong_type(reference, declared, "a parser")),
            Err(undeclared) => undeclared,
        };
        let build = match find(reference.name) {
            Ok((_, build)) => build,
            Err(not_yet @ NotAvailable::Yet(_)) => {
                let path = reference.at.clone();
                return Err(Invalid { path, problem: not_yet.into() });
            }
            Err(NotAvailable::Unknown { .. }) => return Err(undeclared),
        };
        match build.build(Mapping::absent(reference.at.clone()), written.api_group) {
            Ok(Plugin::Parser(parser)) => Ok(parser),
            Ok(_) | Err(_) => Err(undeclared),
        }
    };
    written.parsers.iter().map(parser).collect()
}
