//! The scheduling profile: which plugins a pick runs, in which order and with which weights.

use std::sync::Arc;

use super::{
    Invalid, Problem,
    check::{Declared, resolve},
    written::{Reference, Weighed, WrittenProfile, WrittenStep},
};
use crate::{
    document,
    plugins::{Plugin, default_picker},
    scheduling::{Filter, Named, Picker, Profile, Scorer, Weight, Weighted},
};

/// The name of the profile that stands in for none.
const DEFAULT_PROFILE: &str = "default";

/// Finds the one profile and checks it.
pub(super) fn check(
    written: &[WrittenProfile<'_>],
    declared: &[Declared<'_>],
    notices: &mut Vec<String>,
) -> Result<Profile, Invalid> {
    one_handler(declared)?;
    let mut parts = Parts::default();
    let name = match written {
        [] => {
            // Without profiles, everything declared that can take part in a pick does.
            for declared in declared.iter().filter(|declared| takes_part(&declared.plugin)) {
                parts.add(declared, Weight::ONE, &declared.at)?;
            }
            DEFAULT_PROFILE
        }
        [profile] => {
            for step in &profile.plugins {
                add(step, declared, &mut parts, notices)?;
            }
            profile.name
        }
        [first, second, ..] => {
            let path = second.at.clone();
            let problem = if first.name == second.name {
                Problem::NameTwice { name: first.name.to_owned(), first: first.at.clone() }
            } else {
                Problem::SecondProfile
            };
            return Err(Invalid { path, problem });
        }
    };
    Ok(Profile {
        name: name.to_owned(),
        filters: parts.filters,
        scorers: parts.scorers,
        picker: match parts.picker {
            Some((picker, _)) => picker,
            None => declared_picker(declared),
        },
    })
}

/// What a profile is made of, so far.
#[derive(Default)]
struct Parts {
    filters: Vec<Named<dyn Filter>>,
    scorers: Vec<Weighted>,
    picker: Option<(Named<dyn Picker>, document::KeyPath)>,
}

impl Parts {
    /// Takes a plugin that [`takes_part`]; others change nothing.
    fn add(
        &mut self,
        declared: &Declared<'_>,
        weight: Weight,
        at: &document::KeyPath,
    ) -> Result<(), Invalid> {
        match &declared.plugin {
            Plugin::Filter(filter) => self.filters.push(named(declared, filter)),
            Plugin::Scorer(scorer) => self.weigh(declared, scorer, weight),
            Plugin::PrefixScorer(built) => self.weigh(declared, &built.scorer, weight),
            Plugin::Picker(picker) => {
                if let Some((_, first)) = &self.picker {
                    let problem = Problem::Second { what: "picker", first: first.clone() };
                    return Err(Invalid { path: at.clone(), problem });
                }
                self.picker = Some((named(declared, picker), at.clone()));
            }
            Plugin::SingleProfileHandler
            | Plugin::PrefixProducer(_)
            | Plugin::FileDiscovery(_)
            | Plugin::MetricsSource(_)
            | Plugin::MetricsExtractor(_)
            | Plugin::Parser(_)
            | Plugin::ServedVerifier => {}
        }
        Ok(())
    }

    fn weigh(&mut self, declared: &Declared<'_>, scorer: &Arc<dyn Scorer>, weight: Weight) {
        self.scorers.push(Weighted { scorer: named(declared, scorer), weight });
    }
}

fn add(
    step: &WrittenStep<'_>,
    declared: &[Declared<'_>],
    parts: &mut Parts,
    notices: &mut Vec<String>,
) -> Result<(), Invalid> {
    let Reference { name, at } = &step.plugin;
    let plugin = resolve(&step.plugin, declared)?;
    if !takes_part(&plugin.plugin) {
        notices.push(format!("{at}: plugin {name} takes no part in a pick"));
        return Ok(());
    }
    let weight = match &step.weight {
        None => Weight::ONE,
        Some(Weighed { weight, at }) => Weight::new(*weight).ok_or_else(|| {
            let expected = format!("a number from -{0:e} to {0:e}", Weight::SIZE_MAX);
            let problem = document::Problem::Value { value: weight.to_string(), expected };
            Invalid { path: at.clone(), problem: problem.into() }
        })?,
    };
    if weight.get() < 0.0 {
        let weight = weight.get();
        notices.push(format!(
            "{at}: {name} has the negative weight {weight}, so the better an endpoint scores the \
             less it is wanted"
        ));
    }
    parts.add(plugin, weight, at)
}

fn named<P: ?Sized>(declared: &Declared<'_>, plugin: &Arc<P>) -> Named<P> {
    let plugin = Arc::clone(plugin);
    Named { plugin_type: declared.plugin_type, name: declared.name.into(), plugin }
}

/// True for what filters, scores or picks.
fn takes_part(plugin: &Plugin) -> bool {
    match plugin {
        Plugin::Filter(_) | Plugin::Scorer(_) | Plugin::PrefixScorer(_) | Plugin::Picker(_) => true,
        Plugin::SingleProfileHandler
        | Plugin::PrefixProducer(_)
        | Plugin::FileDiscovery(_)
        | Plugin::MetricsSource(_)
        | Plugin::MetricsExtractor(_)
        | Plugin::Parser(_)
        | Plugin::ServedVerifier => false,
    }
}

/// The first picker declared, else the best score.
fn declared_picker(declared: &[Declared<'_>]) -> Named<dyn Picker> {
    let picker = declared.iter().find_map(|declared| {
        let Plugin::Picker(picker) = &declared.plugin else { return None };
        Some(named(declared, picker))
    });
    picker.unwrap_or_else(default_picker)
}

fn one_handler(declared: &[Declared<'_>]) -> Result<(), Invalid> {
    let mut handlers =
        declared.iter().filter(|declared| matches!(declared.plugin, Plugin::SingleProfileHandler));
    match (handlers.next(), handlers.next()) {
        (Some(first), Some(second)) => {
            let problem = Problem::Second { what: "profile handler", first: first.at.clone() };
            Err(Invalid { path: second.at.clone(), problem })
        }
        (_, _) => Ok(()),
    }
}
