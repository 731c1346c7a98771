//! `metrics-data-source`: where each model server's metrics page is and how it is asked for.

use std::{path::PathBuf, time::Duration};

use super::Plugin;
use crate::document::{Fault, Mapping};

pub(super) const TYPE: &str = "metrics-data-source";

/// How to ask a model server for its metrics page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSource {
    pub scheme: Scheme,
    /// Starts with `/`.
    pub path: String,
    /// Asks at this port instead of the endpoint's own.
    pub port: Option<u16>,
    /// Takes any certificate of the model server. Of no effect without TLS.
    pub insecure_skip_verify: bool,
    /// The authorities that sign the model servers' certificates; the system's if none.
    pub ca_path: Option<PathBuf>,
    /// What to show the model server.
    pub client_certificate: Option<ClientCertificate>,
    /// Between one asking and the next, if not the general refresh interval.
    pub interval: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate_path: PathBuf,
    pub key_path: PathBuf,
}

impl Default for MetricsSource {
    fn default() -> Self {
        Self {
            scheme: Scheme::Http,
            path: "/metrics".to_owned(),
            port: None,
            insecure_skip_verify: true,
            ca_path: None,
            client_certificate: None,
            interval: None,
        }
    }
}

impl Scheme {
    /// `http` or `https`; nothing else.
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }
}

pub(super) fn build(parameters: &mut Mapping<'_>) -> Result<Plugin, Fault> {
    let mut source = MetricsSource::default();
    if let Some(scheme) = parameters.text("scheme")? {
        let scheme = Scheme::from_text(scheme);
        source.scheme = scheme.ok_or_else(|| parameters.refuse("scheme", "http or https"))?;
    }
    if let Some(path) = parameters.text("path")? {
        if !path.starts_with('/') {
            return Err(parameters.refuse("path", "a path that starts with /"));
        }
        path.clone_into(&mut source.path);
    }
    source.port = parameters.port("port")?;
    if let Some(skip) = parameters.flag("insecureSkipVerify")? {
        source.insecure_skip_verify = skip;
    }
    source.ca_path = path_of(parameters, "caCertPath")?;
    let certificate = path_of(parameters, "clientCertPath")?;
    let key = path_of(parameters, "clientKeyPath")?;
    source.client_certificate = match (certificate, key) {
        (Some(certificate_path), Some(key_path)) => {
            Some(ClientCertificate { certificate_path, key_path })
        }
        (None, None) => None,
        (Some(_), None) => {
            let expected = "the key's path, since clientCertPath is set";
            return Err(parameters.refuse("clientKeyPath", expected));
        }
        (None, Some(_)) => {
            let expected = "the certificate's path, since clientKeyPath is set";
            return Err(parameters.refuse("clientCertPath", expected));
        }
    };
    source.interval = parameters.duration("interval")?.filter(|interval| !interval.is_zero());
    Ok(Plugin::MetricsSource(source))
}

fn path_of(parameters: &mut Mapping<'_>, key: &'static str) -> Result<Option<PathBuf>, Fault> {
    Ok(parameters.text(key)?.filter(|path| !path.is_empty()).map(PathBuf::from))
}
