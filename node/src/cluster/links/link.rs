//! A link: it keeps one connection to one address, and makes another when that breaks.
//!
//! Owns: the connection, through the one task that moves it.
//! Hears: that its task ended.
//! Publishes: how the connection fares, to its outlet.
//! Restarts: from nothing; calls meanwhile hear that the link is down.

use std::{future::pending, mem, sync::Arc, time::Duration};

use convoy_raft::{identity::ClusterId, transport::LinkError};
use futures_util::{FutureExt, future::BoxFuture};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Shared,
    checks::{Checks, Renewals},
    client::{Client, Driver},
    greeting::Peer,
    hints::HintQueue,
    metrics::Metrics,
    outlet::{Outlet, Phase},
    socket::{self, Chain, Introduced, IntroductionError},
    trust::Trust,
};
use crate::{clock, logging::chain as causes, supervision::OwnedTask};

/// Before hints are offered again to a replica that would not have them: it may be joining.
const HINT_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What is asked on a connection that another has taken the place of is answered within this time, or not.
const RETIRES_WITHIN: Duration = Duration::from_secs(5);

/// The task that keeps the connection has ended, which it does not do unless it fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended;

/// The actor.
#[derive(Debug)]
pub(super) struct PeerLink;

/// What a link starts with.
pub(super) struct Arguments {
    pub(super) shared: Arc<Shared>,
    pub(super) outlet: Arc<Outlet>,
}

impl Actor for PeerLink {
    type Msg = Ended;
    type State = OwnedTask;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Ended>,
        arguments: Arguments,
    ) -> Result<OwnedTask, ActorProcessingErr> {
        Ok(OwnedTask::start(&myself, keep(arguments), || Ended))
    }

    async fn handle(
        &self,
        _myself: ActorRef<Ended>,
        Ended: Ended,
        _task: &mut OwnedTask,
    ) -> Result<(), ActorProcessingErr> {
        Err("the task that keeps the connection ended".into())
    }
}

/// Keeps a connection for ever.
async fn keep(Arguments { shared, outlet }: Arguments) {
    let mut backoff = Backoff::new(shared.timing.backoff_min, shared.timing.backoff_max);
    let standing = Standing { shared: &shared, outlet: &outlet };
    loop {
        match open(&shared, &outlet).await {
            Ok(connection) => {
                let began_at = clock::now();
                let why = standing.hold(connection).await;
                standing.down(&why);
                backoff.held(clock::now().saturating_duration_since(began_at));
            }
            Err(why) => standing.down(&why),
        }
        tokio::select! {
            () = sleep(backoff.next(fastrand::f64())) => {}
            () = outlet.nudged() => {}
        }
    }
}

/// A connection that may be used.
struct Connection {
    peer: Peer,
    chain: Option<Chain>,
    client: Client,
    driver: Driver,
}

async fn open(shared: &Shared, outlet: &Outlet) -> Result<Connection, LinkError> {
    let to = outlet.address.to_string();
    let introduced = socket::call(shared, &outlet.address).await;
    let Introduced { stream, peer, chain } = introduced.map_err(|error| match error {
        IntroductionError::Refused(refusal) => {
            shared.refused(clock::now(), &to, &refusal);
            LinkError::Refused { to: to.clone(), why: refusal.text }
        }
        error @ (IntroductionError::Connect(_)
        | IntroductionError::Broken(_)
        | IntroductionError::TooSlow(_)) => {
            shared.metrics.failed.inc();
            LinkError::Unreachable { to: to.clone(), why: causes(&error) }
        }
    })?;
    let (timing, metrics) = (&shared.timing, shared.metrics.clone());
    let shown = format!("{} at {to}", peer.name);
    let opened = Client::open(shown, stream, timing, metrics).await;
    let (client, driver) =
        opened.map_err(|error| LinkError::Unreachable { to, why: causes(&error) })?;
    Ok(Connection { peer, chain, client, driver })
}

/// What the link tells its outlet. However the task ends, the outlet hears of it.
struct Standing<'a> {
    shared: &'a Arc<Shared>,
    outlet: &'a Arc<Outlet>,
}

impl Standing<'_> {
    /// Holds a connection for as long as it is good, and says why it is no more. When the credentials change,
    /// or this replica joins a cluster that the greeting did not speak of, it makes way for another, once
    /// there is one.
    async fn hold(&self, connection: Connection) -> LinkError {
        let mut renewals = Renewals::of(&self.shared.security);
        let mut cluster = self.shared.cluster.subscribe();
        let mut checks = Checks::new(self.shared, Trust::verify_called);
        let mut successor: Option<BoxFuture<'_, Result<Connection, LinkError>>> = None;
        let mut retiring: Option<BoxFuture<'_, ()>> = None;
        let mut held = self.up(connection);
        loop {
            tokio::select! {
                why = &mut held.running => return why,
                () = &mut held.hinting => {}
                refusal = checks.failed(&held.peer, held.chain.as_ref()) => {
                    let to = self.outlet.address.to_string();
                    self.shared.refused(clock::now(), &to, &refusal);
                    return LinkError::Refused { to, why: refusal.text };
                }
                () = renewals.next() => successor = Some(Box::pin(open(self.shared, self.outlet))),
                Ok(()) = cluster.changed() => {
                    if held.peer.cluster.is_none() {
                        successor = Some(Box::pin(open(self.shared, self.outlet)));
                    }
                }
                opened = ready(&mut successor) => {
                    successor = None;
                    match opened {
                        Ok(connection) => {
                            let before = mem::replace(&mut held, self.up(connection)).running;
                            retiring = Some(Box::pin(timeout(RETIRES_WITHIN, before).map(drop)));
                        }
                        Err(why @ LinkError::Refused { .. }) => return why,
                        // What there is goes on.
                        Err(why) => tracing::debug!(%why, "a link is not renewed"),
                    }
                }
                () = ready(&mut retiring) => retiring = None,
            }
        }
    }

    fn up(&self, connection: Connection) -> Held {
        let Connection { peer, chain, client, driver } = connection;
        let before = self.outlet.set(Phase::Up(Box::new((peer.clone(), client.clone()))));
        let (replica, address) = (peer.name.as_str(), &self.outlet.address);
        match before {
            Phase::Up(_) => tracing::debug!(replica, %address, "link to a replica renewed"),
            Phase::Trying | Phase::Down(_) => {
                self.shared.metrics.up.inc();
                tracing::info!(replica, %address, "link to a replica is up");
            }
        }
        self.shared.outlets.regroup();
        let cluster = self.shared.cluster.subscribe();
        let hints = (Arc::clone(&self.outlet.hints), self.shared.metrics.clone());
        let hinting = Box::pin(hint(client, cluster, hints));
        let to = format!("{} at {}", peer.name, self.outlet.address);
        let running = Box::pin(async move {
            let ended = driver.await;
            let why = ended.map_or_else(|error| causes(&error), |()| "it went away".to_owned());
            LinkError::Unreachable { to, why }
        });
        Held { peer, chain, running, hinting }
    }

    fn down(&self, why: &LinkError) {
        let before = self.outlet.set(Phase::Down(why.clone()));
        let address = &self.outlet.address;
        match before {
            Phase::Up(up) => {
                let (peer, _client) = *up;
                self.shared.metrics.up.dec();
                self.shared.outlets.regroup();
                self.shared.metrics.hints_dropped.inc_by(self.outlet.hints.clear());
                tracing::warn!(replica = peer.name.as_str(), %address, %why, "link to a replica lost");
            }
            Phase::Trying => tracing::info!(%address, %why, "no link to a replica yet"),
            Phase::Down(_) => tracing::debug!(%address, %why, "no link to a replica"),
        }
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.down(&LinkError::Closed);
    }
}

/// A connection that is up.
struct Held {
    peer: Peer,
    chain: Option<Chain>,
    /// Moves it, and says why it ended.
    running: BoxFuture<'static, LinkError>,
    /// Sends hints over it, for ever.
    hinting: BoxFuture<'static, ()>,
}

/// Sends what comes into `queue`, whenever the other side takes it. What it will not have is not kept for later:
/// the log brings it.
async fn hint(
    client: Client,
    mut cluster: watch::Receiver<Option<ClusterId>>,
    (queue, metrics): (Arc<HintQueue>, Metrics),
) {
    loop {
        // Before there is a cluster there is nothing to tell, and without its sender there is no link.
        let Ok(Some(known)) = cluster.wait_for(Option::is_some).await.map(|known| *known) else {
            return pending().await;
        };
        tokio::select! {
            why = client.clone().hint(known, Arc::clone(&queue)) => {
                tracing::debug!(%why, "hints are not taken");
                sleep(HINT_AGAIN_AFTER).await;
                metrics.hints_dropped.inc_by(queue.clear());
            }
            _ = cluster.changed() => {}
        }
    }
}

async fn ready<T>(work: &mut Option<BoxFuture<'_, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => pending().await,
    }
}

/// How long to wait before the next attempt.
#[derive(Debug)]
struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// A connection was held for so long.
    fn held(&mut self, time: Duration) {
        if self.max <= time {
            self.next = self.min;
        }
    }

    /// Between half and all of a time that doubles. `random` is between 0 and 1, so that replicas that lost each
    /// other at the same moment do not try at the same moment.
    fn next(&mut self, random: f64) -> Duration {
        let wait = self.next.mul_f64(0.5 + 0.5 * random);
        self.next = (self.next * 2).min(self.max);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_up_to_a_bound_and_frequent_after_a_connection_that_held() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(400));
        let waits: Vec<_> = (0..5).map(|_| backoff.next(1.0)).collect();
        assert_eq!(waits, [ms(50), ms(100), ms(200), ms(400), ms(400)]);
        backoff.held(ms(399));
        assert_eq!(backoff.next(0.0), ms(200));
        backoff.held(ms(400));
        assert_eq!(backoff.next(0.0), ms(25));
    }
}
