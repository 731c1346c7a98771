//! `EndpointPickerConfig`: read, checked, and turned into what the picker runs.
//!
//! `written::Written` is what stands in the file, [`Checked`] what makes sense. Whatever is wrong
//! stops the start with an [`Invalid`] that names file, key, value and remedy.

mod built_in;
mod check;
mod data_layer;
mod error;
mod overrides;
mod prefix;
mod profile;
mod written;

use std::{fmt, fs, path::PathBuf};

pub use check::{Checked, Discovery, MetricsReading};
pub use error::{ConfigError, Invalid, Problem};
pub use overrides::Overrides;

use crate::document::Document;

/// Where a configuration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: the built-in one is used.
    BuiltIn,
    File(PathBuf),
    /// On the command line.
    Text(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in configuration"),
            Self::Text(_) => f.write_str("--config-text"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A configuration longer than this is refused unread; Kubernetes itself stores no longer ones.
const BYTES_MAX: u64 = 1 << 20;

/// Reads and checks the configuration that `source` names. An empty one is the built-in one.
pub fn load(source: &Source, overrides: &Overrides) -> Result<Checked, ConfigError> {
    let text = match source {
        Source::BuiltIn => String::new(),
        Source::Text(text) => text.clone(),
        Source::File(path) => read(path)?,
    };
    let text = if text.is_empty() { built_in::TEXT } else { &text };
    let checked = Document::parse(text)
        .map_err(Invalid::from)
        .and_then(|document| check::check(&written::read(&document)?, overrides));
    checked.map_err(|invalid| ConfigError::Invalid { origin: source.to_string(), invalid })
}

fn read(path: &PathBuf) -> Result<String, ConfigError> {
    let refused = |source| ConfigError::Read { path: path.clone(), source };
    let bytes = fs::metadata(path).map_err(refused)?.len();
    if BYTES_MAX < bytes {
        return Err(ConfigError::TooLong { path: path.clone(), bytes, bytes_max: BYTES_MAX });
    }
    fs::read_to_string(path).map_err(refused)
}

#[cfg(test)]
mod tests;
