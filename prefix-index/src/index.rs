//! The index: one writer applies commands, any number of readers ask for depths.

mod apply;

mod hold;

mod evict;

mod pack;

mod digest;

mod snapshot;

mod lookup;

mod heap;

mod store;

mod table;

mod pool;

mod view;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

pub use digest::Digest;
use heap::{Heap, Leaves};
pub use lookup::IndexReader;
pub use snapshot::{Restore, RestoreError, Snapshot, SnapshotChunks};
use store::{Place, Store};
use view::RunId;

use crate::{
    BlockHash, Command, Endpoint, EndpointSlot, Origin, Outcome, Parameters, Sequence, Stamp,
    sync::Ordering,
};

/// How much an index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Endpoints in the pool.
    pub endpoints: u64,
    /// (block, endpoint) pairs held.
    pub memberships: u64,
    /// Distinct blocks stored. Counts what endpoints that left held, until it is reclaimed.
    pub blocks: u64,
    /// Stretches of blocks without a branch.
    pub runs: u64,
    /// Memory, everything counted: what is held, free room, tables and heaps. Refreshed every 64
    /// commands.
    pub bytes: u64,
    /// Memberships evicted since this index was made.
    pub evicted: u64,
}

/// Who holds which prefix. The single writer.
///
/// A function of the commands applied: two indexes that applied the same commands answer alike
/// and have equal [`Digest`]s.
#[derive(Debug)]
pub struct Index {
    parameters: Parameters,
    store: Store,
    slots: Vec<SlotState>,
    /// For each slot the stamp of its next leaf to go; `u64::MAX` for none. Of stale slots it is
    /// wrong.
    firsts: Vec<u64>,
    stale: Vec<u32>,
    /// Which slot each endpoint of the pool has, in the order of eviction.
    live: BTreeMap<SocketAddr, u32>,
    /// Endpoints that hold more than their capacity.
    over: BTreeSet<SocketAddr>,
    origins: BTreeMap<Origin, Sequence>,
    memberships: u64,
    evicted: u64,
    /// Commands applied; counts for nothing but how often statistics are refreshed.
    applied: u64,
    /// Slots whose endpoint is gone and whose holdings wait to be reclaimed.
    gone: VecDeque<u32>,
    /// Slots without holdings that somebody may still name, the longest unused first.
    idle: VecDeque<u32>,
    /// Slots without holdings that nobody names.
    free: BTreeSet<u32>,
    scratch: hold::Scratch,
}

/// What the writer knows of a slot.
#[derive(Debug)]
struct SlotState {
    endpoint: Endpoint,
    capacity_blocks: u32,
    memberships: u64,
    /// True while it is among the stale slots.
    stale: bool,
    /// The sum of the digests of its marks.
    marks: u64,
    /// Its leaves, each with a stamp.
    heap: Heap,
    /// Stamps of blocks that end a chain that was used, and are no leaves.
    pending: BTreeMap<BlockHash, Stamp>,
}

impl SlotState {
    fn new(endpoint: Endpoint, capacity_blocks: u32) -> Self {
        let (heap, pending) = (Heap::default(), BTreeMap::new());
        let (memberships, marks, stale) = (0, 0, false);
        Self { endpoint, capacity_blocks, memberships, stale, marks, heap, pending }
    }

    fn over_capacity(&self) -> bool {
        u64::from(self.capacity_blocks) < self.memberships
    }
}

impl Index {
    /// An index without endpoints. It takes memory as it grows, not before.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            store: Store::new(),
            slots: Vec::new(),
            firsts: Vec::new(),
            stale: Vec::new(),
            live: BTreeMap::new(),
            over: BTreeSet::new(),
            origins: BTreeMap::new(),
            memberships: 0,
            evicted: 0,
            applied: 0,
            gone: VecDeque::new(),
            idle: VecDeque::new(),
            free: BTreeSet::new(),
            scratch: hold::Scratch::default(),
        }
    }

    /// Carries out one command, or refuses it. Total.
    ///
    /// The work is bounded by the blocks in the command and on its chain, by those evicted for
    /// them, and by constants: [`crate::CATCH_UP_BLOCKS_MAX`] for bounds that were lowered.
    pub fn apply(&mut self, command: &Command) -> Outcome {
        self.applied = self.applied.wrapping_add(1);
        let result = self.carry_out(command);
        self.catch_up();
        self.reclaim_some(result);
        self.pack();
        self.publish_counts();
        result.unwrap_or_else(Outcome::Refused)
    }

    /// A handle for queries from any thread.
    pub fn reader(&self) -> IndexReader {
        IndexReader::new(Arc::clone(self.store.shared()))
    }

    /// What it was made with, or the last [`Command::ParametersChanged`] said.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Where `endpoint` is counted; `None` unless it has joined, in this incarnation.
    pub fn slot(&self, endpoint: &Endpoint) -> Option<EndpointSlot> {
        self.live_slot(endpoint).ok().map(EndpointSlot)
    }

    /// The endpoints of the pool, with their slots and capacities in blocks.
    pub fn endpoints(&self) -> impl Iterator<Item = (Endpoint, EndpointSlot, u32)> {
        self.live.values().filter_map(|&slot| {
            let state = self.slots.get(slot as usize)?;
            Some((state.endpoint, EndpointSlot(slot), state.capacity_blocks))
        })
    }

    /// The origins that are not retired, with the highest sequence applied of each, in order.
    pub fn origins(&self) -> impl Iterator<Item = (Origin, Sequence)> {
        self.origins.iter().map(|(&origin, &sequence)| (origin, sequence))
    }

    /// Says that nobody names this slot any more, if its endpoint is gone.
    ///
    /// Call it when the last view that lists the endpoint is dropped: until then a reader could
    /// take another endpoint's depth for its own. A slot that is never released is given out
    /// again only when all 65,536 are used up.
    pub fn release(&mut self, slot: EndpointSlot) {
        if let Some(at) = self.idle.iter().position(|&idle| idle == slot.0) {
            self.idle.remove(at);
            self.free.insert(slot.0);
        }
    }

    fn slot_state(&self, slot: u32) -> &SlotState {
        self.slots.get(slot as usize).expect("slots come from take_slot")
    }

    /// A slot's state, and the store for its heap to look into.
    fn slot_and_leaves(&mut self, slot: u32) -> (&mut SlotState, SlotLeaves<'_>) {
        let Self { slots, store, stale, .. } = self;
        let state = slots.get_mut(slot as usize).expect("slots come from take_slot");
        if !state.stale {
            state.stale = true;
            stale.push(slot);
        }
        (state, SlotLeaves { store, slot })
    }

    fn publish_counts(&self) {
        let counts = &self.store.shared().counts;
        // Heaps are looked at now and then: there are as many as endpoints.
        if self.applied.is_multiple_of(64) {
            counts.bytes.store(self.bytes() as u64, Ordering::Relaxed);
        }
        let all = [
            (&counts.endpoints, self.live.len() as u64),
            (&counts.memberships, self.memberships),
            (&counts.blocks, self.store.blocks()),
            (&counts.runs, self.store.runs()),
            (&counts.evicted, self.evicted),
        ];
        for (count, value) in all {
            count.store(value, Ordering::Relaxed);
        }
    }

    /// Memory, everything counted.
    pub fn bytes(&self) -> usize {
        let slots = self.slots.iter().map(|state| {
            // A map's node is at worst half full.
            let pending = state.pending.len() * 2 * size_of::<(BlockHash, Stamp)>();
            state.heap.bytes() + pending
        });
        self.store.bytes() + self.slots.capacity() * size_of::<SlotState>() + slots.sum::<usize>()
    }
}

/// Where the leaves of one slot are kept.
struct SlotLeaves<'index> {
    store: &'index Store,
    slot: u32,
}

impl Leaves for SlotLeaves<'_> {
    fn name(&self, run: RunId) -> BlockHash {
        let index = self.store.find_holder(run, self.slot).expect("a leaf has a holder");
        self.store.name(run, self.store.holder(run, index).0.len)
    }

    fn moved(&mut self, run: RunId, at: u32) {
        let index = self.store.find_holder(run, self.slot).expect("a leaf has a holder");
        self.store.set_place(run, index, Place::Leaf(at));
    }
}
