//! What can be wrong with a command line, and what would be right.

/// Why the arguments were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    #[error("argument {position} is not UTF-8")]
    NotUtf8 { position: usize },
    #[error("there is no flag {written}")]
    Unknown { written: String, nearest: Option<&'static str> },
    #[error("flag --{name} is known, but not available in this version")]
    NotYet { name: &'static str, instead: &'static str },
    #[error("argument {value:?} belongs to no flag")]
    Stray { value: String, after_switch: Option<&'static str> },
    #[error("flag --{name} has no value")]
    NoValue { name: &'static str, expected: String },
    #[error("--{name} cannot be {value:?}")]
    Value { name: &'static str, value: String, expected: String },
    #[error("--{first} and --{second} contradict each other")]
    Contradiction { first: &'static str, second: &'static str, remedy: String },
}

impl CommandLineError {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotUtf8 { .. } => "write it in UTF-8".to_owned(),
            Self::Unknown { nearest: Some(nearest), .. } => format!("did you mean --{nearest}?"),
            Self::Unknown { nearest: None, .. } => "--help lists the flags".to_owned(),
            Self::NotYet { instead, .. } => (*instead).to_owned(),
            Self::Stray { value, after_switch: Some(switch) } => {
                format!("a switch takes its value after an equals sign: --{switch}={value}")
            }
            Self::Stray { after_switch: None, .. } => "remove it".to_owned(),
            Self::NoValue { expected, .. } | Self::Value { expected, .. } => {
                format!("write {expected}")
            }
            Self::Contradiction { remedy, .. } => remedy.clone(),
        }
    }
}
