//! Values of a document, asked for by type; an absent key and a null are the same.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Fault, KeyPath, Problem};
use crate::notation::{duration_from_text, nearest};

/// One value and where it stands.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    path: KeyPath,
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub(super) fn new(path: KeyPath, value: &'a Value) -> Self {
        Self { path, value }
    }

    pub fn path(&self) -> &KeyPath {
        &self.path
    }

    /// The value as a mapping. An empty document or a null is an empty mapping.
    pub fn mapping(&self) -> Result<Mapping<'a>, Fault> {
        match self.value {
            Value::Object(entries) => Ok(Mapping::new(self.path.clone(), Some(entries))),
            Value::Null => Ok(Mapping::new(self.path.clone(), None)),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(self.refuse("a mapping of keys to values"))
            }
        }
    }

    /// The value as text. Numbers and booleans are not text unless quoted.
    pub fn text(&self) -> Result<&'a str, Fault> {
        self.value.as_str().ok_or_else(|| self.refuse("text (quote it if it looks like a number)"))
    }

    /// A fault that says what should stand here instead.
    pub fn refuse(&self, expected: impl Into<String>) -> Fault {
        let value = shortened(&self.value.to_string());
        Fault {
            path: self.path.clone(),
            problem: Problem::Value { value, expected: expected.into() },
        }
    }
}

/// A mapping that remembers which keys were asked for.
#[derive(Debug)]
pub struct Mapping<'a> {
    path: KeyPath,
    entries: Option<&'a Map<String, Value>>,
    known: Vec<&'static str>,
}

impl<'a> Mapping<'a> {
    fn new(path: KeyPath, entries: Option<&'a Map<String, Value>>) -> Self {
        Self { path, entries, known: Vec::new() }
    }

    /// A mapping without keys, for what was left out.
    pub fn absent(path: KeyPath) -> Self {
        Self::new(path, None)
    }

    pub fn path(&self) -> &KeyPath {
        &self.path
    }

    /// The value of `key`, whatever it is.
    pub fn node(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.known.push(key);
        let value = self.entries?.get(key)?;
        (!value.is_null()).then(|| Node::new(self.path.key(key), value))
    }

    pub fn text(&mut self, key: &'static str) -> Result<Option<&'a str>, Fault> {
        self.node(key).map(|node| node.text()).transpose()
    }

    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Fault> {
        self.node(key)
            .map(|node| node.value.as_bool().ok_or_else(|| node.refuse("true or false")))
            .transpose()
    }

    pub fn number(&mut self, key: &'static str) -> Result<Option<f64>, Fault> {
        self.node(key)
            .map(|node| node.value.as_f64().ok_or_else(|| node.refuse("a number")))
            .transpose()
    }

    pub fn integer(&mut self, key: &'static str) -> Result<Option<i64>, Fault> {
        self.node(key)
            .map(|node| node.value.as_i64().ok_or_else(|| node.refuse("a whole number")))
            .transpose()
    }

    /// A whole number from `least` on.
    pub fn count(&mut self, key: &'static str, least: u32) -> Result<Option<u32>, Fault> {
        let Some(node) = self.node(key) else { return Ok(None) };
        let count = node.value.as_u64().and_then(|count| u32::try_from(count).ok());
        match count.filter(|&count| least <= count) {
            Some(count) => Ok(Some(count)),
            None => Err(node.refuse(format!("a whole number from {least} to {}", u32::MAX))),
        }
    }

    pub fn port(&mut self, key: &'static str) -> Result<Option<u16>, Fault> {
        let Some(node) = self.node(key) else { return Ok(None) };
        let port = node.value.as_u64().and_then(|port| u16::try_from(port).ok());
        match port.filter(|&port| port != 0) {
            Some(port) => Ok(Some(port)),
            None => Err(node.refuse("a port from 1 to 65535")),
        }
    }

    /// A duration; an empty text is the same as an absent key.
    pub fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, Fault> {
        let Some(node) = self.node(key) else { return Ok(None) };
        match duration_from_text(node.text()?) {
            _ if node.text()?.is_empty() => Ok(None),
            Some(duration) => Ok(Some(duration)),
            None => Err(node.refuse("a duration such as 50ms, 2s or 1m30s")),
        }
    }

    /// The mapping under `key`; an empty one if the key is absent.
    pub fn mapping(&mut self, key: &'static str) -> Result<Mapping<'a>, Fault> {
        match self.node(key) {
            Some(node) => node.mapping(),
            None => Ok(Mapping::absent(self.path.key(key))),
        }
    }

    /// The entries of the list under `key`; none if the key is absent.
    pub fn list(&mut self, key: &'static str) -> Result<Vec<Node<'a>>, Fault> {
        let Some(node) = self.node(key) else { return Ok(Vec::new()) };
        let Value::Array(entries) = node.value else { return Err(node.refuse("a list")) };
        let entry = |(index, value)| Node::new(node.path.entry(index), value);
        Ok(entries.iter().enumerate().map(entry).collect())
    }

    /// The value of a key that cannot be left out. Where another key looks like that one misspelt,
    /// the fault is told of the other.
    pub fn required<T>(
        &self,
        key: &'static str,
        value: Option<T>,
        expected: &str,
    ) -> Result<T, Fault> {
        value.ok_or_else(|| match self.misspelt(key) {
            Some(written) => Fault {
                path: self.path.key(written),
                problem: Problem::UnknownKey { nearest: Some(key), known: self.known.clone() },
            },
            None => Fault {
                path: self.path.key(key),
                problem: Problem::Missing { expected: expected.to_owned() },
            },
        })
    }

    /// A key that nobody has asked for and that was probably meant to be `key`, which is not there.
    fn misspelt(&self, key: &str) -> Option<&'a str> {
        let entries = self.entries.filter(|entries| !entries.contains_key(key))?;
        let mut others = entries.keys().map(String::as_str);
        others.find(|other| !self.known.contains(other) && nearest(other, [key]).is_some())
    }

    /// A fault at `key`, whose value should have been something else.
    pub fn refuse(&self, key: &str, expected: impl Into<String>) -> Fault {
        let (path, expected) = (self.path.key(key), expected.into());
        match self.entries.and_then(|entries| entries.get(key)) {
            None | Some(Value::Null) => Fault { path, problem: Problem::Missing { expected } },
            Some(value) => Node::new(path, value).refuse(expected),
        }
    }

    /// Every key and its value, for a mapping whose keys are anyone's choice.
    pub fn into_entries(self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        let path = self.path;
        let entries = self.entries.into_iter().flatten();
        entries.map(move |(key, value)| (key.as_str(), Node::new(path.key(key), value)))
    }

    /// Refuses the first key that nobody asked for.
    pub fn finish(self) -> Result<(), Fault> {
        let mut keys = self.entries.into_iter().flat_map(Map::keys);
        let Some(key) = keys.find(|key| !self.known.contains(&key.as_str())) else { return Ok(()) };
        Err(Fault {
            path: self.path.key(key),
            problem: Problem::UnknownKey {
                nearest: nearest(key, self.known.iter().copied()),
                known: self.known,
            },
        })
    }
}

/// Values longer than this are cut in messages.
const SHOWN_CHARS_MAX: usize = 120;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}
