//! Servers as a real process, for tests and the demo; and a client for one server's commands.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command as Program;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::Deserialize;

use super::control::Command;
use super::server::Statistics;
use crate::body::Body;
use crate::client::{self, Connection, Protocol, Whole};
use crate::processes::{self, NeverHappened, Process, eventually};

/// A running process that plays model servers. It dies when this is dropped, and with the process
/// that started it.
#[derive(Debug)]
pub struct ModelServers {
    process: Process,
    servers: Vec<ModelServer>,
}

/// Why the servers did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot run the model servers")]
    Process(#[from] processes::StartError),
    #[error("the model servers ended before they were ready: {last_words}")]
    Ended { last_words: String },
    #[error(transparent)]
    Never(#[from] NeverHappened),
}

/// How long binding may take on a machine that has other things to do.
const BOUND_WITHIN: Duration = Duration::from_secs(20);

/// One line that the binary prints.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Listening { address: SocketAddr },
    Ready { ready: bool },
}

impl ModelServers {
    /// Starts `binary` with `flags` (see [`super::command_line::HELP`]) and waits until every
    /// server is bound. What it says goes to files in `logs`.
    pub async fn start<S: AsRef<std::ffi::OsStr>>(
        binary: &Path,
        flags: impl IntoIterator<Item = S>,
        logs: &Path,
    ) -> Result<Self, StartError> {
        let mut program = Program::new(binary);
        program.args(flags);
        let mut process = Process::start("model-servers", program, logs)?;
        let said = eventually("the model servers' addresses", BOUND_WITHIN, async || {
            let ended = process.exit_status().ok().flatten().is_some();
            let addresses = addresses(&process.stdout());
            if ended && addresses.is_none() { Some(None) } else { addresses.map(Some) }
        });
        match said.await? {
            Some(servers) => Ok(Self { process, servers }),
            None => Err(StartError::Ended { last_words: process.last_words(3) }),
        }
    }

    /// The servers, in the order of the flags.
    pub fn servers(&self) -> &[ModelServer] {
        &self.servers
    }

    /// The process that plays them all, to stop it, to let it go on, to kill it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The servers that `output` lists, once it says that these are all.
fn addresses(output: &str) -> Option<Vec<ModelServer>> {
    let mut servers = Vec::new();
    for line in output.lines() {
        match serde_json::from_str(line) {
            Ok(Said::Listening { address }) => servers.push(ModelServer { address }),
            Ok(Said::Ready { ready: true }) => return Some(servers),
            Ok(Said::Ready { ready: false }) | Err(_) => {}
        }
    }
    None
}

/// A client of one server, wherever it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelServer {
    pub address: SocketAddr,
}

/// Why a server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no answer from {address}")]
    Exchange { address: SocketAddr, source: client::ClientError },
    #[error("{address} answered {status}: {body}")]
    Status { address: SocketAddr, status: StatusCode, body: String },
    #[error("{address} answered what is not understood")]
    Content { address: SocketAddr, source: serde_json::Error },
}

impl ModelServer {
    /// Gives a command.
    pub async fn command(&self, command: &Command) -> Result<(), AskError> {
        let (path, body) = command.request();
        self.expect_ok(Method::POST, &path, body).await.map(drop)
    }

    /// What the server counted since its start.
    pub async fn statistics(&self) -> Result<Statistics, AskError> {
        let body = self.expect_ok(Method::GET, "/control/statistics", String::new()).await?;
        serde_json::from_slice(&body)
            .map_err(|source| AskError::Content { address: self.address, source })
    }

    /// The page that a router scrapes.
    pub async fn metrics_page(&self) -> Result<String, AskError> {
        let page = self.expect_ok(Method::GET, "/metrics", String::new()).await?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    /// Asks for `path` on a connection of its own; any status is an answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Whole, AskError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::whole(body))
            .expect("callers ask for paths");
        let exchange = async {
            let mut connection = Connection::open(self.address, Protocol::Http1).await?;
            connection.send(request).await?.whole().await
        };
        let address = self.address;
        exchange.await.map_err(|source| AskError::Exchange { address, source })
    }

    async fn expect_ok(&self, method: Method, path: &str, body: String) -> Result<Bytes, AskError> {
        let Whole { status, body, .. } = self.ask(method, path, body).await?;
        if status.is_success() {
            return Ok(body);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Err(AskError::Status { address: self.address, status, body })
    }
}
