//! A YAML document read key by key, so that every fault names the key's path, the value that
//! stands there and what would be right.
//!
//! A reader asks a [`Mapping`] for each key it knows and then calls [`Mapping::finish`], which
//! refuses the keys nobody asked for.

mod fault;
mod mapping;
mod path;

use serde_json::Value;

pub use fault::{Fault, Problem};
pub use mapping::{Mapping, Node};
pub use path::KeyPath;

/// A parsed document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document(Value);

impl Document {
    /// Parses one YAML document (JSON is YAML). Duplicate keys are a fault.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let options = serde_saphyr::options! {
            strict_booleans: true,
        };
        serde_saphyr::from_str_with_options(text, options).map(Self).map_err(|source| Fault {
            path: KeyPath::default(),
            problem: Problem::Syntax(source.to_string()),
        })
    }

    /// The whole document.
    pub fn root(&self) -> Node<'_> {
        Node::new(KeyPath::default(), &self.0)
    }
}

#[cfg(test)]
mod tests;
