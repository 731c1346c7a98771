//! The state machine: the index and the facts that replicas agree on, as a function of the log.
//!
//! # The core
//!
//! [`Machine`] is pure: entries in, outcomes out. Two machines that applied the same entries hold
//! the same, and say so by equal digests ([`Machine::digest`]), whether they applied them one by
//! one or began from a snapshot. Applying is total. An item that cannot be carried out is refused,
//! everywhere alike. An entry that this version cannot read, or whose meaning it does not know,
//! stops the machine: it applies nothing further, keeps what it has, and says where and why
//! ([`Stopped`]). The replica picks on with it.
//!
//! # Time
//!
//! Logical time is the highest stamp of the entries applied, in milliseconds; it never goes back.
//! A sighting happened at that time less its age, but not before its endpoint joined: a sighting
//! must not make an endpoint's holdings look older than the endpoint.
//!
//! # Exactly once
//!
//! The index keeps the highest sequence applied of each origin and refuses what is not above it,
//! so batches can be sent again after a leader was lost. All else that a batch says is a
//! compare-and-set or changes nothing when it is repeated.
//!
//! # Around the core
//!
//! - `applier` owns the machine, on a thread of its own; what it [publishes](Published) is
//!   replaced whole after every entry, and then outcomes are told, in order.
//! - `found` writes the snapshot that a log begins with, one voter in it.
//! - `snapshot` freezes a machine between two entries and writes it elsewhere; `transfer` and
//!   `files` move snapshots between replicas and keep them as plain files.
//! - `engine` is the side that openraft sees.
//! - `audit` compares digests between replicas at fixed positions and says who is odd.

mod facts;

mod outcome;

mod cluster;

mod found;

mod record;

mod snapshot;

mod published;

mod owner;

mod applier;

mod files;

mod transfer;

mod engine;

pub mod audit;

use std::{collections::BTreeMap, net::SocketAddr};

pub use applier::{Applier, ApplierStartError, Threads};
use convoy_prefix_index::{
    Command, Endpoint, HashParams, HashVersion, Held, Index, IndexReader, Origin, Outcome,
    Parameters, Sequence, Stamp, Touched,
};
pub use engine::{SnapshotBuilder, StateMachine, snapshot_policy};
pub use facts::{
    Admitted, Cluster, Facts, LogPosition, Membership, POOL_BYTES_MAX, REPLICAS_MAX,
    SEMANTICS_FIRST, SEMANTICS_KNOWN, Semantics,
};
pub use files::SnapshotOpenError;
pub use found::{FoundError, Founder, found};
pub use outcome::{Applied, ClusterOutcome, ClusterRefusal, ItemOutcome, StopCause, Stopped};
pub use owner::{Listener, Told};
pub use published::{Places, Published, Reading};
pub use snapshot::{FrozenMachine, MachineRestore, MachineRestoreError, SNAPSHOT_CHUNK_BYTES_MAX};

pub use transfer::{
    Incoming, Outgoing, ReceiveError, SNAPSHOT_BYTES_MAX, SnapshotData, TRANSFER_CHUNK_BYTES,
};

use crate::batch::{Batch, ClusterChange, EndpointChange, Item, Seen, Sighted};

/// The index and the facts, at one position of the log.
#[derive(Debug)]
pub struct Machine {
    index: Index,
    facts: Facts,
    applied: Option<LogPosition>,
    time: Stamp,
    /// When each endpoint of the pool joined.
    joined: BTreeMap<SocketAddr, Stamp>,
}

/// Tells whether two machines hold the same: index, facts, time and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineDigest(pub u64);

/// The hash parameters of a machine whose cluster is not formed: no prompt is hashed with them, and
/// forming empties the index.
const UNFORMED_BLOCK_BYTES: u32 = 256;

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A machine before the first entry.
    pub fn new() -> Self {
        let hash = HashParams::new([0; 16], UNFORMED_BLOCK_BYTES, HashVersion::V1)
            .expect("256 bytes are a legal block");
        Self {
            index: Index::new(Parameters { hash, memberships_max: 0 }),
            facts: Facts::new(),
            applied: None,
            time: Stamp::default(),
            joined: BTreeMap::new(),
        }
    }

    /// Applies an entry with a batch, given as bytes. An error stops this machine: the caller must
    /// not apply anything further to it.
    pub fn apply_bytes(
        &mut self,
        position: LogPosition,
        batch: &[u8],
    ) -> Result<Applied, StopCause> {
        let batch = Batch::decode(batch).map_err(|source| StopCause::Unreadable { source })?;
        self.apply(position, &batch)
    }

    /// Applies an entry with a batch. An error stops this machine, and then nothing was applied.
    pub fn apply(&mut self, position: LogPosition, batch: &Batch) -> Result<Applied, StopCause> {
        if let Some(asked) = unknown_semantics(batch) {
            return Err(StopCause::UnknownSemantics { asked });
        }
        self.pass(position)?;
        self.time = self.time.max(batch.stamp);
        let outcomes = batch.items.iter().map(|item| self.carry_out(item)).collect();
        Ok(Applied { position, time: self.time, outcomes })
    }

    /// Passes an entry that says nothing to a machine.
    pub fn pass(&mut self, position: LogPosition) -> Result<(), StopCause> {
        let applied = self.applied.map(|applied| applied.index);
        let next = applied.map_or(Some(0), |index| index.checked_add(1));
        if next != Some(position.index) {
            return Err(StopCause::NotNext { applied });
        }
        self.applied = Some(position);
        Ok(())
    }

    /// Applies an entry that says who votes and who follows.
    pub fn apply_membership(
        &mut self,
        position: LogPosition,
        membership: Membership,
    ) -> Result<(), StopCause> {
        self.pass(position)?;
        let highest = membership.names.last_key_value().map_or(0, |(&id, _)| id);
        self.facts.highest_id = self.facts.highest_id.max(highest);
        self.facts.membership = Membership { position: Some(position), ..membership };
        Ok(())
    }

    /// The last entry applied.
    pub fn applied(&self) -> Option<LogPosition> {
        self.applied
    }

    /// The highest stamp applied.
    pub fn time(&self) -> Stamp {
        self.time
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    pub fn reader(&self) -> IndexReader {
        self.index.reader()
    }

    /// When the endpoint at `address` joined, in logical time.
    pub fn joined_at(&self, address: SocketAddr) -> Option<Stamp> {
        self.joined.get(&address).copied()
    }

    /// Origins that have a sequence, with the highest applied.
    pub fn origins(&self) -> impl Iterator<Item = (Origin, Sequence)> {
        self.index.origins()
    }

    /// See [`Index::release`].
    pub fn release(&mut self, slot: convoy_prefix_index::EndpointSlot) {
        self.index.release(slot);
    }

    /// The digest of everything replicas agree on, at this position.
    pub fn digest(&self) -> MachineDigest {
        record::digest(self)
    }

    fn carry_out(&mut self, item: &Item) -> ItemOutcome {
        match item {
            Item::Sighted(sighted) => {
                let &Sighted { origin, sequence, endpoint, .. } = sighted;
                let outcome = self.sighted(sighted);
                ItemOutcome::Sighted { origin, sequence, endpoint, outcome }
            }
            Item::Endpoint(change) => {
                let endpoint = change.endpoint();
                ItemOutcome::Endpoint { endpoint, outcome: self.change_endpoint(change) }
            }
            Item::Cluster(change) => ItemOutcome::Cluster(self.change_cluster(change)),
        }
    }

    fn sighted(&mut self, sighted: &Sighted) -> Outcome {
        let Sighted { origin, sequence, endpoint, age_ms, seen } = sighted;
        let (origin, sequence, endpoint) = (*origin, *sequence, *endpoint);
        let happened = Stamp(self.time.0.saturating_sub(u64::from(*age_ms)));
        let joined = self.joined.get(&endpoint.address()).copied().unwrap_or_default();
        let stamp = happened.max(joined);
        let command = match seen {
            Seen::Held { base, hashes } => {
                let (base, hashes) = (*base, hashes.clone());
                Command::Held(Held { endpoint, base, hashes, stamp, origin, sequence })
            }
            &Seen::Touched { block } => {
                Command::Touched(Touched { endpoint, block, stamp, origin, sequence })
            }
        };
        self.index.apply(&command)
    }

    fn change_endpoint(&mut self, change: &EndpointChange) -> Outcome {
        let outcome = self.index.apply(&match *change {
            EndpointChange::Joined { endpoint, replaces, capacity_blocks } => {
                Command::Joined { endpoint, replaces, capacity_blocks }
            }
            EndpointChange::Left { endpoint } => Command::Left { endpoint },
            EndpointChange::CapacityChanged { endpoint, capacity_blocks } => {
                Command::CapacityChanged { endpoint, capacity_blocks }
            }
        });
        let address = change.endpoint().address();
        if let Outcome::Joined { .. } = outcome {
            self.joined.insert(address, self.time);
        } else if outcome == Outcome::Left {
            self.joined.remove(&address);
        }
        outcome
    }

    /// The endpoints of the pool.
    pub fn endpoints(&self) -> impl Iterator<Item = (Endpoint, Place)> {
        self.index.endpoints().map(|(endpoint, slot, capacity_blocks)| {
            let joined_at = self.joined_at(endpoint.address()).unwrap_or_default();
            (endpoint, Place { slot, capacity_blocks, joined_at })
        })
    }
}

/// Where the index counts an endpoint, and how much it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub slot: convoy_prefix_index::EndpointSlot,
    pub capacity_blocks: u32,
    /// In logical time.
    pub joined_at: Stamp,
}

/// What the batch would activate that this version does not know. Looked for before anything is
/// applied: an entry is applied whole or not at all.
fn unknown_semantics(batch: &Batch) -> Option<Semantics> {
    batch.items.iter().find_map(|item| match item {
        Item::Cluster(ClusterChange::Activated { semantics }) => {
            (SEMANTICS_KNOWN < *semantics).then_some(*semantics)
        }
        Item::Cluster(ClusterChange::Formed(formed)) => {
            (SEMANTICS_KNOWN < formed.semantics).then_some(formed.semantics)
        }
        Item::Sighted(_) | Item::Endpoint(_) | Item::Cluster(_) => None,
    })
}
