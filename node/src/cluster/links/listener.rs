//! The listener: it accepts other replicas, and serves each connection in a task of its own.
//!
//! Owns: the port, and the connections of other replicas, through the one task that accepts.
//! Hears: that its task ended.
//! Publishes: nothing; what is asked goes to whoever serves it.
//! Restarts: on the same port. Connections end with it, and are made again by who made them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

use super::{
    Receivers, Shared, inbound,
    refusal::{Reason, Refusal},
};
use crate::{clock, supervision::OwnedTask};

/// Connections at once. Each of the replicas has one, two while it renews its certificate, and some that
/// broke may not know it yet.
const CONNECTIONS_MAX: usize = 256;

/// Connections at once on which it is not known yet who calls.
const STRANGERS_MAX: usize = 64;

/// Rest after the system gave no connection: out of file descriptors, most likely.
const REST: Duration = Duration::from_millis(50);

/// The task that accepts has ended, which it does not do unless it fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended;

/// The actor.
#[derive(Debug)]
pub(super) struct Listener;

/// What the listener starts with.
#[derive(Clone)]
pub(super) struct Arguments {
    pub(super) listener: Arc<TcpListener>,
    pub(super) shared: Arc<Shared>,
    pub(super) receivers: Receivers,
}

impl Actor for Listener {
    type Msg = Ended;
    type State = OwnedTask;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Ended>,
        arguments: Arguments,
    ) -> Result<OwnedTask, ActorProcessingErr> {
        Ok(OwnedTask::start(&myself, accept(arguments), || Ended))
    }

    async fn handle(
        &self,
        _myself: ActorRef<Ended>,
        Ended: Ended,
        _task: &mut OwnedTask,
    ) -> Result<(), ActorProcessingErr> {
        Err("the task that accepts ended".into())
    }
}

/// Accepts for ever.
async fn accept(arguments: Arguments) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = arguments.listener.accept() => match accepted {
                Ok((socket, from)) => {
                    let place = Arc::clone(&strangers).try_acquire_owned().ok();
                    let place = place.filter(|_| connections.len() < CONNECTIONS_MAX);
                    arguments.take(&mut connections, socket, from, place);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a replica's connection");
                    tokio::time::sleep(REST).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "serving a replica's connection failed");
                }
            }
        }
    }
}

impl Arguments {
    fn take(
        &self,
        connections: &mut JoinSet<()>,
        socket: TcpStream,
        from: SocketAddr,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let Some(place) = place else {
            let text = "more connections are open than replicas of one cluster need";
            let refusal = Refusal::ours(Reason::TooMany, text);
            self.shared.refused(clock::now(), &from.ip().to_string(), &refusal);
            return;
        };
        let (shared, receivers) = (Arc::clone(&self.shared), self.receivers.clone());
        connections.spawn(inbound::serve(shared, receivers, socket, (from, place)));
    }
}
