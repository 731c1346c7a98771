//! The table of flags: the one place that knows their names, values and meanings.

use std::time::Duration;

use super::{
    settings::{PoolGroup, ResponseObservation},
    written::{TlsMinVersion, Verbosity, Written},
};
use crate::{
    logging::{Encoder, TimeEncoding},
    notation::{bytes_from_text, bytes_to_text, duration_from_text, duration_to_text},
    plugins::Scheme,
    server::tls::OldestVersion,
};

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// Without dashes.
    pub(super) name: &'static str,
    pub(super) group: Group,
    pub(super) slot: Slot,
    pub(super) meaning: &'static str,
}

/// Flags that stand together in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Pool,
    Configuration,
    Serving,
    Tls,
    Answers,
    Bounds,
    Scraping,
    Logging,
    Observability,
    Replicas,
}

impl Group {
    pub(super) const ALL: [Self; 10] = [
        Self::Pool,
        Self::Configuration,
        Self::Serving,
        Self::Tls,
        Self::Answers,
        Self::Bounds,
        Self::Scraping,
        Self::Logging,
        Self::Observability,
        Self::Replicas,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Pool => "The pool",
            Self::Configuration => "Configuration",
            Self::Serving => "Ports, start and stop",
            Self::Tls => "TLS to Envoy",
            Self::Answers => "Picks and answers",
            Self::Bounds => "Bounds",
            Self::Scraping => "Model servers' metrics",
            Self::Logging => "Logging",
            Self::Observability => "The picker's own metrics and traces",
            Self::Replicas => "Replicas",
        }
    }
}

/// Where a flag's value goes, and so what it may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Switch(fn(&mut Written) -> &mut bool),
    Port(fn(&mut Written) -> &mut u16),
    Count(fn(&mut Written) -> &mut u32),
    Integer(fn(&mut Written) -> &mut i64),
    Time(fn(&mut Written) -> &mut Duration),
    Bytes(fn(&mut Written) -> &mut u64),
    Text(&'static str, fn(&mut Written) -> &mut String),
    /// Values with commas between; a repeated flag adds to them.
    List(fn(&mut Written) -> &mut Vec<String>),
    Words(&'static Words),
}

/// A value that is one of some words, or otherwise its own kind.
#[derive(Debug)]
pub(super) struct Words {
    /// Stands for the value in the help.
    pub(super) placeholder: &'static str,
    pub(super) expected: &'static str,
    pub(super) default: &'static str,
    pub(super) set: fn(&mut Written, &str) -> Option<()>,
}

impl Slot {
    /// Reads `value` into its place; `None` if it is not what the flag takes. `first` tells whether
    /// the flag stands on the command line for the first time.
    pub(super) fn set(self, written: &mut Written, value: &str, first: bool) -> Option<()> {
        match self {
            Self::Switch(place) => *place(written) = switch(value)?,
            Self::Port(place) => *place(written) = value.parse().ok()?,
            Self::Count(place) => *place(written) = value.parse().ok()?,
            Self::Integer(place) => *place(written) = value.parse().ok()?,
            Self::Time(place) => *place(written) = duration_from_text(value)?,
            // The picker that Convoy replaces takes an empty size for 0, its default.
            Self::Bytes(place) if value.is_empty() => *place(written) = 0,
            Self::Bytes(place) => *place(written) = bytes_from_text(value)?,
            Self::Text(_, place) => value.clone_into(place(written)),
            Self::List(place) => {
                let list = place(written);
                if first {
                    list.clear();
                }
                let values = value.split(',').map(str::trim).filter(|value| !value.is_empty());
                list.extend(values.map(str::to_owned));
            }
            Self::Words(words) => (words.set)(written, value)?,
        }
        Some(())
    }

    /// What a value must be, to end the sentence "write ...".
    pub(super) fn expected(self) -> String {
        match self {
            Self::Switch(_) => "true or false".to_owned(),
            Self::Port(_) => "a port from 0 to 65535".to_owned(),
            Self::Count(_) => format!("a whole number from 0 to {}", u32::MAX),
            Self::Integer(_) => "a whole number".to_owned(),
            Self::Time(_) => "a duration such as 50ms, 2s or 1m30s".to_owned(),
            Self::Bytes(_) => "a count of bytes such as 4194304, 64Mi or 10MB".to_owned(),
            Self::Text(kind, _) => format!("a value ({})", kind.to_lowercase()),
            Self::List(_) => "values with commas between".to_owned(),
            Self::Words(words) => words.expected.to_owned(),
        }
    }

    /// The value's stand-in in the help; empty for a switch.
    pub(super) fn placeholder(self) -> &'static str {
        match self {
            Self::Switch(_) => "",
            Self::Port(_) => "PORT",
            Self::Count(_) | Self::Integer(_) => "NUMBER",
            Self::Time(_) => "DURATION",
            Self::Bytes(_) => "BYTES",
            Self::Text(kind, _) => kind,
            Self::List(_) => "A,B,...",
            Self::Words(words) => words.placeholder,
        }
    }

    /// The value without the flag, as it would be written; empty if there is none.
    pub(super) fn default_text(self) -> String {
        let mut written = Written::default();
        match self {
            Self::Switch(place) => place(&mut written).to_string(),
            Self::Port(place) => place(&mut written).to_string(),
            Self::Count(place) => place(&mut written).to_string(),
            Self::Integer(place) => place(&mut written).to_string(),
            Self::Time(place) => duration_to_text(*place(&mut written)),
            Self::Bytes(place) => bytes_to_text(*place(&mut written)),
            Self::Text(_, place) => place(&mut written).clone(),
            Self::List(place) => place(&mut written).join(","),
            Self::Words(words) => words.default.to_owned(),
        }
    }
}

/// The words that Go takes for a boolean.
fn switch(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

const POOL_GROUP: Words = Words {
    placeholder: "GROUP",
    expected: "inference.networking.k8s.io or inference.networking.x-k8s.io",
    default: "inference.networking.k8s.io",
    set: |written, value| {
        written.pool_group = PoolGroup::from_text(value)?;
        Some(())
    },
};

const TLS_MIN_VERSION: Words = Words {
    placeholder: "VERSION",
    expected: "VersionTLS12 or VersionTLS13",
    default: "VersionTLS12",
    set: |written, value| {
        written.tls_min_version = match value {
            "" => TlsMinVersion::Unsaid,
            "VersionTLS10" | "VersionTLS11" => TlsMinVersion::Outdated,
            "VersionTLS12" => TlsMinVersion::Spoken(OldestVersion::Tls12),
            "VersionTLS13" => TlsMinVersion::Spoken(OldestVersion::Tls13),
            _ => return None,
        };
        Some(())
    },
};

const RESPONSE_OBSERVATION: Words = Words {
    placeholder: "full|off|SHARE",
    expected: "full, off, or a number from 0 to 1",
    default: "full",
    set: |written, value| {
        written.response_observation = ResponseObservation::from_text(value)?;
        Some(())
    },
};

const METRICS_SCHEME: Words = Words {
    placeholder: "http|https",
    expected: "http or https",
    default: "http",
    set: |written, value| {
        written.model_server_metrics_scheme = Scheme::from_text(value)?;
        Some(())
    },
};

const ZAP_ENCODER: Words = Words {
    placeholder: "json|console",
    expected: "json or console",
    default: "",
    set: |written, value| {
        written.zap_encoder = Some(match value.to_lowercase().as_str() {
            "json" => Encoder::Json,
            "console" => Encoder::Console,
            _ => return None,
        });
        Some(())
    },
};

const ZAP_LOG_LEVEL: Words = Words {
    placeholder: "LEVEL",
    expected: "debug, info, error, panic, or a whole number from 1 on",
    default: "",
    set: |written, value| {
        written.zap_log_level = Some(match value.to_lowercase().as_str() {
            "debug" => Verbosity::Debug,
            "info" => Verbosity::Usual,
            "error" | "panic" => Verbosity::Errors,
            number => Verbosity::of_number(number.parse().ok().filter(|&number: &i64| 0 < number)?),
        });
        Some(())
    },
};

const ZAP_STACKTRACE_LEVEL: Words = Words {
    placeholder: "LEVEL",
    expected: "info, error or panic",
    default: "",
    // There are no stack traces to ask for.
    set: |_, value| {
        matches!(value.to_lowercase().as_str(), "info" | "error" | "panic").then_some(())
    },
};

const ZAP_TIME_ENCODING: Words = Words {
    placeholder: "ENCODING",
    expected: "epoch, millis, nanos, iso8601, rfc3339 or rfc3339nano",
    default: "rfc3339",
    set: |written, value| {
        written.zap_time_encoding = match value.to_lowercase().as_str() {
            "epoch" => TimeEncoding::Epoch,
            "millis" => TimeEncoding::Millis,
            // The help of the picker that Convoy replaces says `nano`; its code takes `nanos`.
            "nanos" | "nano" => TimeEncoding::Nano,
            "iso8601" | "rfc3339" | "rfc3339nano" => TimeEncoding::Rfc3339,
            _ => return None,
        };
        Some(())
    },
};

mod table;

pub(super) use table::{FLAGS, NOT_YET};
