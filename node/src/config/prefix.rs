//! The one prefix index: who sets its parameters, and whether anybody reads it.

use super::{Invalid, Problem, check::Declared};
use crate::{
    document::KeyPath,
    notation::nearest,
    plugins::{Plugin, PrefixProducer, PrefixScorer, PrefixSettings},
};

/// The producer that exists without being declared.
const DEFAULT_PRODUCER: &str = "approx-prefix-cache-producer";

/// Finds the index's settings: a producer's, or, as in older releases, a scorer's, or the defaults
/// if a scorer needs an index and nobody says how to keep it.
pub(super) fn check(
    declared: &[Declared<'_>],
    notices: &mut Vec<String>,
) -> Result<Option<PrefixSettings>, Invalid> {
    let mut set: Option<(&PrefixProducer, &KeyPath)> = None;
    let mut is_read = false;
    for Declared { plugin, at, .. } in declared {
        let producer = match plugin {
            Plugin::PrefixProducer(producer) => Some(producer),
            Plugin::PrefixScorer(scorer) => {
                is_read = true;
                check_producer(scorer, at, declared)?;
                scorer.index.as_ref()
            }
            Plugin::Filter(_)
            | Plugin::Scorer(_)
            | Plugin::Picker(_)
            | Plugin::SingleProfileHandler
            | Plugin::FileDiscovery(_)
            | Plugin::MetricsSource(_)
            | Plugin::MetricsExtractor(_)
            | Plugin::Parser(_)
            | Plugin::ServedVerifier => None,
        };
        let Some(producer) = producer else { continue };
        if let Some((_, first)) = set {
            let path = at.key("parameters");
            return Err(Invalid { path, problem: Problem::IndexTwice { first: first.clone() } });
        }
        let told = producer.notices.iter();
        notices.extend(told.map(|notice| format!("{}: {notice}", at.key("parameters"))));
        set = Some((producer, at));
    }
    Ok(match set {
        Some((producer, _)) => Some(producer.settings),
        None => is_read.then(PrefixSettings::default),
    })
}

/// A scorer may name the producer that it reads; there must be such a one.
fn check_producer(
    scorer: &PrefixScorer,
    at: &KeyPath,
    declared: &[Declared<'_>],
) -> Result<(), Invalid> {
    let Some(name) = &scorer.producer else { return Ok(()) };
    let is_producer =
        |declared: &&Declared<'_>| matches!(declared.plugin, Plugin::PrefixProducer(_));
    let producers = declared.iter().filter(is_producer).map(|declared| declared.name);
    let mut producers = producers.chain([DEFAULT_PRODUCER]);
    if producers.clone().any(|producer| producer == name) {
        return Ok(());
    }
    let nearest = nearest(name, producers.by_ref()).map(str::to_owned);
    let path = at.key("parameters").key("prefixMatchInfoProducerName");
    Err(Invalid { path, problem: Problem::NoSuchPlugin { name: name.clone(), nearest } })
}
