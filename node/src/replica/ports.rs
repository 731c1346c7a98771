//! The ports of a replica, bound before anything is served.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::TcpListener;

use super::ReplicaError;
use crate::{command_line::Serving, server::bind};

/// Bound and not yet served.
pub(super) struct Ports {
    pub(super) extproc: TcpListener,
    pub(super) health: TcpListener,
    pub(super) metrics: TcpListener,
}

/// Where the ports are, which tells their numbers where 0 was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) extproc: SocketAddr,
    pub(super) health: SocketAddr,
    pub(super) metrics: SocketAddr,
}

impl Ports {
    pub(super) fn bind(serving: &Serving) -> Result<Self, ReplicaError> {
        Ok(Self {
            extproc: bind_any(serving.grpc_port, "grpc-port")?,
            health: bind_any(serving.health_port, "grpc-health-port")?,
            metrics: bind_any(serving.metrics_port, "metrics-port")?,
        })
    }

    pub(super) fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            extproc: self.extproc.local_addr()?,
            health: self.health.local_addr()?,
            metrics: self.metrics.local_addr()?,
        })
    }
}

/// Binds `port` on all addresses of both families, or of the one that there is.
fn bind_any(port: u16, flag: &'static str) -> Result<TcpListener, ReplicaError> {
    bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        .or_else(|_no_ipv6| bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))))
        .map_err(|source| ReplicaError::Bind { port, flag, source })
}
