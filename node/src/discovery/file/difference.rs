//! What a fresh list changes, in words for the log.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::discovery::ListedEndpoint;

/// So many endpoints are named at most; the others are counted.
const NAMED_MAX: usize = 8;

/// Who came, who went, and who is described otherwise than before; empty where nobody is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) added: String,
    pub(super) removed: String,
    pub(super) changed: String,
}

impl Difference {
    pub(super) fn new(before: &[ListedEndpoint], after: &[ListedEndpoint]) -> Self {
        let by_key = |listed: &'_ [ListedEndpoint]| {
            listed.iter().map(|endpoint| (endpoint.key.clone(), endpoint.clone())).collect()
        };
        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (by_key(before), by_key(after));
        let other = |endpoint: &&ListedEndpoint| {
            old.get(&endpoint.key).is_some_and(|before| before != *endpoint)
        };
        Self {
            added: named(new.values().filter(|endpoint| !old.contains_key(&endpoint.key))),
            removed: named(old.values().filter(|endpoint| !new.contains_key(&endpoint.key))),
            changed: named(new.values().filter(other)),
        }
    }
}

fn named<'a>(mut endpoints: impl Iterator<Item = &'a ListedEndpoint>) -> String {
    let mut text = String::new();
    for endpoint in endpoints.by_ref().take(NAMED_MAX) {
        let comma = if text.is_empty() { "" } else { ", " };
        let key = &endpoint.key;
        write!(text, "{comma}{}/{} ({})", key.namespace, key.name, key.address)
            .expect("writing to a string cannot fail");
    }
    match endpoints.count() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::file::list::parse;

    fn listed(entries: &str) -> Vec<ListedEndpoint> {
        parse(&format!("endpoints: [{entries}]")).unwrap()
    }

    #[test]
    fn who_came_went_and_changed_is_named() {
        let before = listed(
            "{name: a, address: 10.0.0.1, port: '80'}, {name: b, address: 10.0.0.2, port: '80'}, \
             {name: c, address: 10.0.0.3, port: '80'}",
        );
        let after = listed(
            "{name: b, address: 10.0.0.2, port: '80', ready: false}, \
             {name: c, address: 10.0.0.3, port: '80'}, {name: d, address: 10.0.0.4, port: '80'}",
        );
        let expected = Difference {
            added: "default/d (10.0.0.4:80)".into(),
            removed: "default/a (10.0.0.1:80)".into(),
            changed: "default/b (10.0.0.2:80)".into(),
        };
        assert_eq!(Difference::new(&before, &after), expected);
        assert_eq!(Difference::new(&after, &after), Difference::default());
    }

    #[test]
    fn of_many_the_rest_is_counted() {
        let entry = |n: usize| format!("{{name: e{n}, address: 10.0.1.{n}, port: '80'}}, ");
        let many = listed(&(1..=100).map(entry).collect::<String>());
        let said = Difference::new(&[], &many);
        assert!(said.added.ends_with(" and 92 more"), "{}", said.added);
        assert_eq!(said.added.matches(':').count(), NAMED_MAX);
    }
}
