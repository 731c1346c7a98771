//! openraft's own suite for log stores, with a state machine that remembers what was applied.

use std::io;
use std::sync::{Arc, Mutex};

use convoy_raft::Types;
use convoy_raft::store::LogStore;
use convoy_raft::types::{LogId, SnapshotMeta, StoredMembership};
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageError, alias};
use tempfile::TempDir;

use super::tools;

#[test]
fn the_store_passes_the_suite_of_openraft() {
    tools::runtime().block_on(Suite::test_all(Builder)).unwrap();
}

type Snapshot = alias::SnapshotOf<Types, ()>;

struct Builder;

impl StoreBuilder<Types, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<Types>> {
        let directory = tempfile::tempdir().unwrap();
        let store = tools::open(directory.path()).await;
        Ok((directory, store, Machine::default()))
    }
}

/// Knows where it stands, and nothing else.
#[derive(Clone, Debug, Default)]
struct Machine {
    state: Arc<Mutex<Applied>>,
}

#[derive(Clone, Debug, Default)]
struct Applied {
    last: Option<LogId>,
    membership: StoredMembership,
    snapshot: Option<SnapshotMeta>,
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.state.lock().unwrap();
        Ok((state.last, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let mut state = self.state.lock().unwrap();
            state.last = Some(entry.log_id);
            if let EntryPayload::Membership(members) = entry.payload {
                state.membership = StoredMembership::new(Some(entry.log_id), members);
            }
            drop(state);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, (): ()) -> Result<(), io::Error> {
        let mut state = self.state.lock().unwrap();
        state.last = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.snapshot = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let state = self.state.lock().unwrap();
        Ok(state.snapshot.clone().map(|meta| Snapshot { meta, snapshot: () }))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let mut state = self.state.lock().unwrap();
        let meta =
            SnapshotMeta { last_log_id: state.last, last_membership: state.membership.clone() };
        state.snapshot = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: () })
    }
}
