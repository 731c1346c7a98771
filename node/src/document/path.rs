//! Where in a document something stands: `schedulingProfiles[0].plugins[2].pluginRef`.

use std::fmt;

/// The way from the document's root to one key or list entry. The root itself is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(String);

impl KeyPath {
    /// The path of `key` in the mapping that stands here.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        match self.0.as_str() {
            "" => Self(key.to_owned()),
            here => Self(format!("{here}.{key}")),
        }
    }

    /// The path of entry `index`, from 0, of the list that stands here.
    #[must_use]
    pub fn entry(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "the document" } else { &self.0 })
    }
}
