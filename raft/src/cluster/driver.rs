//! The driver: the one owner of what a replica decides.
//!
//! Owns: the cores, the logs and machines, the timers, and all longer work as futures of its own.
//! Hears: rounds of asking around, commands of the handle, answers, and the ends of longer work.
//! Publishes: what the handle tells and serves.
//! Restarts: from the data directory.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

use super::{
    Command, Config, DriverError, Proposal, Shared, Storage, held::Held, home::Home, lead::Office,
    travel,
};
use crate::{
    batch::Batch,
    forming::{Act, Answer, Effects, Event, Forming, Offer, Refused, Standing},
    identity::{DiskId, ReplicaName, Seat},
    machine::audit::Audit,
    network::blocking,
    peers::{Address, Peers},
    transport::{
        Destination,
        wire::{self, Hello, Question},
    },
};

/// What [`start`](super::start) prepared.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) forming: Forming,
    pub(super) home: Home,
    pub(super) engine: Arc<openraft::Config>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) proposed: mpsc::Receiver<Proposal>,
}

/// Decides for a replica. See [`Driver::run`].
pub struct Driver<S: Storage> {
    pub(super) config: Config<S>,
    pub(super) shared: Arc<Shared>,
    pub(super) forming: Forming,
    pub(super) home: Home,
    pub(super) engine: Arc<openraft::Config>,
    commands: mpsc::Receiver<Command>,
    proposed: Option<mpsc::Receiver<Proposal>>,
    pub(super) started: Instant,
    /// The log of the record's seat.
    pub(super) held: Option<Held<S::Log>>,
    /// An older one, whose machine picks read until the newer has its state.
    pub(super) previous: Option<Held<S::Log>>,
    /// Who answered in the last round, or asked since.
    pub(super) heard: BTreeMap<ReplicaName, Heard>,
    pub(super) office: Option<Office>,
    /// What the new generation's former applied no more in the old one.
    pub(super) tail: Vec<Batch>,
    /// What has to be applied for this replica to be ready.
    pub(super) ready_at: Option<u64>,
    asks: FuturesUnordered<BoxFuture<'static, (ReplicaName, Option<Answer>)>>,
    work: Option<BoxFuture<'static, Done>>,
    /// A change of the membership, or of what the log says of the cluster.
    pub(super) change: Option<BoxFuture<'static, ()>>,
    pub(super) admissions: FuturesUnordered<BoxFuture<'static, ()>>,
    pub(super) pending: VecDeque<Event>,
    told: BTreeMap<ReplicaName, Refused>,
    pub(super) audit: Audit,
    /// It leads, and its machine differs from the others'.
    pub(super) odd: bool,
    pub(super) round_since: Duration,
    /// Since when this replica wants to stop.
    pub(super) leaving_since: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) hello: Hello,
    pub(super) at: Duration,
}

/// The end of longer work.
pub(super) struct Done {
    pub(super) event: Event,
    pub(super) tail: Vec<Batch>,
}

impl From<Event> for Done {
    fn from(event: Event) -> Self {
        Self { event, tail: Vec::new() }
    }
}

/// Who answered in a round, and where.
type Round = Vec<(Address, Hello)>;

impl<S: Storage> Driver<S> {
    pub(super) fn new(config: Config<S>, parts: Parts) -> Self {
        let Parts { shared, forming, home, engine, commands, proposed } = parts;
        let started = (config.clock)();
        Self {
            config,
            shared,
            forming,
            home,
            engine,
            commands,
            proposed: Some(proposed),
            started,
            held: None,
            previous: None,
            heard: BTreeMap::new(),
            office: None,
            tail: Vec::new(),
            ready_at: None,
            asks: FuturesUnordered::new(),
            work: None,
            change: None,
            admissions: FuturesUnordered::new(),
            pending: VecDeque::new(),
            told: BTreeMap::new(),
            audit: Audit::default(),
            odd: false,
            round_since: Duration::ZERO,
            leaving_since: None,
        }
    }

    /// Decides until it is told to stop, or cannot go on.
    pub async fn run(mut self) -> Result<(), DriverError> {
        let ended = self.decide().await;
        self.close().await;
        ended
    }

    async fn decide(&mut self) -> Result<(), DriverError> {
        if let Standing::Left(seat) = self.forming.record().standing.clone() {
            self.hold(&seat).await?;
        }
        self.step(Event::Started).await?;
        let Some(proposed) = self.proposed.take() else { return Ok(()) };
        let mut forwarding = travel::forward(Arc::clone(&self.shared), proposed).boxed().fuse();
        let mut rounds = interval(self.config.timing.round);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round: Option<BoxFuture<'static, Round>> = None;
        loop {
            tokio::select! {
                () = &mut forwarding => {}
                _ = rounds.tick(), if round.is_none() => {
                    self.round_since = self.now();
                    round = Some(self.ask_around());
                }
                heard = some(&mut round) => {
                    round = None;
                    self.on_round(heard).await?;
                }
                command = self.commands.recv() => match command {
                    None | Some(Command::Stop) => return Ok(()),
                    Some(Command::Leave) => {
                        self.leaving_since.get_or_insert(self.now());
                        self.step(Event::Leaving).await?;
                        self.tell();
                        // Others hear of it at once.
                        rounds.reset_immediately();
                    }
                    Some(command) => self.on_command(command).await?,
                },
                Some((from, answer)) = self.asks.next(), if !self.asks.is_empty() => {
                    if let Some(answer) = answer {
                        self.step(Event::Answered { from, answer }).await?;
                    }
                }
                done = some(&mut self.work) => {
                    self.work = None;
                    self.tail = done.tail;
                    self.step(done.event).await?;
                }
                () = some(&mut self.change) => self.change = None,
                Some(()) = self.admissions.next(), if !self.admissions.is_empty() => {}
            }
        }
    }

    /// The time since the start.
    pub(super) fn now(&self) -> Duration {
        (self.config.clock)().saturating_duration_since(self.started)
    }

    pub(super) fn disk(&self) -> DiskId {
        self.forming.record().disk
    }

    fn ask_around(&self) -> BoxFuture<'static, Round> {
        let (shared, now) = (Arc::clone(&self.shared), self.now());
        let resolve = Arc::clone(&self.config.resolve);
        let name = match &self.config.peers {
            Some(Peers::Dns(name)) => Some(name.clone()),
            Some(Peers::Listed(_)) | None => None,
        };
        async move {
            let patience = shared.timing.answer;
            if let Some(name) = name {
                let resolved = tokio::time::timeout(patience, resolve.resolve(&name)).await;
                match resolved {
                    Ok(Ok(addresses)) => shared.book().resolved(addresses),
                    Ok(Err(fault)) => tracing::debug!(%name, %fault, "cannot resolve the peers"),
                    Err(_) => tracing::debug!(%name, "cannot resolve the peers in time"),
                }
            }
            let addresses = shared.book().to_ask(now);
            let asked = addresses.into_iter().map(|address| shared.hello_at(address, patience));
            join_all(asked).await.into_iter().flatten().collect()
        }
        .boxed()
    }

    async fn on_round(&mut self, heard: Round) -> Result<(), DriverError> {
        let (now, disk) = (self.now(), self.disk());
        let since = self.round_since;
        self.heard.retain(|_, heard| since <= heard.at);
        for (address, hello) in heard.into_iter().filter(|(_, hello)| hello.status.disk != disk) {
            let name = hello.status.name.clone();
            self.shared.book().heard(now, name.clone(), address);
            self.heard.insert(name, Heard { hello, at: now });
        }
        self.look().await?;
        let statuses = self.heard.values().map(|heard| heard.hello.status.clone()).collect();
        self.step(Event::Seen(statuses)).await?;
        if self.work.is_none() {
            self.work = self.audited();
        }
        self.lead();
        self.publish().await;
        Ok(())
    }

    async fn on_command(&mut self, command: Command) -> Result<(), DriverError> {
        match command {
            Command::Heard(hello) => {
                let (now, name) = (self.now(), hello.status.name.clone());
                if hello.status.disk != self.disk() {
                    if self.shared.book().address_of(&name).is_none() {
                        self.shared.book().heard(now, name.clone(), hello.advertised.clone());
                    }
                    self.heard.insert(name, Heard { hello: *hello, at: now });
                    self.lead();
                }
            }
            Command::Asked(offer, answer) => {
                let given = self.step(Event::Asked(*offer)).await?;
                if let Some(given) = given {
                    // An asker that is gone does not form.
                    let _gone = answer.send(given);
                }
            }
            Command::Apply(application, answer) => self.admit(application, answer),
            Command::Discard => {
                self.step(Event::Spoiled).await?;
            }
            Command::Leave | Command::Stop => {}
        }
        Ok(())
    }

    /// Feeds the core, and carries out what it says.
    pub(super) async fn step(&mut self, event: Event) -> Result<Option<Answer>, DriverError> {
        let effects = self.forming.step(self.now(), event);
        let answer = self.carry_out(effects).await?;
        while let Some(event) = self.pending.pop_front() {
            let effects = self.forming.step(self.now(), event);
            self.carry_out(effects).await?;
        }
        Ok(answer)
    }

    async fn carry_out(&mut self, effects: Effects) -> Result<Option<Answer>, DriverError> {
        let Effects { stop, persist, answer, ask, act, refused } = effects;
        if stop {
            self.stop_log().await;
        }
        if let Some(record) = persist {
            let home = self.home.clone();
            let saved = blocking(self.config.threads, move || home.save(&record)).await;
            saved.map_err(DriverError::Lost)??;
            self.tell();
        }
        for (name, offer) in ask {
            self.asks.push(self.ask(name, offer));
        }
        match act {
            Some(Act::Run(seat)) => self.run_log(seat).await?,
            Some(Act::Found(offer)) => self.work = Some(self.found(&offer)),
            Some(Act::Join { leader, cluster, generation, id }) => {
                tracing::info!(%leader, %generation, "joining");
                self.work = Some(self.join(leader, cluster, generation, id));
            }
            None => {}
        }
        self.tell_refused(refused);
        Ok(answer)
    }

    fn ask(
        &self,
        name: ReplicaName,
        offer: Offer,
    ) -> BoxFuture<'static, (ReplicaName, Option<Answer>)> {
        let shared = Arc::clone(&self.shared);
        let patience = self.config.forming.answers;
        async move {
            let question = Question::Offer(Box::new(offer));
            let asked = match shared.links.destination(&name) {
                Ok(to) => shared.links.ask(to, &question, patience).await,
                Err(fault) => Err(fault),
            };
            let answer = match asked {
                Ok(wire::Answer::Offer(answer)) => Some(answer),
                Ok(_) => None,
                Err(fault) => {
                    tracing::debug!(%name, %fault, "no answer to an offer");
                    None
                }
            };
            (name, answer)
        }
        .boxed()
    }

    /// Each refusal is logged once.
    fn tell_refused(&mut self, refused: Vec<Refused>) {
        for why in refused {
            if self.told.get(why.name()) != Some(&why) {
                tracing::warn!(%why, "a replica's word is not heeded");
                if self.told.len() < crate::peers::ADDRESSES_MAX {
                    self.told.insert(why.name().clone(), why);
                }
            }
        }
    }
}

impl Shared {
    /// Who is at `address`.
    async fn hello_at(&self, address: Address, patience: Duration) -> Option<(Address, Hello)> {
        let question = Question::Hello(Box::new(Hello::clone(&self.hello.load())));
        let to = Destination { address: address.clone(), name: None };
        match self.links.ask(to, &question, patience).await {
            Ok(wire::Answer::Hello(hello)) => Some((address, *hello)),
            Ok(_) => None,
            Err(fault) => {
                tracing::trace!(%address, %fault, "nobody answers");
                None
            }
        }
    }
}

/// Waits for a future if there is one.
async fn some<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// A seat and whoever asked for it.
pub(super) type Applicant = oneshot::Sender<Result<Seat, super::NotSeated>>;
