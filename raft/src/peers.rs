//! Where the other replicas are: `--cluster-peers`, and the book of addresses that grows from it.
//!
//! The log knows names only, since the restart of all pods changes every address. Addresses come from what the
//! operator wrote, which may be a DNS name that is resolved again and again, and from what replicas say of
//! themselves when they meet.

mod book;

use std::{fmt, io, net::IpAddr, num::ParseIntError, str::FromStr};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use self::book::{ADDRESSES_MAX, Book};
use crate::identity::ReplicaName;

/// What `--cluster-peers` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// These, and perhaps this replica itself.
    Listed(Vec<Address>),
    /// Whatever this name resolves to at the moment.
    Dns(Address),
}

/// `host:port`, where the host is a name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

/// Why a text names no peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPeers {
    #[error(
        "no peer is named; write host:port,host:port or dns:NAME:PORT, or leave the flag out for one replica"
    )]
    Empty,
    #[error("{address} is named twice; name each replica once")]
    Twice { address: Address },
    #[error("{listed} peers are more than {ADDRESSES_MAX}")]
    TooMany { listed: usize },
    #[error("dns: takes one name, and {0:?} has a comma; write dns:NAME:PORT")]
    DnsList(String),
    #[error("dns:{0} is an IP address, which has nothing to resolve; write it without dns:")]
    DnsOfIp(Address),
    #[error(transparent)]
    Address(#[from] BadAddress),
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    #[error("{0:?} has no port; write host:port, such as epp-0.epp:9010")]
    NoPort(String),
    #[error("{0:?} has no host; write host:port, such as epp-0.epp:9010")]
    NoHost(String),
    #[error("port {port:?} of {address:?} is none; a number from 1 to 65535 is right")]
    Port { address: String, port: String, source: Option<ParseIntError> },
    #[error("host {host:?} of {address:?} is neither a host name nor an IP address")]
    Host { address: String, host: String },
    #[error("{0:?} is an IPv6 address without brackets; write [address]:port")]
    Brackets(String),
}

/// Why the declared number of replicas is not known or not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSize {
    #[error("dns:{0} does not say how many replicas there are; add --cluster-size")]
    Missing(Address),
    #[error(
        "--cluster-size 0 leaves nobody; one replica needs neither --cluster-size nor --cluster-peers"
    )]
    Zero,
    #[error("--cluster-size {0} is more than {ADDRESSES_MAX}")]
    TooMany(u16),
}

/// Finds what a DNS name means at the moment.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses behind `name`, each with its port. Asked again and again.
    fn resolve(&self, name: &Address) -> BoxFuture<'static, io::Result<Vec<Address>>>;
}

impl Peers {
    /// How many replicas the cluster is declared to have: `size` if given, else the number listed, this replica
    /// included. It is in the list if its address or its name is.
    pub fn declared(
        &self,
        size: Option<u16>,
        name: &ReplicaName,
        advertised: &Address,
    ) -> Result<u16, BadSize> {
        let bound = u16::try_from(ADDRESSES_MAX).unwrap_or(u16::MAX);
        match (size, self) {
            (Some(0), _) => Err(BadSize::Zero),
            (Some(size), _) if bound < size => Err(BadSize::TooMany(size)),
            (Some(size), _) => Ok(size),
            (None, Self::Dns(name)) => Err(BadSize::Missing(name.clone())),
            (None, Self::Listed(listed)) => {
                let own = listed.iter().any(|peer| peer == advertised || peer.is_of(name));
                let count = listed.len() + usize::from(!own);
                u16::try_from(count).map_err(|_| BadSize::TooMany(u16::MAX))
            }
        }
    }
}

impl FromStr for Peers {
    type Err = BadPeers;

    fn from_str(text: &str) -> Result<Self, BadPeers> {
        if let Some(name) = text.trim().strip_prefix("dns:") {
            if name.contains(',') {
                return Err(BadPeers::DnsList(name.to_owned()));
            }
            let name = Address::from_str(name)?;
            if name.host.parse::<IpAddr>().is_ok() {
                return Err(BadPeers::DnsOfIp(name));
            }
            return Ok(Self::Dns(name));
        }
        let mut listed = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let address = Address::from_str(part)?;
            if listed.contains(&address) {
                return Err(BadPeers::Twice { address });
            }
            listed.push(address);
        }
        match listed.len() {
            0 => Err(BadPeers::Empty),
            listed if ADDRESSES_MAX < listed => Err(BadPeers::TooMany { listed }),
            _ => Ok(Self::Listed(listed)),
        }
    }
}

impl Address {
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is the replica's name, as with pods: `epp-0.epp.namespace.svc` is of `epp-0`.
    fn is_of(&self, name: &ReplicaName) -> bool {
        let label = self.host.strip_prefix(name.as_str());
        label.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl From<std::net::SocketAddr> for Address {
    fn from(address: std::net::SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (host, port) = split(text)?;
        let bad_port =
            |source| BadAddress::Port { address: text.to_owned(), port: port.to_owned(), source };
        let port: u16 = port.parse().map_err(|source| bad_port(Some(source)))?;
        if port == 0 {
            return Err(bad_port(None));
        }
        if host.is_empty() {
            return Err(BadAddress::NoHost(text.to_owned()));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.parse::<IpAddr>().is_err() && (!host.chars().all(legal) || 253 < host.len()) {
            let (address, host) = (text.to_owned(), host.to_owned());
            return Err(BadAddress::Host { address, host });
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

fn split(text: &str) -> Result<(&str, &str), BadAddress> {
    let no_port = || BadAddress::NoPort(text.to_owned());
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(no_port)?;
        return Ok((host, rest.strip_prefix(':').ok_or_else(no_port)?));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
    if host.contains(':') {
        return Err(BadAddress::Brackets(text.to_owned()));
    }
    Ok((host, port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for Address {
    type Error = BadAddress;

    fn try_from(text: String) -> Result<Self, BadAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests;
