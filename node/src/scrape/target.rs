//! Where one endpoint's metrics page is.

use http::{HeaderValue, uri::Authority};
use rustls_pki_types::ServerName;

/// A host to dial, and how to name it to the server behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// A name or an address; IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) host_header: HeaderValue,
    pub(super) server_name: ServerName<'static>,
}

impl Target {
    /// Reads `host:port`; `port_override` replaces the port. `None` if it is no such thing.
    pub(super) fn parse(metrics_host: &str, port_override: Option<u16>) -> Option<Self> {
        let authority: Authority = metrics_host.parse().ok()?;
        let port = port_override.or_else(|| authority.port_u16())?;
        let bracketed = authority.host();
        let host = bracketed.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = host.unwrap_or(bracketed).to_owned();
        Some(Self {
            host_header: HeaderValue::from_str(&format!("{bracketed}:{port}")).ok()?,
            server_name: ServerName::try_from(host.clone()).ok()?,
            host,
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_addresses_and_replaces_the_port() {
        let rows = [
            ("10.0.0.1:8000", None, ("10.0.0.1", 8000, "10.0.0.1:8000")),
            ("10.0.0.1:8000", Some(9400), ("10.0.0.1", 9400, "10.0.0.1:9400")),
            ("10.0.0.1", Some(9400), ("10.0.0.1", 9400, "10.0.0.1:9400")),
            ("[fd00::1]:80", None, ("fd00::1", 80, "[fd00::1]:80")),
            ("server.example:80", None, ("server.example", 80, "server.example:80")),
        ];
        for (text, port, (host, dialed, header)) in rows {
            let target = Target::parse(text, port).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, dialed), "{text}");
            assert_eq!(target.host_header, header, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_none() {
        for text in ["", "10.0.0.1", ":80", "a b:80", "http://a:80", "a:80/x"] {
            assert_eq!(Target::parse(text, None), None, "{text}");
        }
    }
}
