//! Logs and machines that a replica holds: opened, run, stopped, left behind.

use std::{num::NonZeroU16, path::PathBuf, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use openraft::{Raft, storage::RaftLogStorage};

use super::{
    Driver, DriverError, Seated, Shared, Storage,
    driver::Done,
    home::Home,
    travel::{self, aged, offer_again, sightings},
};
use crate::{
    batch::{Batch, Formed},
    forming::{Event, Offer, Standing},
    identity::{ClusterId, DiskId, Generation, ReplicaName, Seat},
    machine::{
        Applier, ApplierStartError, Founder, LogPosition, Machine, SEMANTICS_FIRST,
        SnapshotOpenError, StateMachine, Threads, audit::Audit, found,
    },
    membership::Application,
    network::{Network, blocking},
    transport::LinkError,
    types::{ReplicaId, Types},
};

/// The id of who forms a cluster for the first time.
const FIRST_ID: ReplicaId = 1;

/// A seat's log and machine.
pub(super) struct Held<L> {
    pub(super) seat: Seat,
    pub(super) directory: PathBuf,
    pub(super) log: L,
    pub(super) applier: Applier,
    /// `None` while this replica takes no part.
    pub(super) raft: Option<Raft<Types, StateMachine>>,
}

/// What came of opening a seat's store.
enum Opened<L> {
    Held(Held<L>),
    /// What it remembered is lost.
    Forgotten,
}

impl<S: Storage> Driver<S> {
    /// Opens what stands on disk of a seat that was left, for its state.
    pub(super) async fn hold(&mut self, seat: &Seat) -> Result<(), DriverError> {
        match self.open(seat).await? {
            Opened::Held(held) => self.held = Some(held),
            Opened::Forgotten => self.pending.push_back(Event::Spoiled),
        }
        Ok(())
    }

    /// Takes part in the log of `seat`.
    pub(super) async fn run_log(&mut self, seat: Seat) -> Result<(), DriverError> {
        let place = |seat: &Seat| (seat.generation, seat.id);
        let same = self.held.as_ref().is_some_and(|held| place(&held.seat) == place(&seat));
        if !same {
            self.leave_behind().await;
            (self.audit, self.odd) = (Audit::default(), false);
            match self.open(&seat).await? {
                Opened::Held(held) => self.held = Some(held),
                Opened::Forgotten => {
                    self.pending.push_back(Event::Spoiled);
                    return Ok(());
                }
            }
        }
        let Some(held) = &mut self.held else { return Ok(()) };
        held.seat = seat.clone();
        if held.raft.is_some() {
            return Ok(());
        }
        let network = Network::new(self.shared.links.clone(), seat.generation);
        let machine = StateMachine::new(held.applier.clone());
        let (engine, log) = (Arc::clone(&self.engine), held.log.clone());
        let fatal = |why: String| DriverError::Engine { seat: described(&seat), why };
        let raft = Raft::new(seat.id, engine, network, log, machine).await;
        let raft = raft.map_err(|fault| fatal(fault.to_string()))?;
        held.raft = Some(raft.clone());
        let applier = held.applier.clone();
        self.shared.seated.store(Some(Arc::new(Seated {
            seat: seat.clone(),
            raft: raft.clone(),
            applier,
        })));
        tracing::info!(generation = %seat.generation, id = seat.id, "takes part in a log");
        Ok(())
    }

    /// Takes part in the log no more. Its machine stays readable.
    pub(super) async fn stop_log(&mut self) {
        self.shared.seated.store(None);
        (self.office, self.change) = (None, None);
        self.admissions.clear();
        let Some(held) = &mut self.held else { return };
        if let Some(raft) = held.raft.take() {
            tracing::info!(generation = %held.seat.generation, "leaves a log");
            if let Err(fault) = raft.shutdown().await {
                tracing::error!(%fault, "the log's engine did not end well");
            }
        }
        if self.forming.record().standing == Standing::Empty {
            self.leave_behind().await;
        }
    }

    /// Makes way for another log.
    async fn leave_behind(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.shared.seated.store(None);
        if let Some(raft) = &held.raft
            && let Err(fault) = raft.shutdown().await
        {
            tracing::error!(%fault, "the log's engine did not end well");
        }
        self.config.storage.close(held.log.clone()).await;
        self.previous.get_or_insert(held);
    }

    pub(super) async fn close(&mut self) {
        self.shared.left.send_replace(true);
        self.leave_behind().await;
        self.shared.seated.store(None);
    }

    /// Lets picks read the newer machine once it has state, and forgets all older logs.
    pub(super) async fn switch_machine(&mut self) {
        let Some(held) = &self.held else { return };
        if held.applier.reading().load().facts.cluster.is_none() {
            return;
        }
        let published = self.shared.applier.borrow().is_some();
        if published && self.previous.is_none() {
            return;
        }
        self.shared.applier.send_replace(Some(held.applier.clone()));
        self.previous = None;
        let (home, kept) = (self.home.clone(), vec![held.directory.clone()]);
        let removed = blocking(self.config.threads, move || home.remove_others(&kept)).await;
        if let Err(fault) = removed.and_then(|removed| removed) {
            tracing::warn!(%fault, "cannot remove an older log");
        }
    }

    async fn open(&mut self, seat: &Seat) -> Result<Opened<S::Log>, DriverError> {
        let directory = self.home.of_seat(seat);
        let in_log = |source| DriverError::Log { seat: described(seat), source };
        let opened = self.config.storage.open(self.home.log_of(seat)).await.map_err(in_log)?;
        if opened.forgotten {
            self.config.storage.close(opened.log).await;
            return Ok(Opened::Forgotten);
        }
        let (listener, threads) = ((self.config.listener)(), self.config.threads);
        let snapshots = self.home.snapshots_of(seat);
        let starting = blocking(threads, move || Applier::start(&snapshots, threads, listener));
        match starting.await.map_err(DriverError::Lost)? {
            Ok(applier) => {
                let (seat, log) = (seat.clone(), opened.log);
                Ok(Opened::Held(Held { seat, directory, log, applier, raft: None }))
            }
            Err(ApplierStartError::Snapshots(SnapshotOpenError::Damaged { path, source })) => {
                let path = path.display().to_string();
                tracing::error!(path, %source, "the snapshot is damaged; joining anew");
                self.config.storage.close(opened.log).await;
                Ok(Opened::Forgotten)
            }
            Err(source) => Err(DriverError::Machine { seat: described(seat), source }),
        }
    }

    /// Writes the store of the generation that was granted.
    pub(super) fn found(&self, offer: &Offer) -> BoxFuture<'static, Done> {
        let generation = offer.grant.generation;
        tracing::info!(%generation, "forming");
        let plan = Plan {
            formed: Formed {
                cluster: offer.grant.cluster,
                pool: self.config.pool.clone(),
                declared_size: NonZeroU16::new(offer.declared).unwrap_or(NonZeroU16::MIN),
                generation,
                hash: self.config.founding.hash.clone(),
                memberships_max: self.config.founding.memberships_max,
                semantics: SEMANTICS_FIRST,
            },
            name: self.config.name.clone(),
            disk: self.disk(),
            home: self.home.clone(),
            threads: self.config.threads,
        };
        let older = self.held.as_ref().map(|held| (held.applier.clone(), held.log.clone()));
        let patience = self.config.timing.work;
        async move {
            match tokio::time::timeout(patience, plan.carry_out(older)).await {
                Ok(Ok((seat, tail))) => Done { event: Event::Founded(seat), tail },
                Ok(Err(fault)) => {
                    tracing::error!(%generation, fault, "cannot form");
                    Event::Failed.into()
                }
                Err(_) => {
                    tracing::error!(%generation, ?patience, "cannot form in time");
                    Event::Failed.into()
                }
            }
        }
        .boxed()
    }

    /// Gets a seat from `leader`, and offers it what it lacks.
    pub(super) fn join(
        &self,
        leader: ReplicaName,
        cluster: ClusterId,
        generation: Generation,
        id: Option<ReplicaId>,
    ) -> BoxFuture<'static, Done> {
        let application = Application { name: self.config.name.clone(), disk: self.disk(), id };
        let older = self.held.as_ref().filter(|held| held.seat.generation != generation);
        let older = older.map(|held| (held.log.clone(), held.seat.generation));
        let (shared, patience) = (Arc::clone(&self.shared), self.config.timing.work);
        async move {
            let joining = async {
                let seat = travel::apply(&shared, &leader, generation, application).await?;
                if let Some((log, from)) = older {
                    offer_what_it_lacks(&shared, &leader, &seat, log, from).await?;
                }
                Ok::<_, LinkError>(seat)
            };
            match tokio::time::timeout(patience, joining).await {
                Ok(Ok(seat)) if seat.cluster == cluster => Event::Seated(seat).into(),
                Ok(Ok(_)) | Err(_) => Event::Failed.into(),
                Ok(Err(fault)) => {
                    tracing::warn!(%leader, %fault, "cannot join");
                    Event::Failed.into()
                }
            }
        }
        .boxed()
    }
}

/// How a generation begins.
struct Plan {
    /// What a cluster is founded on, if this is its first generation.
    formed: Formed,
    name: ReplicaName,
    disk: DiskId,
    home: Home,
    threads: Threads,
}

impl Plan {
    /// Writes the first snapshot, from the state of an older generation if there is one. Answers the seat
    /// that comes with it, and what the older log says beyond that state.
    async fn carry_out<L: RaftLogStorage<Types>>(
        self,
        older: Option<(Applier, L)>,
    ) -> Result<(Seat, Vec<Batch>), String> {
        let Self { formed, name, disk, home, threads } = self;
        let (machine, id, tail) = match older {
            None => {
                let position = LogPosition { term: 0, leader: FIRST_ID, index: 0 };
                let founder = Founder { id: FIRST_ID, name, disk, position };
                let machine = Machine::formed(&formed, founder).map_err(|why| why.to_string())?;
                (machine, FIRST_ID, Vec::new())
            }
            Some((applier, log)) => {
                let mut machine = applier.copy().await.map_err(|why| why.to_string())?;
                let last = machine.applied().map_or(0, |applied| applied.index);
                let id = machine.fresh_id();
                let position = LogPosition { term: 0, leader: id, index: last + 1 };
                let founder = Founder { id, name, disk, position };
                let generation = formed.generation;
                machine.reform(generation, founder).map_err(|why| why.to_string())?;
                (machine, id, read_sightings(log, Some(last)).await)
            }
        };
        let cluster = machine.facts().cluster.clone().ok_or("the state is of no cluster")?;
        let seat = Seat {
            cluster: cluster.id,
            generation: cluster.generation,
            id,
            declared: cluster.declared_size.get(),
            lineage: cluster.lineage,
        };
        let directory = home.snapshots_of(&seat);
        let written = blocking(threads, move || found(&directory, &machine)).await;
        written.map_err(|why| why.to_string())?.map_err(|why| why.to_string())?;
        Ok((seat, tail))
    }
}

async fn offer_what_it_lacks<L: RaftLogStorage<Types>>(
    shared: &Shared,
    leader: &ReplicaName,
    seat: &Seat,
    log: L,
    generation: Generation,
) -> Result<(), LinkError> {
    let held = seat.lineage.holds(generation);
    let batches = aged(read_sightings(log, held).await);
    let (count, links) = (batches.len(), &shared.links);
    let patience = shared.timing.answer;
    let taken = offer_again(links, leader.clone(), seat.generation, batches, patience).await?;
    if 0 < count {
        tracing::info!(count, taken, %generation, "offered again what an older log was given");
    }
    Ok(())
}

/// The sightings after index `held`. What cannot be read is lost, which costs cache misses.
async fn read_sightings<L: RaftLogStorage<Types>>(mut log: L, held: Option<u64>) -> Vec<Batch> {
    let read = async {
        let state = log.get_log_state().await?;
        let kept = state.last_purged_log_id.map_or(0, |id| id.index + 1);
        let end = state.last_log_id.map_or(0, |id| id.index + 1);
        let from = held.map_or(0, |held| held + 1).max(kept);
        let mut reader = log.get_log_reader().await;
        sightings(&mut reader, from, end).await
    };
    read.await.unwrap_or_else(|fault: std::io::Error| {
        tracing::error!(%fault, "cannot read an older log; what only it was given is lost");
        Vec::new()
    })
}

fn described(seat: &Seat) -> String {
    format!("generation {} id {}", seat.generation, seat.id)
}
