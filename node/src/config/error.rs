//! What can be wrong with a configuration, and what would be right.

use std::{io, path::PathBuf};

use crate::{
    document::{self, Fault, KeyPath},
    plugins::NotAvailable,
};

/// Why no configuration could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is {bytes} bytes long, more than {bytes_max}", path.display())]
    TooLong { path: PathBuf, bytes: u64, bytes_max: u64 },
    #[error("{origin}: {invalid}")]
    Invalid { origin: String, invalid: Invalid },
}

impl ConfigError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Read { .. } => "make --config-file name a readable file".to_owned(),
            Self::TooLong { .. } => "make --config-file name an EndpointPickerConfig".to_owned(),
            Self::Invalid { invalid, .. } => invalid.problem.remedy(),
        }
    }
}

/// Something wrong at one key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Invalid {
    pub path: KeyPath,
    pub problem: Problem,
}

impl From<Fault> for Invalid {
    fn from(Fault { path, problem }: Fault) -> Self {
        Self { path, problem: Problem::Document(problem) }
    }
}

/// What is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(transparent)]
    Document(#[from] document::Problem),
    #[error(transparent)]
    Plugin(#[from] NotAvailable),
    #[error("a part of the picker that Convoy replaces that is not available in this version")]
    NotYet { instead: &'static str },
    #[error("{name:?} already stands at {first}")]
    NameTwice { name: String, first: KeyPath },
    #[error("{name:?} names no plugin")]
    NoSuchPlugin { name: String, nearest: Option<String> },
    #[error("plugin {name:?} is of type {plugin_type}, not {wanted}")]
    WrongType { name: String, plugin_type: &'static str, wanted: &'static str },
    #[error("a second {what}; the first is at {first}")]
    Second { what: &'static str, first: KeyPath },
    #[error("a second profile, and single-profile-handler serves one")]
    SecondProfile,
    #[error("there is no feature gate {name:?}")]
    NoSuchGate { name: String, nearest: Option<&'static str> },
    #[error("contradicts flag --{flag}")]
    AgainstFlag { flag: &'static str },
    #[error("parameters of the prefix index, which {first} sets, too")]
    IndexTwice { first: KeyPath },
    #[error("says nothing, so endpoints would come from Kubernetes, which is not available yet")]
    NeedsKubernetes { declared: Option<String> },
}

impl Problem {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        match self {
            Self::Document(problem) => problem.remedy(),
            Self::Plugin(problem) => problem.remedy(),
            Self::NotYet { instead } => (*instead).to_owned(),
            Self::NameTwice { .. } => "give each a name of its own".to_owned(),
            Self::NoSuchPlugin { nearest: Some(nearest), .. } => {
                format!("declare it under plugins, or did you mean {nearest}?")
            }
            Self::NoSuchPlugin { nearest: None, .. } => "declare it under plugins".to_owned(),
            Self::WrongType { wanted, .. } => format!("name a plugin that is {wanted}"),
            Self::Second { .. } | Self::SecondProfile => "remove one of them".to_owned(),
            Self::NoSuchGate { nearest: Some(nearest), .. } => {
                format!("remove it, or did you mean {nearest}?")
            }
            Self::NoSuchGate { nearest: None, .. } => "remove it".to_owned(),
            Self::AgainstFlag { flag } => {
                format!("say it in one place: remove --{flag}, or this plugin")
            }
            Self::IndexTwice { .. } => "set them in one place".to_owned(),
            Self::NeedsKubernetes { declared: Some(name) } => {
                format!("set it to {name}, which is declared under plugins")
            }
            Self::NeedsKubernetes { declared: None } => {
                "declare a plugin of type file-discovery and name it at this key".to_owned()
            }
        }
    }
}
