//! The command that adds holdings.

use super::{
    Index,
    evict::Pin,
    store::{Holder, Place, RUN_BLOCKS_MAX, Share},
    table::Position,
    view::RunId,
};
use crate::{BlockHash, CHAIN_BLOCKS_MAX, Held, Outcome, Refusal, Stamp};

/// Blocks looked up at once.
const BATCH: usize = 32;

/// The same, for commands of few.
const BATCH_SHORT: usize = 4;

/// Memory that commands use again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    seen: Vec<u64>,
    path: Vec<(RunId, u32)>,
}

impl Scratch {
    /// True when a block comes more than once.
    pub(super) fn has_repeats(&mut self, blocks: &[BlockHash]) -> bool {
        let mut seen = Seen::new(&mut self.seen, blocks.len());
        !blocks.iter().all(|&block| seen.insert(block))
    }
}

/// The deepest stored block of a chain, and how many blocks end with it.
#[derive(Clone, Copy, Debug)]
struct Known {
    position: Option<Position>,
    depth: u32,
}

impl Index {
    pub(super) fn hold(&mut self, held: &Held) -> Result<Outcome, Refusal> {
        self.note_sequence(held.origin, held.sequence)?;
        let slot = self.live_slot(&held.endpoint)?;
        if !self.over.is_empty() || self.memberships_max() < self.memberships {
            return Err(Refusal::Shrinking);
        }
        let base = self.find_base(held)?;
        let all = base.depth as usize + held.hashes.len();
        if all == 0 {
            return Err(Refusal::EmptyChain);
        }
        if CHAIN_BLOCKS_MAX < all {
            return Err(Refusal::ChainTooLong);
        }
        let mut stored = self.check_consistent(held, base)?;
        let capacity = self.slot_state(slot).capacity_blocks;
        let limit = u64::from(capacity).min(self.memberships_max());
        let cut = limit < all as u64;
        let blocks = u32::try_from(limit.min(all as u64)).expect("a chain is short");
        if blocks == 0 {
            return Ok(Outcome::Held { depth_blocks: 0, added: 0, cut });
        }

        let mut known = self.cut_known(base, stored, blocks);
        let depth = known.position.map_or(0, |position| self.held_depth(slot, position));
        let mut pin = self.pin(slot, known, depth);
        let added = blocks - depth;
        if self.make_room(slot, added, &mut pin) {
            // What other endpoints held of this chain may have gone.
            let Ok(base) = self.find_base(held) else {
                self.unpin(pin);
                return Err(Refusal::MissingBase);
            };
            stored = self.check_consistent(held, base)?;
            known = self.cut_known(base, stored, blocks);
        }
        self.extend_share(slot, known, depth);
        let first = known.depth.saturating_sub(base.depth) as usize;
        let last = blocks.saturating_sub(base.depth) as usize;
        let fresh = held.hashes.get(first..last).unwrap_or_default();
        let end = self.append_share(slot, known, fresh);
        self.slot_and_leaves(slot).0.memberships += u64::from(added);
        self.memberships += u64::from(added);
        let own = if 0 < added {
            self.pass_mark(pin, held.stamp);
            None
        } else {
            pin.and_then(|pin| pin.stamp)
        };
        self.mark_end(end, held.stamp, own);
        Ok(Outcome::Held { depth_blocks: blocks, added, cut })
    }

    fn find_base(&self, held: &Held) -> Result<Known, Refusal> {
        let Some(base) = held.base else { return Ok(Known { position: None, depth: 0 }) };
        let position = self.find_live(base).ok_or(Refusal::MissingBase)?;
        let above = self.store.shape(self.store.run_at(position)).depth;
        Ok(Known { position: Some(position), depth: above + self.store.offset_of(position) })
    }

    /// Where a block is that an endpoint of the pool holds.
    pub(super) fn find_live(&self, block: BlockHash) -> Option<Position> {
        let position = self.store.find(block)?;
        let live = self.gone.is_empty()
            || self.is_live(self.store.run_at(position), self.store.offset_of(position));
        live.then_some(position)
    }

    /// Each block after the base is unknown, or stored to follow its predecessor. Answers the
    /// deepest that is stored.
    fn check_consistent(&mut self, held: &Held, base: Known) -> Result<Known, Refusal> {
        match self.stored_prefix(held, base) {
            // It may be known elsewhere only from an endpoint that is gone, which does not count.
            Err(Refusal::Inconsistent { .. }) if !self.gone.is_empty() => {
                self.reclaim(usize::MAX);
                self.stored_prefix(held, base)
            }
            answer => answer,
        }
    }

    fn stored_prefix(&mut self, held: &Held, base: Known) -> Result<Known, Refusal> {
        if held.hashes.len() <= BATCH_SHORT {
            self.stored_prefix_by::<BATCH_SHORT>(held, base)
        } else {
            self.stored_prefix_by::<BATCH>(held, base)
        }
    }

    fn stored_prefix_by<const BATCH: usize>(
        &mut self,
        held: &Held,
        base: Known,
    ) -> Result<Known, Refusal> {
        let mut seen = Seen::new(&mut self.scratch.seen, held.hashes.len());
        let mut deepest = base;
        for (first, names) in (0..).step_by(BATCH).zip(held.hashes.chunks(BATCH)) {
            let names: [_; BATCH] = std::array::from_fn(|at| names.get(at).copied());
            let positions = self.store.find_batch(names);
            for (at, (name, stored)) in (first..).zip(names.into_iter().zip(positions)) {
                let fits = match (name, stored) {
                    (None, _) => break,
                    (Some(name), None) => seen.insert(name),
                    (Some(_), Some(position)) => {
                        deepest.depth - base.depth == at
                            && self.store.before(position) == deepest.position
                    }
                };
                if !fits {
                    return Err(Refusal::Inconsistent { at });
                }
                if stored.is_some() {
                    deepest = Known { position: stored, depth: deepest.depth + 1 };
                }
            }
        }
        Ok(deepest)
    }

    /// What is stored of the first `blocks` of a chain.
    fn cut_known(&self, base: Known, stored: Known, blocks: u32) -> Known {
        debug_assert!(base.depth <= stored.depth, "the base is stored");
        let Some(position) = stored.position.filter(|_| blocks < stored.depth) else {
            return stored;
        };
        let (run, offset) = self.ancestor(position, blocks);
        Known { position: Some(self.store.position_at(run, offset)), depth: blocks }
    }

    /// The run of the block that ends the first `depth` blocks of the chain of `end`, and its
    /// number in the run.
    pub(super) fn ancestor(&self, end: Position, depth: u32) -> (RunId, u32) {
        let mut run = self.store.run_at(end);
        let mut shape = self.store.shape(run);
        while depth <= shape.depth {
            run = shape.parent;
            shape = self.store.shape(run);
        }
        (run, depth - shape.depth)
    }

    /// How many blocks of the chain of `end` a slot holds.
    pub(super) fn held_depth(&self, slot: u32, end: Position) -> u32 {
        let mut run = self.store.run_at(end);
        let mut shape = self.store.shape(run);
        let mut offset = self.store.offset_of(end);
        loop {
            if let Some(index) = self.store.find_holder(run, slot) {
                return shape.depth + self.store.holder(run, index).0.len.min(offset);
            }
            if shape.parent == 0 {
                return 0;
            }
            run = shape.parent;
            shape = self.store.shape(run);
            offset = shape.len;
        }
    }

    /// Keeps the last held block of a chain from being evicted.
    fn pin(&mut self, slot: u32, known: Known, depth: u32) -> Option<Pin> {
        let end = known.position.filter(|_| depth != 0)?;
        let (run, offset) = self.ancestor(end, depth);
        let position = self.store.position_at(run, offset);
        let name = self.store.hash_at(position);
        let index = self.store.find_holder(run, slot).expect("the block is held");
        let mut stamp = None;
        if let (holder, Place::Leaf(at)) = self.store.holder(run, index)
            && holder.len == offset
        {
            let (state, mut leaves) = self.slot_and_leaves(slot);
            stamp = state.heap.get(at).map(|(stamp, _)| stamp);
            state.heap.remove(at, &mut leaves);
            self.store.set_place(run, index, Place::Pinned);
        }
        Some(Pin { slot, position, name, depth, stamp })
    }

    fn unpin(&mut self, pin: Option<Pin>) {
        if let Some(Pin { slot, position, stamp: Some(stamp), .. }) = pin {
            let run = self.store.run_at(position);
            let (state, mut leaves) = self.slot_and_leaves(slot);
            state.heap.push(stamp, run, &mut leaves);
        }
    }

    /// Has a slot hold, from the first `depth` blocks on, all that is stored of a chain.
    fn extend_share(&mut self, slot: u32, known: Known, depth: u32) {
        let Some(end) = known.position.filter(|_| depth < known.depth) else { return };
        let mut path = std::mem::take(&mut self.scratch.path);
        path.clear();
        let mut run = self.store.run_at(end);
        let mut shape = self.store.shape(run);
        path.push((run, known.depth - shape.depth));
        while depth <= shape.depth && shape.parent != 0 {
            run = shape.parent;
            shape = self.store.shape(run);
            path.push((run, shape.len));
        }
        // The first block first: every step leaves holdings without holes for readers to see.
        for &(run, len) in path.iter().rev() {
            match self.store.find_holder(run, slot) {
                Some(index) => {
                    if self.store.holder(run, index).0.len < len {
                        self.store.set_holder_len(run, index, len);
                    }
                }
                None => self.enter_run(slot, run, len),
            }
        }
        self.scratch.path = path;
    }

    /// Adds a slot to the holders of a run, of whose parent it holds all.
    fn enter_run(&mut self, slot: u32, run: RunId, len: u32) {
        let parent = self.store.shape(run).parent;
        if parent != 0 {
            let index = self.store.find_holder(parent, slot).expect("holdings have no holes");
            let children = match self.store.holder(parent, index).1 {
                Place::Inner(children) => children,
                Place::Pinned | Place::Leaf(_) => 0,
            };
            self.store.set_place(parent, index, Place::Inner(children + 1));
        }
        self.store.add_holder(run, Holder { slot, len }, Place::Pinned);
    }

    /// Stores `fresh` after the known blocks, for a slot that holds these. Answers its
    /// share of the last block's run, up to that block.
    fn append_share(&mut self, slot: u32, known: Known, fresh: &[BlockHash]) -> Share {
        let (mut run, mut offset) = match known.position {
            None => (0, 0),
            Some(position) => {
                let run = self.store.run_at(position);
                (run, known.depth - self.store.shape(run).depth)
            }
        };
        if let Some(position) = known.position
            && !fresh.is_empty()
            && offset < self.store.shape(run).len
        {
            run = self.store.split(run, position, offset);
            self.rename_leaves(run, run);
        }
        let mut rest = fresh;
        while !rest.is_empty() {
            let grows = run != 0 && offset < RUN_BLOCKS_MAX && !self.store.has_children(run);
            let room = RUN_BLOCKS_MAX - if grows { offset } else { 0 };
            let (part, later) = rest.split_at(rest.len().min(room as usize));
            rest = later;
            let added = u32::try_from(part.len()).expect("a run is short");
            if grows {
                self.store.append(run, part);
                offset += added;
                let index = self.store.find_holder(run, slot).expect("the base is held");
                self.store.set_holder_len(run, index, offset);
            } else {
                run = self.store.new_run(run);
                self.store.append(run, part);
                self.enter_run(slot, run, added);
                offset = added;
            }
        }
        Share { run, slot, len: offset }
    }

    /// The leaf that a chain went on from is none any more: its stamp stays only if younger.
    fn pass_mark(&mut self, pin: Option<Pin>, stamp: Stamp) {
        if let Some(Pin { slot, name, stamp: Some(old), .. }) = pin {
            let (state, _) = self.slot_and_leaves(slot);
            if stamp < old {
                state.pending.insert(name, old);
            } else {
                state.swap_mark(Some((name, old)), None);
            }
        }
    }

    /// Stamps the end of a chain that a slot holds. `own` is the stamp it has as a leaf that is
    /// not in the heap.
    fn mark_end(&mut self, end: Share, stamp: Stamp, own: Option<Stamp>) {
        let Share { run, slot, len } = end;
        let name = self.store.name(run, len);
        let index = self.store.find_holder(run, slot).expect("the chain is held");
        let (holder, place) = self.store.holder(run, index);
        let (state, mut leaves) = self.slot_and_leaves(slot);
        if place == Place::Pinned && holder.len == len {
            let youngest = own.map_or(stamp, |own| own.max(stamp));
            state.swap_mark(own.map(|own| (name, own)), Some((name, youngest)));
            state.heap.push(youngest, run, &mut leaves);
        } else {
            state.pend(name, stamp);
        }
        self.supersede(end, stamp);
    }
}

/// Tells whether a block came before in one command.
struct Seen<'scratch> {
    table: &'scratch mut [u64],
    shift: u32,
}

impl<'scratch> Seen<'scratch> {
    fn new(table: &'scratch mut Vec<u64>, blocks: usize) -> Self {
        let slots = (2 * blocks).next_power_of_two().max(2);
        table.clear();
        table.resize(slots, 0);
        Self { table, shift: 64 - slots.trailing_zeros() }
    }

    fn insert(&mut self, block: BlockHash) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the shift leaves few bits")]
        let mut at = (block.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize;
        loop {
            at %= self.table.len();
            let Some(slot) = self.table.get_mut(at) else { return true };
            if *slot == 0 {
                *slot = block.get();
                return true;
            }
            if *slot == block.get() {
                return false;
            }
            at += 1;
        }
    }
}
