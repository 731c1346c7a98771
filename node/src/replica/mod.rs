//! A replica: one running picker process, from its start to its end.
//!
//! Start: make keys, bind every port, load what picks need, and only then say `SERVING`. Stop: say
//! `NOT_SERVING`, and go on serving until gateways have turned away; see [`StopSettings`].

use std::{io, sync::Arc, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    clock,
    command_line::Settings,
    config::ConfigError,
    extproc::Service,
    health::{LifePhase, Readiness},
    logging::Outlet,
    server::{Server, tls::TlsError},
    supervision::{StartError, Tree},
    watchdog::{self, Heartbeat},
};

mod ports;

mod start;

mod refused;
mod summary;

mod stop;

pub use refused::DiscoveryRefused;
pub use stop::{Seen, Step, StopSettings};

/// How often a stopping replica looks at its gateways.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long actors may take to finish what they have.
const ACTORS_PATIENCE: Duration = Duration::from_secs(1);

/// What the process exits with when its request path hung: the "software error" of `sysexits.h`.
const HUNG_EXIT_CODE: i32 = 70;

/// How long a process that hung may take to say so. Gateways wait meanwhile.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(300);

/// Why a replica did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryRefused),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Tree(#[from] StartError),
    #[error("cannot listen on port {port}")]
    Bind { port: u16, flag: &'static str, source: io::Error },
    #[error("the system gives no thread, signal handler or random bytes")]
    System(#[from] io::Error),
    #[error("an actor failed again and again; its last words are in the log")]
    GaveUp,
}

impl ReplicaError {
    /// What the operator can do, if that is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Config(error) => Some(error.remedy()),
            Self::Discovery(refused) => Some(refused.remedy()),
            Self::Tls(error) => Some(error.remedy().to_owned()),
            Self::Tree(error) => Some(error.remedy()),
            Self::Bind { flag, .. } => {
                Some(format!("stop the process that has it, or choose another with --{flag}"))
            }
            Self::System(_) | Self::GaveUp => None,
        }
    }
}

/// A replica that serves.
pub(crate) struct Replica {
    server: Server,
    service: Arc<Service>,
    readiness: Readiness,
    tree: Tree,
}

/// Runs a replica until it is told to stop, and has.
pub async fn run(settings: Settings, log: Outlet) -> Result<(), ReplicaError> {
    let mut told = Told::listen()?;
    let stop = settings.serving.stop;
    let mut replica = start::start(settings, &log).await?;
    watch(&replica.server, log)?;
    replica.readiness.set(LifePhase::Serving);
    let outcome = tokio::select! {
        signal = told.next() => {
            tracing::info!(signal, "told to stop; {}", Step::Drain);
            Ok(())
        }
        () = replica.tree.ended() => Err(ReplicaError::GaveUp),
    };
    replica.stop(stop, &mut told).await;
    outcome
}

/// Has a thread of its own end the process when a serving thread, or the thread of everything else,
/// stands still.
#[expect(clippy::disallowed_methods, reason = "it shows that this runtime moves, and ends with it")]
fn watch(server: &Server, log: Outlet) -> Result<(), ReplicaError> {
    let mut heartbeats = server.heartbeats();
    let own = Heartbeat::default();
    heartbeats.push(own.clone());
    tokio::spawn(async move {
        let mut beats = tokio::time::interval(Heartbeat::INTERVAL);
        loop {
            beats.tick().await;
            own.beat();
        }
    });
    watchdog::watch(heartbeats, clock::now, move |thread| {
        tracing::error!(thread, "the request path has not moved for a second; the process ends");
        log.flush(LAST_WORDS_WITHIN);
        std::process::exit(HUNG_EXIT_CODE);
    })?;
    Ok(())
}

impl Replica {
    /// Stops step by step. A second signal ends it at once.
    async fn stop(self, settings: StopSettings, told: &mut Told) {
        self.readiness.set(LifePhase::Draining);
        let began_at = clock::now();
        let (mut step, mut opened, mut opened_at) = (Step::Drain, self.server.opened(), began_at);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        while step != Step::End {
            tokio::select! {
                _ = looks.tick() => {}
                signal = told.next() => {
                    tracing::warn!(signal, "stopping at once");
                    break;
                }
            }
            let now = clock::now();
            if opened != self.server.opened() {
                (opened, opened_at) = (self.server.opened(), now);
            }
            let seen = Seen {
                since_signal: now.saturating_duration_since(began_at),
                since_last_opened: now.saturating_duration_since(opened_at),
                connections: self.server.connections(),
            };
            let next = settings.step(step, seen);
            if next != step {
                step = next;
                self.say(step, seen);
                self.take(step);
            }
        }
        self.tree.shutdown(ACTORS_PATIENCE).await;
        tracing::info!("stopped");
    }

    fn say(&self, step: Step, seen: Seen) {
        let since_signal_ms = u64::try_from(seen.since_signal.as_millis()).unwrap_or(u64::MAX);
        let (connections, streams) = (seen.connections, self.service.bounds.streams());
        tracing::info!(since_signal_ms, connections, streams, "{step}");
    }

    fn take(&self, step: Step) {
        match step {
            Step::Drain | Step::End => {}
            Step::GoAway => self.server.go_away(),
            Step::Leave => {
                self.server.go_away();
                self.server.leave();
            }
        }
    }
}

/// Signals to stop.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
