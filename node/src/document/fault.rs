//! What can be wrong with a document's keys and values, as such.

use super::KeyPath;

/// Something wrong at one place of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Fault {
    pub path: KeyPath,
    pub problem: Problem,
}

/// What is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("not YAML: {0}")]
    Syntax(String),
    #[error("is missing")]
    Missing { expected: String },
    #[error("no such key")]
    UnknownKey { nearest: Option<&'static str>, known: Vec<&'static str> },
    #[error("cannot be {value}")]
    Value { value: String, expected: String },
}

impl Problem {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        match self {
            Self::Syntax(_) => "correct the line that the message names".to_owned(),
            Self::Missing { expected } => format!("set it to {expected}"),
            Self::UnknownKey { nearest: Some(nearest), .. } => {
                format!("remove it, or did you mean {nearest}?")
            }
            Self::UnknownKey { nearest: None, known } if known.is_empty() => {
                "remove it; no keys are taken here".to_owned()
            }
            Self::UnknownKey { nearest: None, known } => {
                format!("remove it; the keys here are {}", known.join(", "))
            }
            Self::Value { expected, .. } => format!("write {expected}"),
        }
    }
}
