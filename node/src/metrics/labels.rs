//! Label sets of requests, and the bound on how many there are.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus_client::encoding::EncodeLabelSet;

/// The labels of a request under current names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Labels {
    pub model_name: String,
    pub target_model_name: String,
    pub fairness_id: String,
    pub priority: String,
}

/// The labels of a request under the names before those.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
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

const OTHER: &str = "other";

/// `value`, unless it is too long to be counted by.
pub fn countable(value: &str) -> &str {
    if VALUE_BYTES_MAX < value.len() { OTHER } else { value }
}

/// Lets a bounded number of values and sets through.
#[derive(Debug, Default)]
pub(super) struct Cap {
    admitted: Mutex<Admitted>,
}

#[derive(Debug, Default)]
struct Admitted {
    models: BTreeSet<String>,
    fairness_ids: BTreeSet<String>,
    sets: BTreeSet<(String, String, String)>,
}

impl Cap {
    /// The label set under which a request with these values is counted.
    pub(super) fn bounded(&self, model: &str, target: &str, fairness_id: &str) -> Labels {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let model = bounded(&mut admitted.models, model);
        let target = bounded(&mut admitted.models, target);
        let fairness_id = bounded(&mut admitted.fairness_ids, fairness_id);
        let mut set = (model, target, fairness_id);
        if !admitted.sets.contains(&set) {
            if SETS_MAX <= admitted.sets.len() {
                set = (OTHER.to_owned(), OTHER.to_owned(), OTHER.to_owned());
            } else {
                admitted.sets.insert(set.clone());
            }
        }
        let (model_name, target_model_name, fairness_id) = set;
        Labels { model_name, target_model_name, fairness_id, priority: "0".to_owned() }
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

    #[test]
    fn the_thousand_and_first_model_is_counted_as_other() {
        let cap = Cap::default();
        for number in 0..VALUES_MAX {
            let name = format!("model-{number}");
            assert_eq!(cap.bounded(&name, &name, "default-flow").model_name, name);
        }
        assert_eq!(cap.bounded("one more", "model-1", "default-flow").model_name, OTHER);
        assert_eq!(cap.bounded("model-7", "model-7", "default-flow").model_name, "model-7");
    }

    #[test]
    fn a_value_too_long_for_a_label_is_counted_as_other() {
        let cap = Cap::default();
        let (longest, too_long) = ("m".repeat(VALUE_BYTES_MAX), "m".repeat(VALUE_BYTES_MAX + 1));
        let labels = cap.bounded(&longest, &too_long, &too_long);
        assert_eq!(labels.model_name, longest);
        assert_eq!((&*labels.target_model_name, &*labels.fairness_id), (OTHER, OTHER));
    }

    #[test]
    fn sets_are_bounded_even_when_their_values_are_not() {
        let cap = Cap::default();
        for number in 0..2 * SETS_MAX {
            let model = format!("model-{}", number % 900);
            let fairness_id = format!("tenant-{}", number / 900);
            cap.bounded(&model, &model, &fairness_id);
        }
        let admitted = cap.admitted.lock().unwrap();
        assert_eq!(admitted.sets.len(), SETS_MAX);
    }
}
