//! What goes, and in which order: the least recently used leaf first, a stretch at a time.

use super::{
    Index, SlotLeaves,
    heap::Heap,
    store::{Place, RUN_BLOCKS_MAX, Share},
    table::Position,
    view::RunId,
};
use crate::{BlockHash, CATCH_UP_BLOCKS_MAX, Outcome, Refusal, Stamp};

/// Blocks of endpoints that left, reclaimed by every command, beside twice what it adds: so
/// garbage shrinks faster than anything grows.
const RECLAIM_BLOCKS: usize = 512;

/// Endpoints that left and wait to be reclaimed. With all that may be in the pool they fit in a
/// run's list of holders.
const GONE_MAX: usize = 4096;

/// The end of what an endpoint holds of the chain that a command extends. It stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin {
    pub(super) slot: u32,
    /// The block, and how many blocks end with it.
    pub(super) position: Position,
    pub(super) name: BlockHash,
    pub(super) depth: u32,
    /// Its stamp while it is a leaf, out of its heap.
    pub(super) stamp: Option<Stamp>,
}

impl Index {
    pub(super) fn memberships_max(&self) -> u64 {
        self.parameters.memberships_bound()
    }

    /// Evicts until `added` more fit: at the endpoint, and in all. True when other endpoints had
    /// to give way.
    pub(super) fn make_room(&mut self, slot: u32, added: u32, pin: &mut Option<Pin>) -> bool {
        let added = u64::from(added);
        loop {
            let state = self.slot_state(slot);
            let excess = (state.memberships + added).saturating_sub(state.capacity_blocks.into());
            if excess == 0 || self.evict(slot, excess, pin) == 0 {
                break;
            }
        }
        let mut others = false;
        loop {
            let excess = (self.memberships + added).saturating_sub(self.memberships_max());
            let victim = if excess == 0 { None } else { self.victim() };
            let Some(victim) = victim else { return others };
            others = true;
            if self.evict(victim, excess, pin) == 0 {
                return others;
            }
        }
    }

    /// Evicts a bounded number of blocks where a bound was lowered.
    pub(super) fn catch_up(&mut self) {
        let mut budget = CATCH_UP_BLOCKS_MAX as u64;
        while 0 < budget {
            let over = self.over.first().and_then(|address| self.live.get(address)).copied();
            let (slot, excess) = if let Some(slot) = over {
                let state = self.slot_state(slot);
                (slot, state.memberships - u64::from(state.capacity_blocks))
            } else {
                let excess = self.memberships.saturating_sub(self.memberships_max());
                let victim = if excess == 0 { None } else { self.victim() };
                let Some(slot) = victim else { return };
                (slot, excess)
            };
            let evicted = self.evict(slot, excess.min(budget), &mut None);
            budget = if evicted == 0 { 0 } else { budget - evicted };
        }
    }

    /// Whose leaf goes next: by stamp, then by endpoint.
    fn victim(&mut self) -> Option<u32> {
        self.refresh_firsts();
        let first = self.firsts.iter().copied().min()?;
        let tied = (0..).zip(&self.firsts).filter(|&(_, &stamp)| stamp == first);
        let tied = tied.map(|(slot, _)| (self.slot_state(slot), slot));
        // The youngest stamp there is looks like none.
        let tied = tied.filter(|(state, slot)| state.heap.len() != 0 && self.is_in_pool(*slot));
        tied.min_by_key(|(state, _)| state.endpoint).map(|(_, slot)| slot)
    }

    fn refresh_firsts(&mut self) {
        let mut stale = std::mem::take(&mut self.stale);
        self.firsts.resize(self.slots.len(), u64::MAX);
        for slot in stale.drain(..) {
            let in_pool = self.is_in_pool(slot);
            if let Some(state) = self.slots.get_mut(slot as usize)
                && let Some(known) = self.firsts.get_mut(slot as usize)
            {
                state.stale = false;
                let first = state.heap.first().filter(|_| in_pool);
                *known = first.map_or(u64::MAX, |(Stamp(stamp), _)| stamp);
            }
        }
        self.stale = stale;
    }

    fn is_in_pool(&self, slot: u32) -> bool {
        !self.store.shared().is_gone(slot)
    }

    /// Evicts the first leaf of a slot, and at once those before it that would go next: at most
    /// `most` blocks. Answers how many.
    fn evict(&mut self, slot: u32, most: u64, pin: &mut Option<Pin>) -> u64 {
        let Some((stamp, run)) = self.slot_state(slot).heap.first() else { return 0 };
        let index = self.store.find_holder(run, slot).expect("a leaf has a holder");
        let (holder, _) = self.store.holder(run, index);
        let stop = self.stop_above(slot, run, pin.as_ref());
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let share = Share { run, slot, len: holder.len };
        let len = self.next_leaf(share, most, stop);
        let evicted = u64::from(holder.len - len);

        let name = self.store.name(run, holder.len);
        let (state, _) = self.slot_and_leaves(slot);
        state.swap_mark(Some((name, stamp)), None);
        state.memberships -= evicted;
        self.memberships -= evicted;
        self.evicted += evicted;
        self.note_if_over(slot);
        let longest = holder.len == self.store.shape(run).len;
        if 0 < len {
            self.store.set_holder_len(run, index, len);
            let pinned = pin.as_mut().filter(|_| 0 < stop && len == stop);
            self.place_leaf(Share { len, ..share }, stamp, pinned);
        } else {
            let parent = self.store.shape(run).parent;
            self.store.remove_holder(run, index);
            self.leave_parent(slot, parent, stamp, pin);
        }
        if longest {
            self.trim(run);
        }
        evicted
    }

    /// The block of the run that must stay: the pinned one, else none.
    fn stop_above(&self, slot: u32, run: RunId, pin: Option<&Pin>) -> u32 {
        match pin {
            Some(pin) if pin.slot == slot && self.store.run_at(pin.position) == run => {
                pin.depth - self.store.shape(run).depth
            }
            Some(_) | None => 0,
        }
    }

    /// How much of a run stays when its leaf goes, and what would go right after it: the leaf's
    /// stamp passes on, so only an equal stamp elsewhere or a younger one before it ends this.
    fn next_leaf(&self, share: Share, most: u32, stop: u32) -> u32 {
        let Share { run, slot, len } = share;
        let state = self.slot_state(slot);
        let first = state.heap.first().map(|(stamp, _)| stamp);
        let tie = state.heap.second_stamp() == first;
        let least = if tie { len - 1 } else { stop.max(len.saturating_sub(most)) };
        let mut next = least;
        if !state.pending.is_empty() && least + 1 < len {
            self.store.names_down(run, len - 1, |offset, name| {
                if offset <= least {
                    return false;
                }
                let stamped = state.pending.contains_key(&name);
                if stamped {
                    next = offset;
                }
                !stamped
            });
        }
        next
    }

    /// The share's end became a leaf, in place of the first of the heap.
    fn place_leaf(&mut self, share: Share, stamp: Stamp, pinned: Option<&mut Pin>) {
        let Share { run, slot, len } = share;
        let name = self.store.name(run, len);
        let (state, mut leaves) = self.slot_and_leaves(slot);
        let stamp = state.take_pending(name).map_or(stamp, |own| own.max(stamp));
        state.swap_mark(None, Some((name, stamp)));
        match pinned {
            None => state.heap.change(0, stamp, run, &mut leaves),
            Some(pin) => {
                state.heap.remove(0, &mut leaves);
                pin.stamp = Some(stamp);
                let SlotLeaves { store, slot } = leaves;
                let index = store.find_holder(run, slot).expect("a leaf has a holder");
                store.set_place(run, index, Place::Pinned);
            }
        }
    }

    /// The slot holds one child run of `parent` less; the first of its heap was in it.
    fn leave_parent(&mut self, slot: u32, parent: RunId, stamp: Stamp, pin: &mut Option<Pin>) {
        if parent != 0 {
            let index = self.store.find_holder(parent, slot).expect("holdings have no holes");
            match self.store.holder(parent, index) {
                (holder, Place::Inner(1)) => {
                    let stop = self.stop_above(slot, parent, pin.as_ref());
                    let pinned = pin.as_mut().filter(|_| stop == holder.len);
                    let share = Share { run: parent, slot, len: holder.len };
                    self.place_leaf(share, stamp, pinned);
                    return;
                }
                (_, Place::Inner(children)) => {
                    self.store.set_place(parent, index, Place::Inner(children - 1));
                }
                (_, Place::Leaf(_) | Place::Pinned) => {
                    debug_assert!(false, "a share with a child run is no leaf");
                }
            }
        }
        let (state, mut leaves) = self.slot_and_leaves(slot);
        state.heap.remove(0, &mut leaves);
    }

    /// Drops the blocks of a run that nobody holds, and the run with its last holder.
    fn trim(&mut self, run: RunId) {
        let shape = self.store.shape(run);
        let holders = 0..shape.holders;
        let held = holders.map(|index| self.store.holder(run, index).0.len).max().unwrap_or(0);
        if held < shape.len {
            self.store.truncate(run, held);
        }
        if held == 0 {
            self.store.free_run(run);
            self.join_with_child(shape.parent);
        }
    }

    /// Makes one run of two when no branch is between them any more.
    fn join_with_child(&mut self, upper: RunId) {
        if upper == 0 {
            return;
        }
        let Some(lower) = self.store.only_child(upper) else { return };
        if RUN_BLOCKS_MAX < self.store.shape(upper).len + self.store.shape(lower).len {
            return;
        }
        self.rename_leaves(upper, lower);
        self.store.merge(upper, lower);
    }

    /// Tells the heaps that the leaves of one run are now those of another.
    pub(super) fn rename_leaves(&mut self, from: RunId, to: RunId) {
        for index in 0..self.store.shape(from).holders {
            if let (holder, Place::Leaf(at)) = self.store.holder(from, index)
                && let Some(state) = self.slots.get_mut(holder.slot as usize)
            {
                state.heap.rename(at, to);
            }
        }
    }

    pub(super) fn reclaim_some(&mut self, result: Result<Outcome, Refusal>) {
        let added = match result {
            Ok(Outcome::Held { added, .. }) => added as usize,
            Ok(_) | Err(_) => 0,
        };
        // Endpoints that come and go faster than that are taken back whole.
        let all = GONE_MAX < self.gone.len();
        self.reclaim(if all { usize::MAX } else { RECLAIM_BLOCKS + 2 * added });
    }

    /// Takes back what endpoints held that are gone: about this many blocks.
    pub(super) fn reclaim(&mut self, blocks: usize) {
        let mut budget = blocks;
        while 0 < budget
            && let Some(&slot) = self.gone.front()
        {
            let Some(run) = self.slot_and_leaves(slot).0.heap.pop_any() else {
                self.gone.pop_front();
                self.slot_and_leaves(slot).0.heap = Heap::default();
                self.idle.push_back(slot);
                continue;
            };
            let index = self.store.find_holder(run, slot).expect("a leaf has a holder");
            let (holder, _) = self.store.holder(run, index);
            let shape = self.store.shape(run);
            self.store.remove_holder(run, index);
            if shape.parent != 0 {
                self.leave_parent_when_gone(slot, shape.parent);
            }
            if holder.len == shape.len {
                self.trim(run);
            }
            budget = budget.saturating_sub(holder.len as usize);
        }
    }

    fn leave_parent_when_gone(&mut self, slot: u32, parent: RunId) {
        let index = self.store.find_holder(parent, slot).expect("holdings have no holes");
        match self.store.holder(parent, index).1 {
            Place::Inner(children) if 1 < children => {
                self.store.set_place(parent, index, Place::Inner(children - 1));
            }
            Place::Inner(_) | Place::Leaf(_) | Place::Pinned => {
                let (state, mut leaves) = self.slot_and_leaves(slot);
                state.heap.push(Stamp(u64::MAX), parent, &mut leaves);
            }
        }
    }

    /// True when an endpoint that is in the pool holds this much of a run.
    pub(super) fn is_live(&self, run: RunId, offset: u32) -> bool {
        let shared = self.store.shared();
        let mut holders = (0..self.store.shape(run).holders).map(|at| self.store.holder(run, at).0);
        holders.any(|holder| offset <= holder.len && !shared.is_gone(holder.slot))
    }
}
