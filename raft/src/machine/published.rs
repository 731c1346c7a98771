//! What the applier publishes after every entry, and how slots come back that nobody names.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Weak},
};

use arc_swap::{ArcSwap, Guard};
use convoy_prefix_index::{EndpointSlot, Incarnation, IndexReader, Origin, Parameters, Stamp};
use tokio::sync::watch;

use super::{Applied, Facts, ItemOutcome, LogPosition, Machine, Place, Stopped, audit::Checkpoint};

/// A machine as readers see it. Replaced whole, so that its parts fit together.
///
/// The index itself goes on under [`Published::reader`]: readers may see part of a later entry.
#[derive(Clone, Debug)]
pub struct Published {
    pub reader: IndexReader,
    /// The last entry applied. The log's engine may count further: see [`Published::stopped`].
    pub applied: Option<LogPosition>,
    /// Logical time.
    pub time: Stamp,
    pub facts: Arc<Facts>,
    /// How prompts are named, and how much is held. Those of a machine that is not formed name
    /// nothing: see [`Facts::cluster`].
    pub parameters: Arc<Parameters>,
    /// Whoever uses a slot keeps this until it is done: a slot is given to another endpoint when
    /// no `Places` that names it is left.
    pub places: Arc<Places>,
    /// The origins that are not retired.
    pub origins: Arc<BTreeSet<Origin>>,
    /// Digests at the latest fixed positions, the newest last.
    pub checkpoints: Arc<[Checkpoint]>,
    /// Set once an entry could not be applied. Nothing is applied from there on, until a snapshot
    /// takes the machine's place.
    pub stopped: Option<Arc<Stopped>>,
}

/// The endpoints of the pool, and where the index counts them.
pub type Places = BTreeMap<SocketAddr, (Incarnation, Place)>;

impl Published {
    pub(super) fn of(machine: &Machine) -> Self {
        Self {
            reader: machine.reader(),
            applied: machine.applied(),
            time: machine.time(),
            facts: Arc::new(machine.facts().clone()),
            parameters: Arc::new(machine.index().parameters().clone()),
            places: Arc::new(places(machine)),
            origins: Arc::new(machine.origins().map(|(origin, _)| origin).collect()),
            checkpoints: Arc::new([]),
            stopped: None,
        }
    }

    /// The same after another entry. What did not change is shared.
    pub(super) fn after(&self, machine: &Machine, told: &Applied) -> Self {
        let mut next = self.clone();
        (next.applied, next.time) = (machine.applied(), machine.time());
        if *self.facts != *machine.facts() {
            next.facts = Arc::new(machine.facts().clone());
        }
        if *self.parameters != *machine.index().parameters() {
            next.parameters = Arc::new(machine.index().parameters().clone());
        }
        if told.outcomes.iter().any(may_move_endpoints) {
            next.places = Arc::new(places(machine));
        }
        if !self.origins.iter().copied().eq(machine.origins().map(|(origin, _)| origin)) {
            next.origins = Arc::new(machine.origins().map(|(origin, _)| origin).collect());
        }
        next
    }
}

/// Where others read what is published.
#[derive(Clone, Debug)]
pub struct Reading {
    published: Arc<ArcSwap<Published>>,
    applied: watch::Receiver<Option<LogPosition>>,
}

impl Reading {
    /// What is published, for the length of a pick. Never waits.
    pub fn load(&self) -> Guard<Arc<Published>> {
        self.published.load()
    }

    /// The same, to be kept.
    pub fn load_full(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Told after every publication; its value is the last entry applied.
    pub fn changes(&self) -> watch::Receiver<Option<LogPosition>> {
        self.applied.clone()
    }

    /// Waits until the entry at `index` is applied. False when the applier is gone before.
    pub async fn reached(&self, index: u64) -> bool {
        let mut applied = self.applied.clone();
        let there = |applied: &Option<LogPosition>| applied.is_some_and(|at| index <= at.index);
        applied.wait_for(there).await.is_ok()
    }
}

/// The writer's side of [`Reading`].
#[derive(Debug)]
pub(super) struct Board {
    published: Arc<ArcSwap<Published>>,
    applied: watch::Sender<Option<LogPosition>>,
    retired: Retired,
}

impl Board {
    pub(super) fn new(first: Published) -> (Self, Reading) {
        let (applied, changes) = watch::channel(first.applied);
        let published = Arc::new(ArcSwap::from_pointee(first));
        let reading = Reading { published: Arc::clone(&published), applied: changes };
        (Self { published, applied, retired: Retired::default() }, reading)
    }

    pub(super) fn current(&self) -> Guard<Arc<Published>> {
        self.published.load()
    }

    /// Publishes the next state of the same machine.
    pub(super) fn publish(&mut self, next: Published) {
        let (applied, places) = (next.applied, Arc::clone(&next.places));
        let before = self.published.swap(Arc::new(next));
        if !Arc::ptr_eq(&before.places, &places) {
            self.retired.replaced(&before.places, &places);
        }
        self.applied.send_replace(applied);
    }

    /// Publishes another machine, whose slots are its own.
    pub(super) fn replace(&mut self, first: Published) {
        self.retired = Retired::default();
        let applied = first.applied;
        self.published.store(Arc::new(first));
        self.applied.send_replace(applied);
    }

    /// Gives slots back that nobody names any more.
    pub(super) fn release(&mut self, machine: &mut Machine) {
        for slot in self.retired.free() {
            machine.release(slot);
        }
    }
}

/// Slots that were given up, until nobody names them and the index takes them back.
#[derive(Debug, Default)]
struct Retired {
    named: VecDeque<(Weak<Places>, BTreeSet<EndpointSlot>)>,
    free: BTreeSet<EndpointSlot>,
}

impl Retired {
    fn replaced(&mut self, before: &Arc<Places>, after: &Places) {
        let slots = |places: &Places| -> BTreeSet<EndpointSlot> {
            places.values().map(|(_, place)| place.slot).collect()
        };
        let kept = slots(after);
        let left = slots(before).difference(&kept).copied().collect();
        self.free.retain(|slot| !kept.contains(slot));
        self.named.push_back((Arc::downgrade(before), left));
    }

    /// In order, since an older publication may name what left after it was replaced. Told again
    /// and again: an index that is still clearing a slot up does not take it back.
    fn free(&mut self) -> impl Iterator<Item = EndpointSlot> {
        while self.named.front().is_some_and(|(places, _)| places.strong_count() == 0) {
            let left = self.named.pop_front().map(|(_, left)| left).unwrap_or_default();
            self.free.extend(left);
        }
        self.free.iter().copied()
    }
}

fn places(machine: &Machine) -> Places {
    let endpoints = machine.endpoints();
    endpoints
        .map(|(endpoint, place)| (endpoint.address(), (endpoint.incarnation(), place)))
        .collect()
}

/// True unless the item leaves every endpoint where it was.
fn may_move_endpoints(outcome: &ItemOutcome) -> bool {
    match outcome {
        ItemOutcome::Sighted { .. } => false,
        ItemOutcome::Endpoint { .. } | ItemOutcome::Cluster(_) => true,
    }
}
