//! The links between replicas: one authenticated connection to each of the others, and what runs over it.
//!
//! ```text
//!  Links: call, stream, hint                                     Serve, Hear
//!     │                                                              ▲
//!     ▼                                                              │
//!  Outlet, one per address ── peer-link (actor) ══ TLS, greeting ══ peer-listener (actor) ── Door
//! ```
//!
//! Replicas are called by address, and a link is made to every address that somebody calls; who is there is learned
//! from the greeting. Links that nobody uses any more end by themselves.

mod checks;
mod client;
mod credentials;
mod dns;
mod door;
mod greeting;
mod hints;
mod inbound;
mod link;
mod listener;
mod metrics;
mod outlet;
mod parent;
mod refusal;
mod renewal;
mod socket;
mod trust;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use bytes::Bytes;
use convoy_raft::{
    identity::{ClusterId, ReplicaName},
    peers::Address,
    transport::{Destination, FRAME_BYTES_MAX, Frames, Lane, LinkError, Serve, Transport},
};
use futures_util::{future::BoxFuture, stream::BoxStream};
use ractor::{Actor, ActorCell};
use rustls_pki_types::UnixTime;
use tokio::{net::TcpListener, sync::watch};

pub use self::{
    credentials::{Credentials, CredentialsError, Files},
    dns::Dns,
    door::Hear,
    metrics::Metrics,
    refusal::{Reason, Refusal, Side},
};
use self::{outlet::Outlets, refusal::Refusals};
use crate::{
    clock,
    supervision::{self, ChildSpec, Policy, Start},
};

/// The longest message, with what gRPC puts around it.
const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX + 16;

/// The longest batch of hints, so that none waits long behind another.
const HINT_BYTES_MAX: usize = 256 * 1024;

/// Bytes that may be under way on one stream: so many a reader that has stopped leaves lying here.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// The same for all streams of one connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// This replica, as others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    pub name: ReplicaName,
    /// The pool that it serves; replicas of another are refused.
    pub pool: String,
    /// Where others reach it.
    pub advertised: Address,
    /// Drawn at random at each start: tells this replica from another of its name.
    pub start: u64,
}

/// How connections between replicas are secured.
#[derive(Clone, Debug)]
pub enum Security {
    /// Not at all: whoever reaches the port is believed.
    Insecure,
    Mutual(Arc<Credentials>),
}

/// How patient links are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For a connection.
    pub connect: Duration,
    /// For TLS and the greeting.
    pub greeting: Duration,
    /// Between two signs of life that are asked for, and for the answer.
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    /// Before the next attempt at a connection; it doubles from the one to the other.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// Between two looks at certificates that were good when their connections began.
    pub recheck: Duration,
    /// A link that nobody used for so long ends.
    pub idle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            greeting: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(2),
            // A container that may not run for a second is not gone.
            keepalive_timeout: Duration::from_secs(4),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            recheck: Duration::from_mins(1),
            idle: Duration::from_mins(2),
        }
    }
}

/// Reaches the other replicas. Clones are the same.
#[derive(Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

/// What links, listener and whoever calls have in common.
struct Shared {
    me: Me,
    security: Security,
    timing: Timing,
    cluster: watch::Sender<Option<ClusterId>>,
    outlets: Outlets,
    refusals: Refusals,
    metrics: Metrics,
}

/// Takes what other replicas ask and tell.
#[derive(Clone)]
pub struct Receivers {
    pub serve: Arc<dyn Serve>,
    pub hear: Arc<dyn Hear>,
}

/// A link, for whoever looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    pub address: Address,
    /// Who is there, if the link is up.
    pub name: Option<ReplicaName>,
}

impl Links {
    /// Nothing is reached until the children run.
    pub fn new(me: Me, security: Security, timing: Timing, metrics: Metrics) -> Self {
        let shared = Shared {
            outlets: Outlets::new(me.start),
            refusals: Refusals::new(metrics.clone()),
            cluster: watch::Sender::new(None),
            me,
            security,
            timing,
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The actors behind this handle, in the order of their start. `listener` is bound already.
    pub fn children(
        &self,
        listener: TcpListener,
        receivers: Receivers,
        supervision: supervision::Metrics,
    ) -> Vec<ChildSpec> {
        let mut children = Vec::new();
        if let Security::Mutual(credentials) = &self.shared.security {
            let credentials = Arc::clone(credentials);
            children.push(child("cluster-credentials", move |parent| {
                let credentials = Arc::clone(&credentials);
                async move {
                    let spawned =
                        Actor::spawn_linked(None, renewal::Renewal, credentials, parent).await?;
                    Ok(spawned.0.get_cell())
                }
            }));
        }
        let arguments =
            listener::Arguments { listener: Arc::new(listener), shared: self.shared(), receivers };
        children.push(child("peer-listener", move |parent| {
            let arguments = arguments.clone();
            async move {
                let spawned =
                    Actor::spawn_linked(None, listener::Listener, arguments, parent).await?;
                Ok(spawned.0.get_cell())
            }
        }));
        let arguments = parent::Arguments { shared: self.shared(), supervision };
        children.push(child("peer-links", move |parent| {
            let arguments = arguments.clone();
            async move {
                let wishes = arguments.shared.outlets.wishes();
                let spawned =
                    Actor::spawn_linked(None, parent::PeerLinks, arguments, parent).await?;
                wishes.rewire(spawned.0.clone());
                Ok(spawned.0.get_cell())
            }
        }));
        children
    }

    /// From now on this replica is of `cluster`: replicas of another are refused, hints of another not heard.
    pub fn joined(&self, cluster: ClusterId) {
        let other = |known: &mut Option<ClusterId>| known.replace(cluster) != Some(cluster);
        self.shared.cluster.send_if_modified(other);
    }

    /// Tells every other replica that can be reached. Never waits; what is too much is dropped and counted.
    pub fn hint(&self, batch: &Bytes) {
        let metrics = &self.shared.metrics;
        if HINT_BYTES_MAX < batch.len() {
            metrics.hints_dropped.inc();
            return;
        }
        for outlet in &**self.shared.outlets.hinted() {
            metrics.hints_dropped.inc_by(outlet.hints.put(batch.clone()));
        }
    }

    /// The links at the moment.
    pub fn view(&self) -> Vec<LinkView> {
        self.shared.outlets.view()
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

impl Transport for Links {
    fn call(
        &self,
        to: &Destination,
        question: Bytes,
        patience: Duration,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let outlet = self.shared.outlets.get(clock::now(), &to.address);
        let to = to.clone();
        Box::pin(async move {
            let asked = async {
                let client = outlet?.client(&to).await?;
                client.call(bounded(&to, question)?).await
            };
            let timed_out = || LinkError::TimedOut { to: shown(&to), patience };
            tokio::time::timeout(patience, asked).await.unwrap_or_else(|_| Err(timed_out()))
        })
    }

    fn stream(
        &self,
        to: &Destination,
        lane: Lane,
        frames: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Frames, LinkError>> {
        let outlet = self.shared.outlets.get(clock::now(), &to.address);
        let to = to.clone();
        Box::pin(async move { outlet?.client(&to).await?.stream(lane, frames).await })
    }
}

fn bounded(to: &Destination, message: Bytes) -> Result<Bytes, LinkError> {
    if FRAME_BYTES_MAX < message.len() {
        let why = format!("{} bytes are more than {FRAME_BYTES_MAX}", message.len());
        return Err(LinkError::Refused { to: shown(to), why });
    }
    Ok(message)
}

/// A destination, as errors name it.
fn shown(to: &Destination) -> String {
    match &to.name {
        Some(name) => format!("{name} at {}", to.address),
        None => to.address.to_string(),
    }
}

fn child<F>(name: &'static str, start: impl Fn(ActorCell) -> F + Send + Sync + 'static) -> ChildSpec
where
    F: Future<Output = Result<ActorCell, ractor::SpawnErr>> + Send + 'static,
{
    let start: Start = Box::new(move |parent| Box::pin(start(parent)));
    ChildSpec { name, policy: Policy::ESSENTIAL, start }
}

/// The time by which certificates are judged.
fn unix_time() -> UnixTime {
    let since_epoch = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::since_unix_epoch(since_epoch)
}

impl Shared {
    /// Takes note of a refusal by or of `peer`.
    fn refused(&self, now: Instant, peer: &str, refusal: &Refusal) {
        self.refusals.note(now, peer, refusal);
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("me", &self.shared.me).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
