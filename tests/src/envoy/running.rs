//! A running Envoy: started, told its endpoints, asked how requests went, and gone when dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use super::access_log::{self, Entry};
use super::admin::{Admin, AdminError};
use super::bootstrap::{Bootstrap, Files, MODEL_SERVER_CLUSTER, PICKER_CLUSTER};
use super::endpoints::{self, Endpoint};
use super::fetch::{self, FetchError};
use crate::processes::{self, NeverHappened, Process, eventually};
use crate::scratch::Scratch;

/// How long Envoy may take to start, and to take in a change. Either takes it well under a second
/// on an idle machine; the rest is for machines that are not.
const WITHIN: Duration = Duration::from_secs(30);

/// An Envoy of our own. It is killed when dropped, and when this process dies.
#[derive(Debug)]
pub struct Envoy {
    // Before the directory, so that Envoy is gone when its files go.
    process: Process,
    admin: Admin,
    address: SocketAddr,
    files: Files,
    scratch: Scratch,
}

/// Why Envoy could not be started or told something.
#[derive(Debug, thiserror::Error)]
pub enum EnvoyError {
    #[error("there is no Envoy binary")]
    Fetch(#[source] FetchError),
    #[error("cannot write Envoy's files in {directory}")]
    Files { directory: PathBuf, source: io::Error },
    #[error("cannot start Envoy")]
    Start(#[source] processes::StartError),
    #[error("Envoy ended at its start; its last words:\n{log}")]
    Ended { log: String },
    #[error("Envoy did not become ready; its last words:\n{log}")]
    NotReady { log: String, source: NeverHappened },
    #[error("Envoy did not answer")]
    Admin(#[source] AdminError),
    #[error("Envoy did not take in the endpoints of {cluster}")]
    NotTaken { cluster: &'static str, source: NeverHappened },
    #[error("Envoy's access log is not as expected")]
    AccessLog { source: io::Error },
}

impl Envoy {
    /// Starts Envoy with `bootstrap` and no endpoints, and waits until it accepts requests.
    pub async fn start(bootstrap: Bootstrap) -> Result<Self, EnvoyError> {
        let binary = fetch::binary().map_err(EnvoyError::Fetch)?;
        let scratch = Scratch::new("envoy").map_err(|source| EnvoyError::Files {
            directory: PathBuf::from("target/tmp"),
            source,
        })?;
        let directory = scratch.path().to_owned();
        let files = Files::below(&directory);
        let configuration = directory.join("bootstrap.json");
        write_files(bootstrap, &files, &configuration)
            .map_err(|source| EnvoyError::Files { directory: directory.clone(), source })?;
        let admin_address = directory.join("admin-address");
        let command = command(binary, &configuration, &admin_address);
        let mut process =
            Process::start("envoy", command, &directory).map_err(EnvoyError::Start)?;
        match reached(&mut process, &admin_address).await {
            Ok(Some((admin, address))) => Ok(Self { process, admin, address, files, scratch }),
            Ok(None) => Err(EnvoyError::Ended { log: process.last_words(20) }),
            Err(source) => Err(EnvoyError::NotReady { log: process.last_words(20), source }),
        }
    }

    /// Where requests go: HTTP/1.1, or HTTP/2 with prior knowledge.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, to read what it costs or to stop it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The directory of its files and logs.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Makes `pickers` the replicas that Envoy knows, and waits until it does.
    pub async fn set_pickers(&self, pickers: &[SocketAddr]) -> Result<(), EnvoyError> {
        let pickers: Vec<_> = pickers.iter().copied().map(Endpoint::healthy).collect();
        self.set(PICKER_CLUSTER, &self.files.pickers, &pickers).await
    }

    /// Makes `servers` the model servers that Envoy knows, and waits until it does.
    pub async fn set_model_servers(&self, servers: &[Endpoint]) -> Result<(), EnvoyError> {
        self.set(MODEL_SERVER_CLUSTER, &self.files.model_servers, servers).await
    }

    /// How the requests that have ended went, in the order of their ends. Envoy writes its log
    /// every few milliseconds; [`Envoy::logged`] waits for it.
    pub fn access_log(&self) -> Result<Vec<Entry>, EnvoyError> {
        access_log::read(&self.files.access_log).map_err(|source| EnvoyError::AccessLog { source })
    }

    /// Waits until at least `count` requests have ended.
    pub async fn logged(&self, count: usize) -> Result<Vec<Entry>, EnvoyError> {
        let enough = async || match self.access_log() {
            Ok(entries) if entries.len() < count => None,
            Ok(entries) => Some(Ok(entries)),
            Err(error) => Some(Err(error)),
        };
        let what = format!("{count} lines in the access log");
        eventually(&what, WITHIN, enough).await.map_err(late)?
    }

    /// Waits until the request that Envoy calls `request_id` has ended.
    pub async fn logged_request(&self, request_id: &str) -> Result<Entry, EnvoyError> {
        let found = async || {
            let entries = match self.access_log() {
                Ok(entries) => entries,
                Err(error) => return Some(Err(error)),
            };
            let mut entries = entries.into_iter();
            entries.find(|entry| entry.request_id.as_deref() == Some(request_id)).map(Ok)
        };
        let what = format!("request {request_id} in the access log");
        eventually(&what, WITHIN, found).await.map_err(late)?
    }

    /// Counters and gauges whose names begin with `prefix`, such as `cluster.` and a cluster's name.
    pub async fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>, EnvoyError> {
        self.admin.stats(prefix).await.map_err(EnvoyError::Admin)
    }

    async fn set(
        &self,
        cluster: &'static str,
        path: &Path,
        wanted: &[Endpoint],
    ) -> Result<(), EnvoyError> {
        endpoints::publish(path, cluster, wanted).map_err(|source| EnvoyError::Files {
            directory: self.directory().to_owned(),
            source,
        })?;
        let mut wanted: Vec<_> = wanted
            .iter()
            .map(|endpoint| (endpoint.address, endpoint.health.name().to_owned()))
            .collect();
        wanted.sort();
        wanted.dedup();
        let taken = async || {
            let known = self.admin.endpoints(cluster).await.ok()?;
            (known == wanted).then_some(())
        };
        eventually("Envoy's endpoints", WITHIN, taken)
            .await
            .map_err(|source| EnvoyError::NotTaken { cluster, source })
    }
}

/// The access log lacks what should be there.
fn late(never: NeverHappened) -> EnvoyError {
    EnvoyError::AccessLog { source: io::Error::new(io::ErrorKind::TimedOut, never) }
}

fn write_files(bootstrap: Bootstrap, files: &Files, configuration: &Path) -> io::Result<()> {
    endpoints::publish(&files.pickers, PICKER_CLUSTER, &[])?;
    endpoints::publish(&files.model_servers, MODEL_SERVER_CLUSTER, &[])?;
    fs::write(configuration, bootstrap.render(files).to_string())
}

fn command(binary: PathBuf, configuration: &Path, admin: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .arg("--config-path")
        .arg(configuration)
        .arg("--admin-address-path")
        .arg(admin)
        // Hot restart would leave shared memory behind and make several Envoys collide.
        .arg("--disable-hot-restart")
        .args(["--concurrency", "2", "--log-level", "warning"])
        // The access log is read while Envoy runs.
        .args(["--file-flush-interval-msec", "10"]);
    command
}

/// Waits until Envoy has said where it is reached, and is ready. None if it ended.
async fn reached(
    process: &mut Process,
    admin_address: &Path,
) -> Result<Option<(Admin, SocketAddr)>, NeverHappened> {
    eventually("Envoy's readiness", WITHIN, async || {
        if process.exit_status().is_ok_and(|status| status.is_some()) {
            return Some(None);
        }
        let address = fs::read_to_string(admin_address).ok()?.trim().parse().ok()?;
        let admin = Admin { address };
        if !admin.ready().await {
            return None;
        }
        let listener = admin.listener().await.ok().flatten()?;
        Some(Some((admin, listener)))
    })
    .await
}
