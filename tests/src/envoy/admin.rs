//! Envoy's admin interface: readiness, statistics, and what it knows of its endpoints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an answer may take. Envoy's main thread answers; under load on few cores it waits.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why the admin interface gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("cannot connect to Envoy's admin interface at {address}")]
    Connect { address: SocketAddr, source: std::io::Error },
    #[error("Envoy's admin interface did not answer {path}")]
    Http { path: String, source: hyper::Error },
    #[error("Envoy's admin interface did not answer {path} in time")]
    Late { path: String },
    #[error("Envoy's admin interface answered {path} with {status}")]
    Status { path: String, status: u16 },
    #[error("Envoy's admin interface answered {path} in an unknown form")]
    Form { path: String, source: serde_json::Error },
}

/// Asks one Envoy, one connection a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin {
    pub(super) address: SocketAddr,
}

impl Admin {
    /// Whether the workers listen.
    pub(super) async fn ready(&self) -> bool {
        self.get("/ready").await.is_ok()
    }

    /// The address that the first listener got.
    pub(super) async fn listener(&self) -> Result<Option<SocketAddr>, AdminError> {
        let listeners: Listeners = self.get_json("/listeners?format=json").await?;
        Ok(listeners.listener_statuses.first().and_then(|one| one.local_address.parse()))
    }

    /// Address and health of each endpoint that `cluster` has, in order. Health is what endpoint
    /// discovery said, not what Envoy found out.
    pub(super) async fn endpoints(
        &self,
        cluster: &str,
    ) -> Result<Vec<(SocketAddr, String)>, AdminError> {
        let clusters: Clusters = self.get_json("/clusters?format=json").await?;
        let found = clusters.cluster_statuses.into_iter().find(|status| status.name == cluster);
        let hosts = found.map(|status| status.host_statuses).unwrap_or_default();
        let mut endpoints: Vec<_> = hosts
            .into_iter()
            .filter_map(|host| {
                let health = host.health_status.eds_health_status;
                Some((host.address.parse()?, health.unwrap_or_default()))
            })
            .collect();
        endpoints.sort();
        Ok(endpoints)
    }

    /// Counters and gauges whose names begin with `prefix`.
    pub(super) async fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>, AdminError> {
        let text = self.get("/stats").await?;
        let numbers = text.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(": ")?;
            name.starts_with(prefix).then_some((name.to_owned(), value.parse().ok()?))
        });
        Ok(numbers.collect())
    }

    async fn get_json<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, AdminError> {
        let text = self.get(path).await?;
        serde_json::from_str(&text)
            .map_err(|source| AdminError::Form { path: path.to_owned(), source })
    }

    async fn get(&self, path: &str) -> Result<String, AdminError> {
        let late = |_| AdminError::Late { path: path.to_owned() };
        timeout(ANSWER_WITHIN, self.get_unbounded(path)).await.map_err(late)?
    }

    async fn get_unbounded(&self, path: &str) -> Result<String, AdminError> {
        let address = self.address;
        let failed = |source| AdminError::Http { path: path.to_owned(), source };
        let stream = TcpStream::connect(address)
            .await
            .map_err(|source| AdminError::Connect { address, source })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // The connection ends with the answer, or is dropped with this set.
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let mut request = http::Request::new(Empty::<bytes::Bytes>::new());
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("admin"));
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(failed)?.to_bytes();
        if status == 200 {
            Ok(String::from_utf8_lossy(&body).into_owned())
        } else {
            Err(AdminError::Status { path: path.to_owned(), status })
        }
    }
}

#[derive(Deserialize)]
struct Listeners {
    #[serde(default)]
    listener_statuses: Vec<ListenerStatus>,
}

#[derive(Deserialize)]
struct ListenerStatus {
    local_address: Address,
}

#[derive(Deserialize)]
struct Clusters {
    #[serde(default)]
    cluster_statuses: Vec<ClusterStatus>,
}

#[derive(Deserialize)]
struct ClusterStatus {
    name: String,
    #[serde(default)]
    host_statuses: Vec<HostStatus>,
}

#[derive(Deserialize)]
struct HostStatus {
    address: Address,
    #[serde(default)]
    health_status: HealthStatus,
}

#[derive(Default, Deserialize)]
struct HealthStatus {
    eds_health_status: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    socket_address: Option<SocketAddress>,
}

#[derive(Deserialize)]
struct SocketAddress {
    address: std::net::IpAddr,
    /// Left out when it is 0.
    #[serde(default)]
    port_value: u16,
}

impl Address {
    fn parse(&self) -> Option<SocketAddr> {
        let address = self.socket_address.as_ref()?;
        Some(SocketAddr::new(address.address, address.port_value))
    }
}
