//! Commands, but for the one that adds holdings.

use super::{Index, SlotState, digest};
use crate::{
    BlockHash, Command, ENDPOINTS_MAX, Endpoint, EndpointSlot, Incarnation, ORIGINS_MAX, Origin,
    Outcome, Parameters, Refusal, Sequence, Stamp, Touched,
    index::store::{Place, Share},
    sync::Ordering,
};

/// Slots fit in the half of a word that a holder has for them.
const SLOTS_MAX: usize = 1 << 16;

impl Index {
    pub(super) fn carry_out(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Joined { endpoint, replaces, capacity_blocks } => {
                self.join(*endpoint, *replaces, *capacity_blocks)
            }
            Command::Left { endpoint } => {
                self.live_slot(endpoint)?;
                self.remove(endpoint);
                Ok(Outcome::Left)
            }
            Command::CapacityChanged { endpoint, capacity_blocks } => {
                let slot = self.live_slot(endpoint)?;
                self.slot_and_leaves(slot).0.capacity_blocks = *capacity_blocks;
                self.note_if_over(slot);
                Ok(Outcome::CapacityChanged)
            }
            Command::Held(held) => self.hold(held),
            Command::Touched(touched) => self.touch(touched),
            Command::OriginRetired { origin } => {
                self.origins.remove(origin);
                Ok(Outcome::OriginRetired)
            }
            Command::ParametersChanged(parameters) => Ok(self.change_parameters(parameters)),
        }
    }

    pub(super) fn live_slot(&self, endpoint: &Endpoint) -> Result<u32, Refusal> {
        let slot = *self.live.get(&endpoint.address()).ok_or(Refusal::UnknownEndpoint)?;
        let current = self.slot_state(slot).endpoint.incarnation();
        if current != endpoint.incarnation() {
            return Err(Refusal::OtherIncarnation { current });
        }
        Ok(slot)
    }

    pub(super) fn note_sequence(
        &mut self,
        origin: Origin,
        sequence: Sequence,
    ) -> Result<(), Refusal> {
        match self.origins.get(&origin) {
            Some(&highest) if sequence <= highest => {
                return Err(Refusal::RepeatedSequence { highest });
            }
            None if self.origins.len() == ORIGINS_MAX => return Err(Refusal::TooManyOrigins),
            Some(_) | None => {}
        }
        self.origins.insert(origin, sequence);
        Ok(())
    }

    fn join(
        &mut self,
        endpoint: Endpoint,
        replaces: Option<Incarnation>,
        capacity_blocks: u32,
    ) -> Result<Outcome, Refusal> {
        match (self.live_slot(&endpoint), replaces) {
            (Ok(_), _) => return Err(Refusal::AlreadyJoined),
            (Err(Refusal::OtherIncarnation { current }), Some(old)) if current == old => {
                self.remove(&Endpoint::new(endpoint.address(), current));
            }
            (Err(Refusal::UnknownEndpoint), None) if self.live.len() == ENDPOINTS_MAX => {
                return Err(Refusal::TooManyEndpoints);
            }
            (Err(Refusal::UnknownEndpoint), None) => {}
            (Err(refusal), _) => return Err(refusal),
        }
        let slot = self.add(SlotState::new(endpoint, capacity_blocks));
        Ok(Outcome::Joined { slot: EndpointSlot(slot) })
    }

    pub(super) fn add(&mut self, state: SlotState) -> u32 {
        let address = state.endpoint.address();
        let slot = self.take_slot(state);
        self.live.insert(address, slot);
        slot
    }

    fn take_slot(&mut self, state: SlotState) -> u32 {
        if self.free.is_empty() && self.slots.len() < SLOTS_MAX {
            let slot = u32::try_from(self.slots.len()).expect("slots fit in 16 bits");
            self.slots.push(state);
            let slots = slot + 1;
            self.store.shared().slots.store(slots, Ordering::Release);
            return slot;
        }
        while self.free.is_empty() && self.idle.is_empty() {
            self.reclaim(usize::MAX);
        }
        let slot = self.free.pop_first().or_else(|| self.idle.pop_front());
        let slot = slot.expect("there are more slots than endpoints");
        let (old, _) = self.slot_and_leaves(slot);
        *old = SlotState { stale: true, ..state };
        let shared = self.store.shared();
        shared.slot_lives.fetch_add(1, Ordering::AcqRel);
        shared.set_gone(slot, false);
        slot
    }

    /// Takes an endpoint out of the pool. What it held is reclaimed by and by.
    pub(super) fn remove(&mut self, endpoint: &Endpoint) {
        let Some(slot) = self.live.remove(&endpoint.address()) else { return };
        self.over.remove(&endpoint.address());
        self.store.shared().set_gone(slot, true);
        let (state, _) = self.slot_and_leaves(slot);
        state.pending.clear();
        let held = std::mem::take(&mut state.memberships);
        self.memberships -= held;
        self.gone.push_back(slot);
    }

    fn change_parameters(&mut self, parameters: &Parameters) -> Outcome {
        let emptied = self.parameters.hash != parameters.hash;
        self.parameters = parameters.clone();
        if emptied {
            let all: Vec<(Endpoint, u32)> =
                self.endpoints().map(|(endpoint, _, capacity)| (endpoint, capacity)).collect();
            for (endpoint, capacity_blocks) in all {
                self.remove(&endpoint);
                self.add(SlotState::new(endpoint, capacity_blocks));
            }
        }
        Outcome::ParametersChanged { emptied }
    }

    fn touch(&mut self, touched: &Touched) -> Result<Outcome, Refusal> {
        self.note_sequence(touched.origin, touched.sequence)?;
        let slot = self.live_slot(&touched.endpoint)?;
        let end = self.find_live(touched.block).ok_or(Refusal::MissingBase)?;
        let depth_blocks = self.held_depth(slot, end);
        if depth_blocks == 0 {
            return Err(Refusal::NotHeld);
        }
        let (run, offset) = self.ancestor(end, depth_blocks);
        let index = self.store.find_holder(run, slot).expect("the block is held");
        match self.store.holder(run, index) {
            (holder, Place::Leaf(at)) if holder.len == offset => {
                let name = self.store.name(run, offset);
                let (state, mut leaves) = self.slot_and_leaves(slot);
                let old = state.heap.get(at).map_or(touched.stamp, |(stamp, _)| stamp);
                let stamp = old.max(touched.stamp);
                state.swap_mark(Some((name, old)), Some((name, stamp)));
                state.heap.change(at, stamp, run, &mut leaves);
            }
            _ => {
                let name = self.store.name(run, offset);
                self.slot_and_leaves(slot).0.pend(name, touched.stamp);
            }
        }
        self.supersede(Share { run, slot, len: offset }, touched.stamp);
        Ok(Outcome::Touched { depth_blocks })
    }

    /// Drops pending stamps, not younger than `stamp`, of the blocks before the last of `end`.
    pub(super) fn supersede(&mut self, end: Share, stamp: Stamp) {
        let Share { run, slot, len } = end;
        let Self { slots, store, .. } = self;
        let Some(state) = slots.get_mut(slot as usize) else { return };
        let (mut run, mut before) = (run, len - 1);
        while !state.pending.is_empty() {
            store.names_down(run, before, |_, name| {
                if state.pending.get(&name).is_some_and(|&pending| pending <= stamp) {
                    state.take_pending(name);
                }
                !state.pending.is_empty()
            });
            run = store.shape(run).parent;
            if run == 0 {
                break;
            }
            before = store.shape(run).len;
        }
    }

    pub(super) fn note_if_over(&mut self, slot: u32) {
        let state = self.slot_state(slot);
        let (address, over) = (state.endpoint.address(), state.over_capacity());
        if over {
            self.over.insert(address);
        } else {
            self.over.remove(&address);
        }
    }
}

impl SlotState {
    /// Keeps the sum of marks true when one takes another's place.
    pub(super) fn swap_mark(
        &mut self,
        old: Option<(BlockHash, Stamp)>,
        new: Option<(BlockHash, Stamp)>,
    ) {
        let of = |mark: Option<(BlockHash, Stamp)>| {
            mark.map_or(0, |(block, stamp)| digest::mark(block, stamp))
        };
        self.marks = self.marks.wrapping_sub(of(old)).wrapping_add(of(new));
    }

    /// Stamps a block that is no leaf.
    pub(super) fn pend(&mut self, block: BlockHash, stamp: Stamp) {
        let old = self.take_pending(block);
        let stamp = old.map_or(stamp, |old| old.max(stamp));
        self.pending.insert(block, stamp);
        self.swap_mark(None, Some((block, stamp)));
    }

    /// Takes the stamp of a block that is no leaf, or no longer.
    pub(super) fn take_pending(&mut self, block: BlockHash) -> Option<Stamp> {
        let stamp = self.pending.remove(&block)?;
        self.swap_mark(Some((block, stamp)), None);
        Some(stamp)
    }
}
