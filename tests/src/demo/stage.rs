//! The parts of the demo, started: model servers, the picker, and an Envoy before them.

use std::net::SocketAddr;
use std::{fmt, io};

use crate::binaries::{self, BuildError};
use crate::envoy::{Bootstrap, Endpoint, Envoy, EnvoyError, Routing};
use crate::epp::{self, Epp, EppError, Launch};
use crate::model_server::{self, Command, ModelServers};
use crate::scratch::Scratch;

/// How many servers there are.
pub(super) const SERVERS: usize = 4;

/// The model that the servers play.
pub(super) const MODEL: &str = "sim/llama";

/// How long a server takes: 0.1 ms for a prompt token that is not cached, 2 ms for each token of
/// the answer. Its cache holds 32,000 tokens, a third of what all conversations come to.
const SERVER_FLAGS: [&str; 6] = [
    "--prefill-per-token=100us",
    "--inter-token-latency=2ms",
    "--num-gpu-blocks=2001",
    "--max-model-len=16000",
    "--model=sim/llama",
    "--max-num-seqs=16",
];

/// Everything that runs. Dropping it ends it, gateway first.
#[derive(Debug)]
pub struct Stage {
    /// Asks the picker.
    pub gateway: Envoy,
    /// Never asks the picker.
    pub round_robin: Envoy,
    pub epp: Epp,
    pub servers: ModelServers,
    _scratch: Scratch,
}

/// Why the demo cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("cannot write below the target directory")]
    Files(#[from] io::Error),
    #[error("cannot build the programs of this repository")]
    Build(#[from] BuildError),
    #[error("cannot start the model servers")]
    Servers(#[from] model_server::StartError),
    #[error("cannot start the picker")]
    Epp(#[from] EppError),
    #[error("cannot start Envoy")]
    Envoy(#[from] EnvoyError),
    #[error("cannot tell a model server what to do")]
    Command(#[from] model_server::AskError),
}

/// What is being done, for the impatient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Build,
    Fetch,
    Start,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Build => "building the picker and the model servers",
            Self::Fetch => "looking for Envoy (37 MB, the first time)",
            Self::Start => "starting Envoy, the picker and four model servers",
        })
    }
}

impl Stage {
    /// Starts all parts; `doing` hears what takes time.
    pub(super) async fn set(mut doing: impl FnMut(Step)) -> Result<Self, StageError> {
        doing(Step::Build);
        binaries::epp()?;
        let model_server = binaries::model_server()?;
        doing(Step::Fetch);
        crate::envoy::binary().map_err(EnvoyError::Fetch)?;
        doing(Step::Start);
        let scratch = Scratch::new("demo")?;
        let listen = ["--listen=127.0.0.1:0"; SERVERS];
        let flags = listen.iter().chain(&SERVER_FLAGS);
        let servers = ModelServers::start(&model_server, flags, scratch.path()).await?;
        let addresses: Vec<SocketAddr> =
            servers.servers().iter().map(|server| server.address).collect();
        epp::list_endpoints(scratch.path(), &addresses)?;
        let launch = Launch {
            name: "epp".to_owned(),
            directory: scratch.path().to_owned(),
            flags: vec!["--emit-endpoint-scores".to_owned()],
        };
        let epp = Epp::start(&launch).await?;
        let gateway = Envoy::start(Bootstrap::default()).await?;
        let plain = Bootstrap { routing: Routing::RoundRobin, ..Bootstrap::default() };
        let round_robin = Envoy::start(plain).await?;
        let endpoints: Vec<_> = addresses.iter().copied().map(Endpoint::healthy).collect();
        gateway.set_model_servers(&endpoints).await?;
        gateway.set_pickers(&[epp.ports().extproc]).await?;
        round_robin.set_model_servers(&endpoints).await?;
        Ok(Self { gateway, round_robin, epp, servers, _scratch: scratch })
    }

    /// Where each part listens, for people.
    pub(super) fn addresses(&self) -> Vec<String> {
        let servers: Vec<String> = self
            .servers
            .servers()
            .iter()
            .zip(1..)
            .map(|(server, number)| format!("server-{number} {}", server.address))
            .collect();
        let ports = self.epp.ports();
        vec![
            format!(
                "  Envoy {}, round robin {}",
                self.gateway.address(),
                self.round_robin.address()
            ),
            format!("  epp {}, metrics http://{}/metrics", ports.extproc, ports.metrics),
            format!("  {}", servers.join(", ")),
        ]
    }

    /// The position of the server at `address`.
    pub(super) fn position(&self, address: &str) -> Option<usize> {
        self.servers.servers().iter().position(|server| server.address.to_string() == address)
    }

    /// Makes every server forget what it has cached, as a restart does.
    pub(super) async fn restart_servers(&self) -> Result<(), StageError> {
        for server in self.servers.servers() {
            server.command(&Command::RestartEmpty {}).await?;
        }
        Ok(())
    }
}
