//! A state machine that knows where it stands, and nothing else. The benches use it as well.

use std::io;
use std::sync::{Arc, Mutex};

use convoy_raft::Types;
use convoy_raft::types::{LogId, SnapshotMeta, StoredMembership};
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, alias};

/// Nothing panics while it holds the lock.
const WHOLE: &str = "the state is whole";

type Snapshot = alias::SnapshotOf<Types, ()>;

/// Remembers what was applied last, and who the members are.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
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
        let state = self.state.lock().expect(WHOLE);
        Ok((state.last, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let mut state = self.state.lock().expect(WHOLE);
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
        let mut state = self.state.lock().expect(WHOLE);
        state.last = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.snapshot = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let state = self.state.lock().expect(WHOLE);
        Ok(state.snapshot.clone().map(|meta| Snapshot { meta, snapshot: () }))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let mut state = self.state.lock().expect(WHOLE);
        let meta =
            SnapshotMeta { last_log_id: state.last, last_membership: state.membership.clone() };
        state.snapshot = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: () })
    }
}
