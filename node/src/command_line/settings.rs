//! Settings that make sense together.

use std::time::Duration;

use crate::{
    config::{Overrides, Source},
    logging::LogSettings,
    replica::StopSettings,
    server::{
        bounds,
        tls::{CertificateSource, OldestVersion},
    },
};

/// Everything that the command line decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub pool: Pool,
    /// Where the `EndpointPickerConfig` stands.
    pub configuration: Source,
    pub serving: Serving,
    pub bounds: bounds::Limits,
    pub scraping: Scraping,
    pub logging: LogSettings,
    pub response_observation: ResponseObservation,
    /// Tells Envoy every endpoint's score.
    pub emit_endpoint_scores: bool,
    /// Picks only in the subset that a gateway allows.
    pub respect_subset: bool,
    /// What the operator should be told once, at the start.
    pub notices: Vec<String>,
}

/// The pool that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// `None`: there is no such object, so the endpoints must come from elsewhere.
    pub name: Option<String>,
    pub namespace: String,
    pub group: PoolGroup,
}

/// The API group of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolGroup {
    V1,
    V1Alpha2,
}

impl PoolGroup {
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "inference.networking.k8s.io" => Some(Self::V1),
            "inference.networking.x-k8s.io" => Some(Self::V1Alpha2),
            _ => None,
        }
    }
}

/// Ports, start and stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// 0, here and below: any that is free.
    pub grpc_port: u16,
    pub health_port: u16,
    pub metrics_port: u16,
    /// Answers gRPC health on the port that Envoy asks, too.
    pub health_on_grpc_port: bool,
    /// `None`: plain text.
    pub tls: Option<Tls>,
    /// The longest message taken from Envoy.
    pub message_bytes_max: u32,
    /// `None`: connections may grow old.
    pub connection_age_max: Option<Duration>,
    /// From a request's headers to its pick.
    pub request_deadline: Duration,
    pub stop: StopSettings,
}

/// How Envoy is spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub certificate: CertificateSource,
    /// Takes up changed certificate files.
    pub reload: bool,
    pub oldest_version: OldestVersion,
    /// Names as Go writes them; empty: the usual ones.
    pub cipher_suites: Vec<String>,
}

/// How model servers are asked for their load.
#[derive(Clone, Debug, PartialEq)]
pub struct Scraping {
    /// Between two askings of one endpoint, unless the configuration says otherwise.
    pub interval: Duration,
    /// A load older than this is unknown.
    pub load_age_max: Duration,
    pub overrides: Overrides,
}

/// Which answers pass through the picker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ResponseObservation {
    Full,
    Off,
    /// That share of them; it stands for the rest.
    Some(Share),
}

/// A share above 0 and below 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    pub fn new(share: f64) -> Option<Self> {
        (0.0 < share && share < 1.0).then_some(Self(share))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl ResponseObservation {
    /// Reads `full`, `off` or a number from 0 to 1.
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "full" => return Some(Self::Full),
            "off" => return Some(Self::Off),
            _ => {}
        }
        let share: f64 = text.parse().ok()?;
        match share {
            0.0 => Some(Self::Off),
            1.0 => Some(Self::Full),
            _ => Share::new(share).map(Self::Some),
        }
    }
}
