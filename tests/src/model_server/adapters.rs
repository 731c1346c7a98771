//! `LoRA` adapters: which the server knows, and which are loaded.
//!
//! A known adapter is loaded when a request for it is scheduled, into one of `max_loras` slots.
//! When all slots are taken, the adapter that was used longest ago and that no running request
//! needs is unloaded; when all are needed, the request waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The adapters that the server would load, by name, with the path each came from.
#[derive(Clone, Debug, Default)]
pub struct Known {
    adapters: BTreeMap<Arc<str>, String>,
}

impl Known {
    /// The adapters named at start.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        let adapters =
            names.into_iter().map(|name| (Arc::from(name.as_str()), format!("/adapters/{name}")));
        Self { adapters: adapters.collect() }
    }

    /// The adapter called `name`, if it is known.
    pub fn find(&self, name: &str) -> Option<Arc<str>> {
        self.adapters.get_key_value(name).map(|(name, _)| Arc::clone(name))
    }

    /// Adds an adapter; false if the name is taken.
    pub fn add(&mut self, name: &str, path: &str) -> bool {
        let is_new = !self.adapters.contains_key(name);
        if is_new {
            self.adapters.insert(Arc::from(name), path.to_owned());
        }
        is_new
    }

    /// Removes an adapter; false if there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.adapters.remove(name).is_some()
    }

    /// Names and paths, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.adapters.iter().map(|(name, path)| (&**name, path.as_str()))
    }
}

/// What it takes for a request to run with its adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The adapter is loaded already.
    Loaded,
    /// The adapter is loaded in this step.
    Loading,
    /// Every slot is in use by running requests of other adapters.
    Wait,
}

/// The slots that loaded adapters occupy, used longest ago first.
#[derive(Debug)]
pub struct Slots {
    slots_max: usize,
    loaded: VecDeque<Arc<str>>,
}

impl Slots {
    /// `slots_max` empty slots.
    pub fn new(slots_max: usize) -> Self {
        Self { slots_max, loaded: VecDeque::new() }
    }

    /// Makes `name` ready to run, if `in_use` allows another adapter to be unloaded for it.
    pub fn admit(&mut self, name: &Arc<str>, in_use: impl Fn(&str) -> bool) -> Admission {
        if let Some(position) = self.loaded.iter().position(|loaded| loaded == name) {
            self.loaded.remove(position);
            self.loaded.push_back(Arc::clone(name));
            return Admission::Loaded;
        }
        if self.slots_max <= self.loaded.len() {
            let Some(idle) = self.loaded.iter().position(|loaded| !in_use(loaded)) else {
                return Admission::Wait;
            };
            self.loaded.remove(idle);
        }
        self.loaded.push_back(Arc::clone(name));
        Admission::Loading
    }

    /// The loaded adapters, used longest ago first.
    pub fn loaded(&self) -> impl Iterator<Item = &str> {
        self.loaded.iter().map(|name| &**name)
    }
}

/// Which adapters requests ran with, and waited for, at one time: a row of
/// `vllm:lora_requests_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub running: String,
    pub waiting: String,
}

/// The last usages, each with the time at which it was last seen.
///
/// vLLM's exporter never drops a combination of labels, so a page shows past usages beside the
/// present one, which is told by its time. Here the oldest are dropped beyond a bound.
#[derive(Debug, Default)]
pub struct UsageHistory {
    seen: Vec<(Usage, Duration)>,
}

/// Enough past usages that a reader who takes any but the youngest is noticed.
const USAGES_MAX: usize = 16;

impl UsageHistory {
    /// Notes what is used at `now`, counted from the engine's start.
    pub fn note(&mut self, usage: Usage, now: Duration) {
        if let Some((_, at)) = self.seen.iter_mut().find(|(seen, _)| *seen == usage) {
            *at = now;
            return;
        }
        if self.seen.len() == USAGES_MAX {
            let oldest = self.seen.iter().enumerate().min_by_key(|(_, (_, at))| *at);
            if let Some((position, _)) = oldest {
                self.seen.remove(position);
            }
        }
        self.seen.push((usage, now));
    }

    /// Usages and when each was last seen, in the order in which they first appeared.
    pub fn iter(&self) -> impl Iterator<Item = &(Usage, Duration)> {
        self.seen.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(slots: &Slots) -> Vec<&str> {
        slots.loaded().collect()
    }

    #[test]
    fn the_adapter_used_longest_ago_makes_room() {
        let [a, b, c] = ["a", "b", "c"].map(Arc::from);
        let mut slots = Slots::new(2);
        assert_eq!(slots.admit(&a, |_| false), Admission::Loading);
        assert_eq!(slots.admit(&b, |_| false), Admission::Loading);
        assert_eq!(slots.admit(&a, |_| false), Admission::Loaded);
        assert_eq!(slots.admit(&c, |_| false), Admission::Loading);
        assert_eq!(names(&slots), ["a", "c"]);
    }

    #[test]
    fn an_adapter_in_use_is_not_unloaded() {
        let [a, b, c] = ["a", "b", "c"].map(Arc::from);
        let mut slots = Slots::new(2);
        slots.admit(&a, |_| false);
        slots.admit(&b, |_| false);
        assert_eq!(slots.admit(&c, |_| true), Admission::Wait);
        assert_eq!(slots.admit(&c, |name| name == "a"), Admission::Loading);
        assert_eq!(names(&slots), ["a", "c"]);
    }

    #[test]
    fn a_history_keeps_one_row_for_a_usage_and_drops_the_oldest() {
        let mut history = UsageHistory::default();
        let usage = |name: u64| Usage { running: name.to_string(), waiting: String::new() };
        history.note(usage(0), Duration::from_secs(1));
        history.note(usage(1), Duration::from_secs(2));
        history.note(usage(0), Duration::from_secs(3));
        assert_eq!(history.iter().count(), 2);
        for name in 2..=16 {
            history.note(usage(name), Duration::from_secs(2 + name));
        }
        assert_eq!(history.iter().count(), USAGES_MAX);
        assert!(history.iter().all(|(seen, _)| *seen != usage(1)));
    }
}
