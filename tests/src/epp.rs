//! A picker of our own: `epp` started by the command line that charts use, and asked how it does.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use convoy_proto::health::health_check_response::ServingStatus;
use convoy_proto::health::{HealthCheckRequest, health_client::HealthClient};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use crate::binaries::{self, BuildError};
use crate::body::Body;
use crate::client::{Connection, Protocol};
use crate::processes::{self, NeverHappened, Process, eventually};

/// How long a picker may take until it says SERVING. It takes milliseconds on an idle machine.
const WITHIN: Duration = Duration::from_secs(30);

/// The service that a picker's readiness is asked for, by the charts' probes.
const SERVICE: &str = "envoy.service.ext_proc.v3.ExternalProcessor";

/// How to start a picker.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What its logs are called, and what it is called in them.
    pub name: String,
    /// Where configuration, list of endpoints and logs go. Pickers that share a pool share it.
    pub directory: PathBuf,
    /// Flags beside those that every chart gives.
    pub flags: Vec<String>,
}

/// A running picker. It is killed when dropped, and when this process dies.
#[derive(Debug)]
pub struct Epp {
    process: Process,
    ports: Ports,
}

/// Where a picker listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub extproc: SocketAddr,
    pub health: SocketAddr,
    pub metrics: SocketAddr,
}

/// What a picker says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Serving,
    NotServing,
    /// Nobody answers.
    Gone,
}

/// Why a picker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EppError {
    #[error("there is no picker to start")]
    Build(#[source] BuildError),
    #[error("cannot write in {directory}")]
    Files { directory: PathBuf, source: io::Error },
    #[error("cannot start the picker")]
    Start(#[source] processes::StartError),
    #[error("the picker ended at its start; its last words:\n{log}")]
    Ended { log: String },
    #[error("the picker did not become ready; its last words:\n{log}")]
    NotReady { log: String, source: NeverHappened },
}

impl Epp {
    /// Starts a picker on free ports and waits until it says SERVING.
    pub async fn start(launch: &Launch) -> Result<Self, EppError> {
        let binary = binaries::epp().map_err(EppError::Build)?;
        let configuration = write_configuration(&launch.directory)
            .map_err(|source| EppError::Files { directory: launch.directory.clone(), source })?;
        let mut command = Command::new(binary);
        command
            .args(["--pool-name", "demo", "--pool-namespace", "default", "--v", "2"])
            .args(["--zap-encoder", "json"])
            .arg("--config-file")
            .arg(configuration)
            .args(["--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0"])
            .args(&launch.flags)
            .env("POD_NAME", &launch.name);
        Self::start_as(&launch.name, command, &launch.directory).await
    }

    /// Starts the picker that `command` is, which logs JSON, and waits until it says SERVING. Its
    /// logs go to `logs` and are called `name`.
    pub async fn start_as(name: &str, command: Command, logs: &Path) -> Result<Self, EppError> {
        let mut process = Process::start(name, command, logs).map_err(EppError::Start)?;
        match serving(&mut process).await {
            Ok(Some(ports)) => Ok(Self { process, ports }),
            Ok(None) => Err(EppError::Ended { log: process.last_words(20) }),
            Err(source) => Err(EppError::NotReady { log: process.last_words(20), source }),
        }
    }

    /// Where it listens.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// The process, to stop it or to read what it costs.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it says of itself.
    pub async fn readiness(&self) -> Readiness {
        readiness(self.ports.health).await
    }

    /// Its metrics page; none if it does not answer.
    pub async fn metrics_page(&self) -> Option<String> {
        let mut connection = Connection::open(self.ports.metrics, Protocol::Http1).await.ok()?;
        let request = http::Request::get("/metrics").body(Body::empty()).ok()?;
        let answer = connection.send(request).await.ok()?.whole().await.ok()?;
        answer.status.is_success().then(|| String::from_utf8_lossy(&answer.body).into_owned())
    }
}

impl Ports {
    /// Finds the log line that says `serving`, and reads the addresses off it. What is bound on every
    /// address is reached by the loopback one.
    pub fn in_log(log: &str) -> Option<Self> {
        let line = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .rfind(|line| line.get("msg").is_some_and(|message| message == "serving"))?;
        let address = |name: &str| {
            let mut address: SocketAddr = line.get(name)?.as_str()?.parse().ok()?;
            if address.ip().is_unspecified() {
                address.set_ip(Ipv4Addr::LOCALHOST.into());
            }
            Some(address)
        };
        Some(Self {
            extproc: address("extproc")?,
            health: address("health")?,
            metrics: address("metrics")?,
        })
    }
}

/// The sum of all series of `name` on a metrics page.
pub fn metric(page: &str, name: &str) -> f64 {
    let series = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            // No label that is asked for here holds a closing brace.
            Some(labels) => labels.split_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split_ascii_whitespace().next()?.parse::<f64>().ok()
    });
    series.sum()
}

/// Makes `servers` the endpoints of the pickers that share `directory`. They watch the file.
pub fn list_endpoints(directory: &Path, servers: &[SocketAddr]) -> io::Result<()> {
    let endpoints: Vec<Value> = servers
        .iter()
        .enumerate()
        .map(|(position, server)| {
            json!({
                "name": format!("server-{}", position + 1),
                "namespace": "default",
                "address": server.ip(),
                "port": server.port().to_string(),
                "metricsHost": server.to_string()
            })
        })
        .collect();
    let path = directory.join(ENDPOINTS);
    let part = path.with_extension("part");
    // JSON is YAML.
    fs::write(&part, json!({ "endpoints": endpoints }).to_string())?;
    fs::rename(part, path)
}

const ENDPOINTS: &str = "endpoints.yaml";

/// The chart's plugins, and endpoints from a file. Returns the file's path.
fn write_configuration(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join("endpoint-picker-config.yaml");
    if !directory.join(ENDPOINTS).exists() {
        list_endpoints(directory, &[])?;
    }
    let text = format!(
        "\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: file-discovery
  parameters:
    path: {}
    watchFile: true
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  - pluginRef: prefix-cache-scorer
    weight: 3
dataLayer:
  discovery:
    pluginRef: file-discovery
",
        directory.join(ENDPOINTS).display()
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// Waits until the picker has logged where it listens, and says that it serves. None if it ended.
async fn serving(process: &mut Process) -> Result<Option<Ports>, NeverHappened> {
    eventually("the picker's readiness", WITHIN, async || {
        if process.exit_status().is_ok_and(|status| status.is_some()) {
            return Some(None);
        }
        let ports =
            Ports::in_log(&process.stderr()).or_else(|| Ports::in_log(&process.stdout()))?;
        let serves = readiness(ports.health).await == Readiness::Serving;
        serves.then_some(Some(ports))
    })
    .await
}

async fn readiness(address: SocketAddr) -> Readiness {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else {
        return Readiness::Gone;
    };
    let endpoint = endpoint.connect_timeout(WITHIN).timeout(WITHIN);
    let Ok(channel) = endpoint.connect().await else {
        return Readiness::Gone;
    };
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    match HealthClient::new(channel).check(request).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Readiness::Serving,
        Ok(_) => Readiness::NotServing,
        Err(_) => Readiness::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_series() {
        let page = "# HELP a\na{x=\"1\"} 2\na{x=\"2\"} 3.5\na_total 9\nab 9\nb 4\n";
        assert!((metric(page, "a") - 5.5).abs() < 1e-9);
        assert!((metric(page, "b") - 4.0).abs() < 1e-9);
    }

    #[test]
    fn ports_are_read_off_the_last_line_that_says_serving() {
        let serving = |extproc, health, metrics| {
            let line = json!({
                "msg": "serving", "extproc": extproc, "health": health, "metrics": metrics
            });
            format!("{line}\n")
        };
        let first = serving("0.0.0.0:1", "0.0.0.0:2", "[::]:3");
        let log = format!("{first}not JSON\n{}", serving("[::]:4", "127.0.0.2:5", "0.0.0.0:6"));
        let at = |ip: [u8; 4], port| SocketAddr::from((ip, port));
        let expected = Ports {
            extproc: at([127, 0, 0, 1], 4),
            health: at([127, 0, 0, 2], 5),
            metrics: at([127, 0, 0, 1], 6),
        };
        assert_eq!(Ports::in_log(&log), Some(expected));
        assert_eq!(Ports::in_log(""), None);
    }
}
