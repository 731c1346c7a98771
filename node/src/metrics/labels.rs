//! Label sets of requests, and the bound on how many there are.

use std::collections::BTreeSet;

use prometheus_client::encoding::EncodeLabelSet;

/// The labels of a request under current names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub struct Labels {
    pub model_name: String,
    pub target_model_name: String,
    pub fairness_id: String,
    pub priority: String,
}

/// The labels of a request under the names before those.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub struct LegacyLabels {
    pub model_name: String,
    pub target_model_name: String,
}

/// Distinct values of one label at most; later ones are counted as [`OTHER`].
///
/// Clients choose model names and fairness ids, and a series is kept for ever.
const VALUES_MAX: usize = 1000;

/// Distinct label sets at most. Every set costs about twenty series.
const SETS_MAX: usize = 4000;

/// Bytes of one value at most; a longer one counts as [`OTHER`]. Names of models and tenants have a
/// quarter of that, and one set stands in hundreds of lines of the page.
const VALUE_BYTES_MAX: usize = 256;

pub(super) const OTHER: &str = "other";

/// `value`, unless it is too long to be counted by.
pub fn countable(value: &str) -> &str {
    if VALUE_BYTES_MAX < value.len() { OTHER } else { value }
}

/// Lets a bounded number of values and sets through.
#[derive(Debug, Default)]
pub(super) struct Cap {
    models: BTreeSet<String>,
    fairness_ids: BTreeSet<String>,
    sets: BTreeSet<Labels>,
}

impl Cap {
    /// The label set under which requests of `labels` are counted.
    pub(super) fn bounded(&mut self, labels: &Labels) -> Labels {
        let labels = Labels {
            model_name: bounded(&mut self.models, &labels.model_name),
            target_model_name: bounded(&mut self.models, &labels.target_model_name),
            fairness_id: bounded(&mut self.fairness_ids, &labels.fairness_id),
            priority: labels.priority.clone(),
        };
        if self.sets.contains(&labels) {
            return labels;
        }
        if SETS_MAX <= self.sets.len() {
            return Labels::other();
        }
        self.sets.insert(labels.clone());
        labels
    }
}

fn bounded(admitted: &mut BTreeSet<String>, value: &str) -> String {
    let value = countable(value);
    if !admitted.contains(value) {
        if VALUES_MAX <= admitted.len() {
            return OTHER.to_owned();
        }
        admitted.insert(value.to_owned());
    }
    value.to_owned()
}

impl Labels {
    pub(super) fn new(model: &str, target: &str, fairness_id: &str) -> Self {
        Self {
            model_name: model.to_owned(),
            target_model_name: target.to_owned(),
            fairness_id: fairness_id.to_owned(),
            priority: "0".to_owned(),
        }
    }

    /// Those of what finds no place.
    pub(super) fn other() -> Self {
        Self::new(OTHER, OTHER, OTHER)
    }

    pub(super) fn legacy(&self) -> LegacyLabels {
        LegacyLabels {
            model_name: self.model_name.clone(),
            target_model_name: self.target_model_name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(cap: &mut Cap, model: &str, target: &str, fairness_id: &str) -> Labels {
        cap.bounded(&Labels::new(model, target, fairness_id))
    }

    #[test]
    fn the_thousand_and_first_model_is_counted_as_other() {
        let cap = &mut Cap::default();
        for number in 0..VALUES_MAX {
            let name = format!("model-{number}");
            assert_eq!(bounded(cap, &name, &name, "default-flow").model_name, name);
        }
        assert_eq!(bounded(cap, "one more", "model-1", "default-flow").model_name, OTHER);
        assert_eq!(bounded(cap, "model-7", "model-7", "default-flow").model_name, "model-7");
    }

    #[test]
    fn a_value_too_long_for_a_label_is_counted_as_other() {
        let (longest, too_long) = ("m".repeat(VALUE_BYTES_MAX), "m".repeat(VALUE_BYTES_MAX + 1));
        let labels = bounded(&mut Cap::default(), &longest, &too_long, &too_long);
        assert_eq!(labels.model_name, longest);
        assert_eq!((&*labels.target_model_name, &*labels.fairness_id), (OTHER, OTHER));
    }

    #[test]
    fn sets_are_bounded_even_when_their_values_are_not() {
        let cap = &mut Cap::default();
        for number in 0..2 * SETS_MAX {
            let model = format!("model-{}", number % 900);
            bounded(cap, &model, &model, &format!("tenant-{}", number / 900));
        }
        assert_eq!(cap.sets.len(), SETS_MAX);
    }
}
