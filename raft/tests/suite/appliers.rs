//! The applier: what it publishes and tells, and what stops it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use convoy_prefix_index::{Outcome, Stamp};
use convoy_raft::{
    batch::{Batch, EndpointChange, Item},
    machine::{
        Applier, ItemOutcome, LogPosition, StateMachine, StopCause, Threads, Told,
        audit::DIGEST_EVERY_ENTRIES,
    },
    types::{Entry, LogId, Payload},
};
use futures_util::stream;
use openraft::{EntryPayload, storage::RaftStateMachine};

use crate::{
    history::{History, endpoint, hash, position},
    machines::{form, hold, join},
};

/// An applier, and the engine's side of it.
pub(crate) struct Desk {
    pub(crate) applier: Applier,
    pub(crate) machine: StateMachine,
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
}

impl Desk {
    pub(crate) fn open(directory: &Path) -> Self {
        Self::open_on(directory, Threads::None)
    }

    fn open_on(directory: &Path, threads: Threads) -> Self {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let tells = Arc::clone(&heard);
        let listener = move |told: Told<'_>| tells.lock().unwrap().push(short(told));
        let applier = Applier::start(directory, threads, Box::new(listener)).unwrap();
        let machine = StateMachine::new(applier.clone());
        Self { applier, machine, heard }
    }

    /// Applies batches from the next index on.
    pub(crate) async fn apply(&mut self, batches: &[&[Item]]) {
        for items in batches {
            let batch = Batch { stamp: Stamp(1), items: items.to_vec() };
            self.apply_bytes(batch.encode().unwrap()).await;
        }
    }

    pub(crate) async fn apply_bytes(&mut self, bytes: Bytes) {
        let applied = self.applier.reading().load().applied;
        let index = applied.map_or(0, |applied| applied.index + 1);
        self.apply_at(position(index), bytes).await;
    }

    async fn apply_at(&mut self, position: LogPosition, bytes: Bytes) {
        let (log_id, payload) = (LogId::from(position), EntryPayload::Normal(Payload(bytes)));
        let entry = Entry { log_id, payload };
        self.machine.apply(stream::iter([Ok((entry, None))])).await.unwrap();
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn short(told: Told<'_>) -> String {
    match told {
        Told::Applied(applied) => {
            format!("applied {} with {}", applied.position.index, applied.outcomes.len())
        }
        Told::Installed { applied, origins } => {
            format!("installed {:?} with {origins:?}", applied.map(|at| at.index))
        }
        Told::Stopped(stopped) => format!("stopped at {}", stopped.position.index),
    }
}

fn leave(number: u16) -> Item {
    Item::Endpoint(EndpointChange::Left { endpoint: endpoint(number, 0) })
}

#[tokio::test]
async fn what_is_applied_is_published_before_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reading = Arc::new(Mutex::new(None::<convoy_raft::machine::Reading>));
    let (notes, reads) = (Arc::clone(&seen), Arc::clone(&reading));
    let listener = move |told: Told<'_>| {
        let Told::Applied(applied) = told else { return };
        let published = reads.lock().unwrap().as_ref().unwrap().load_full();
        let known = published.reader.known_depth(&[hash(1), hash(2)]);
        notes.lock().unwrap().push((applied.position, published.applied, known));
    };
    let applier = Applier::start(folder.path(), Threads::Own, Box::new(listener)).unwrap();
    *reading.lock().unwrap() = Some(applier.reading().clone());
    let heard = Arc::default();
    let mut desk = Desk { machine: StateMachine::new(applier.clone()), applier, heard };
    desk.apply(&[&[form(1), join(0)], &[hold(1, 0)]]).await;
    let told = |index, depth| (position(index), Some(position(index)), depth);
    assert_eq!(*seen.lock().unwrap(), [told(0, 0), told(1, 2)]);
}

#[tokio::test]
async fn readers_see_facts_parameters_places_and_origins() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::open_on(folder.path(), Threads::Own);
    let unformed = desk.applier.reading().load_full();
    assert_eq!(unformed.applied, None);
    desk.apply(&[&[form(1), join(0), join(1)], &[hold(1, 0)]]).await;
    let before = desk.applier.reading().load_full();
    assert!(before.facts.cluster.is_some());
    assert_ne!(before.parameters, unformed.parameters);
    let addresses: Vec<_> = before.places.keys().copied().collect();
    assert_eq!(addresses, [endpoint(0, 0).address(), endpoint(1, 0).address()]);
    assert_eq!(before.origins.len(), 1);
    desk.apply(&[&[leave(1)]]).await;
    let after = desk.applier.reading().load_full();
    assert_eq!(after.places.len(), 1);
    assert!(Arc::ptr_eq(&before.facts, &after.facts), "what did not change is shared");
    assert!(desk.applier.reading().reached(2).await);
}

#[tokio::test]
async fn a_slot_is_given_to_another_endpoint_when_nobody_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(folder.path());
    desk.apply(&[&[form(1), join(0)]]).await;
    let kept = desk.applier.reading().load_full();
    let slot = kept.places[&endpoint(0, 0).address()].1.slot;
    let slot_of = |desk: &Desk, number| {
        desk.applier.reading().load().places[&endpoint(number, 0).address()].1.slot
    };
    desk.apply(&[&[leave(0)], &[], &[join(1)]]).await;
    assert_ne!(slot_of(&desk, 1), slot, "a reader may still use it");
    drop(kept);
    desk.apply(&[&[], &[join(2)]]).await;
    assert_eq!(slot_of(&desk, 2), slot);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_stops_applying_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::open_on(folder.path(), Threads::Own);
    desk.apply(&[&[form(1), join(0)], &[hold(1, 0)]]).await;
    let (_, before) = desk.applier.digest().await.unwrap();
    desk.apply_at(position(2), Bytes::from_static(b"garbage")).await;
    desk.apply_at(position(3), Batch::default().encode().unwrap()).await;
    let published = desk.applier.reading().load_full();
    let stopped = published.stopped.as_ref().unwrap();
    assert_eq!(stopped.position, position(2));
    assert!(matches!(stopped.cause, StopCause::Unreadable { .. }));
    assert!(stopped.to_string().starts_with("stopped at position 2 "), "{stopped}");
    assert_eq!(published.applied, Some(position(1)));
    assert_eq!(published.reader.known_depth(&[hash(1), hash(2)]), 2);
    assert_eq!(desk.applier.digest().await.unwrap(), (Some(position(1)), before));
    assert_eq!(desk.heard(), ["applied 0 with 2", "applied 1 with 1", "stopped at 2"]);
    desk.applier.want_snapshot();
    assert!(desk.machine.try_create_snapshot_builder(false).await.is_none());
}

#[tokio::test]
async fn a_panic_while_applying_is_contained() {
    let folder = tempfile::tempdir().unwrap();
    let listener = |told: Told<'_>| {
        let first = |outcome: &ItemOutcome| {
            matches!(outcome, ItemOutcome::Sighted { outcome: Outcome::Held { .. }, .. })
        };
        if let Told::Applied(applied) = told {
            assert!(!applied.outcomes.iter().any(first), "a mistake of the listener's");
        }
    };
    let applier = Applier::start(folder.path(), Threads::Own, Box::new(listener)).unwrap();
    let heard = Arc::default();
    let mut desk = Desk { machine: StateMachine::new(applier.clone()), applier, heard };
    desk.apply(&[&[form(1), join(0)], &[hold(1, 0)]]).await;
    let published = desk.applier.reading().load_full();
    let stopped = published.stopped.as_ref().unwrap();
    assert!(matches!(&stopped.cause, StopCause::Panicked { message }
        if message == "a mistake of the listener's"));
    assert!(desk.applier.set_aside().await.is_err());
    assert_eq!(published.reader.known_depth(&[hash(1)]), 1);
}

#[tokio::test]
async fn digests_are_noted_at_fixed_positions() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(folder.path());
    let mut history = History::new(1);
    for _ in 0..=DIGEST_EVERY_ENTRIES {
        desk.apply_bytes(history.batch().encode().unwrap()).await;
    }
    let published = desk.applier.reading().load_full();
    let at: Vec<u64> = published.checkpoints.iter().map(|noted| noted.position.index).collect();
    assert_eq!(at, [0, DIGEST_EVERY_ENTRIES]);
    let (_, digest) = desk.applier.digest().await.unwrap();
    assert_eq!(published.checkpoints[1].digest, digest);
}
