//! The endpoints of a cluster, in the file that Envoy watches.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::{fs, io};

use serde_json::{Value, json};

use super::bootstrap::typed;

/// One address of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub health: Health,
}

/// What endpoint discovery says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Healthy,
    /// What Istio sends, from 1.31 on, for a pod that is not ready.
    Unhealthy,
    Draining,
}

impl Endpoint {
    /// An endpoint that can be used.
    pub fn healthy(address: SocketAddr) -> Self {
        Self { address, health: Health::Healthy }
    }
}

impl Health {
    /// By the name that configuration and admin interface share.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Draining => "DRAINING",
        }
    }
}

/// An address as Envoy writes it in JSON.
pub(super) fn socket_address(ip: IpAddr, port: u16) -> Value {
    json!({"socket_address": {"address": ip, "port_value": port}})
}

/// Publishes `endpoints` as all that `cluster` has. The file is moved into place: Envoy does not
/// see what is written to the watched file itself, and must not read half of it.
pub(super) fn publish(path: &Path, cluster: &str, endpoints: &[Endpoint]) -> io::Result<()> {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|endpoint| {
            let address = socket_address(endpoint.address.ip(), endpoint.address.port());
            json!({
                "endpoint": {"address": address},
                "health_status": endpoint.health.name(),
                "load_balancing_weight": 1
            })
        })
        .collect();
    let assignment = typed(
        "envoy.config.endpoint.v3.ClusterLoadAssignment",
        json!({"cluster_name": cluster, "endpoints": [{"lb_endpoints": endpoints}]}),
    );
    let part = path.with_extension("part");
    fs::write(&part, json!({"resources": [assignment]}).to_string())?;
    fs::rename(&part, path)
}
