//! The writer's side of runs, cells and holders: what is stored where, and in which order it is
//! written, so that readers see each run whole or look again.
//!
//! It knows slots and places by number only; what an endpoint is, is the index's business.

mod holders;

mod reshape;

mod walk;

mod pack;

use std::{ops::RangeBounds, sync::Arc};

pub(super) use holders::{Holder, Place, Share};
use pack::Packing;
pub(super) use pack::Step;
use smallvec::SmallVec;

use super::{
    pool::{Buddies, Pool},
    snapshot::{FrozenCell, FrozenRun},
    table::{Arenas, Position, READY, Table},
    view::{CELL_BLOCKS, Cell, CellId, Run, RunId, Shared, View, chunk_bits},
};
use crate::{
    BlockHash,
    sync::{Ordering, fence},
};

/// The most blocks of a run. Longer chains have several; walks within a run are this short.
pub(super) const RUN_BLOCKS_MAX: u32 = 2048;

const DEPTH_BITS: u32 = 17;
const CHILDREN_MAX: u32 = (1 << (32 - DEPTH_BITS)) - 1;

/// A run's fields, read together by the writer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Blocks before the run.
    pub(super) depth: u32,
    pub(super) len: u32,
    pub(super) parent: RunId,
    pub(super) holders: usize,
}

impl Run {
    #[inline]
    pub(super) fn depth(&self) -> u32 {
        self.depth_children.load(Ordering::Relaxed) & ((1 << DEPTH_BITS) - 1)
    }

    #[inline]
    pub(super) fn len_and_holders(&self) -> (u32, usize) {
        let both = self.len_holders.load(Ordering::Acquire);
        (both & 0xffff, (both >> 16) as usize)
    }

    fn children(&self) -> u32 {
        self.depth_children.load(Ordering::Relaxed) >> DEPTH_BITS
    }

    fn set_depth_children(&self, depth: u32, children: u32) {
        self.depth_children.store(children << DEPTH_BITS | depth, Ordering::Relaxed);
    }

    fn set_len_holders(&self, len: u32, holders: usize) {
        let holders = u32::try_from(holders).expect("a run's holders fit in a list");
        self.len_holders.store(holders << 16 | len, Ordering::Release);
    }

    fn begin(&self) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        debug_assert!(sequence & 1 == 0, "changes do not nest");
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
    }

    fn end(&self) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Release);
    }
}

/// Everything stored.
#[derive(Debug)]
pub(super) struct Store {
    arenas: Arenas,
    table: Table,
    cells: Pool,
    runs: Pool,
    lists: Buddies,
    blocks: u64,
    packing: Packing,
}

impl Store {
    pub(super) fn new() -> Self {
        let view = Arc::new(View::new());
        let shared = Arc::new(Shared::new(Arc::clone(&view)));
        Self {
            arenas: Arenas { view, shared },
            table: Table::new(),
            cells: Pool::new(chunk_bits::CELLS),
            runs: Pool::new(chunk_bits::RUNS),
            lists: Buddies::new(chunk_bits::LIST_WORDS),
            blocks: 0,
            packing: Packing::default(),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.arenas.shared
    }

    /// Blocks stored, reclaimed or not.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(super) fn runs(&self) -> u64 {
        u64::from(self.runs.used())
    }

    pub(super) fn bytes(&self) -> usize {
        self.arenas.view.bytes() + self.table.bytes()
    }

    /// Copies all that a snapshot needs: cells, runs and the lists of holders.
    pub(super) fn freeze(&self) -> (Vec<FrozenCell>, Vec<FrozenRun>, Vec<u32>) {
        let View { cells, runs, lists, .. } = &*self.arenas.view;
        let cells = cells.copy(|cell| FrozenCell {
            run: cell.run.load(Ordering::Relaxed),
            prev: cell.prev.load(Ordering::Relaxed),
            blocks: cell.blocks.each_ref().map(|block| block.load(Ordering::Relaxed)),
        });
        let runs = runs.copy(|run| {
            let (len, count) = run.len_and_holders();
            FrozenRun {
                parent: self.parent(run),
                len,
                count,
                holders: run.holders.load(Ordering::Relaxed),
                tail: run.tail.load(Ordering::Relaxed),
            }
        });
        (cells, runs, lists.copy(|word| word.load(Ordering::Relaxed)))
    }

    pub(super) fn find(&self, hash: BlockHash) -> Option<Position> {
        self.arenas.view.find(hash)
    }

    pub(super) fn find_batch<const NAMES: usize>(
        &self,
        names: [Option<BlockHash>; NAMES],
    ) -> [Option<Position>; NAMES] {
        self.arenas.view.find_batch(names)
    }

    pub(super) fn shape(&self, run: RunId) -> Shape {
        let run = self.run(run);
        let (len, holders) = run.len_and_holders();
        Shape { depth: run.depth(), len, parent: self.parent(run), holders }
    }

    /// True when a run may follow the last block in place of a child run.
    pub(super) fn has_children(&self, run: RunId) -> bool {
        self.run(run).children() != 0
    }

    /// The only child run, unless there are more, or ever were too many to count.
    pub(super) fn only_child(&self, run: RunId) -> Option<RunId> {
        let run = self.run(run);
        (run.children() == 1).then(|| run.children_xor.load(Ordering::Relaxed))
    }

    pub(super) fn run_at(&self, position: Position) -> RunId {
        self.cell(position.cell()).run.load(Ordering::Relaxed)
    }

    /// A run of no block and no holder, after the last block of `parent`.
    pub(super) fn new_run(&mut self, parent: RunId) -> RunId {
        let id = self.take_run();
        let depth = match parent {
            0 => 0,
            parent => {
                self.add_child(parent, id);
                let shape = self.shape(parent);
                shape.depth + shape.len
            }
        };
        self.write_run(id, parent, depth);
        id
    }

    fn write_run(&self, id: RunId, parent: RunId, depth: u32) {
        let run = self.run(id);
        run.begin();
        run.set_depth_children(depth, 0);
        run.parent.store(parent, Ordering::Relaxed);
        run.set_len_holders(0, 0);
        run.tail.store(0, Ordering::Relaxed);
        run.children_xor.store(0, Ordering::Relaxed);
        run.end();
    }

    /// Gives back a run of no block and no holder.
    pub(super) fn free_run(&mut self, id: RunId) {
        let parent = self.shape(id).parent;
        if parent != 0 {
            self.remove_child(parent, id);
        }
        self.give_back_run(id);
    }

    fn give_back_run(&mut self, id: RunId) {
        let run = self.arenas.view.runs.get(id).expect("runs come from take_run");
        // Whoever reads it now starts over.
        run.begin();
        run.set_len_holders(0, 0);
        run.end();
        self.runs.give_back(id, |link| run.tail.store(link, Ordering::Relaxed));
        if self.runs.drop_chunk() {
            self.arenas.change_view(|view| view.runs.pop_chunk());
        }
    }

    fn add_child(&self, parent: RunId, child: RunId) {
        let parent = self.run(parent);
        let xor = parent.children_xor.load(Ordering::Relaxed) ^ child;
        parent.children_xor.store(xor, Ordering::Relaxed);
        let children = (parent.children() + 1).min(CHILDREN_MAX);
        parent.set_depth_children(parent.depth(), children);
    }

    fn remove_child(&self, parent: RunId, child: RunId) {
        let parent = self.run(parent);
        let xor = parent.children_xor.load(Ordering::Relaxed) ^ child;
        parent.children_xor.store(xor, Ordering::Relaxed);
        // A count that was too large once is not known any more.
        if parent.children() < CHILDREN_MAX {
            parent.set_depth_children(parent.depth(), parent.children() - 1);
        }
    }

    /// Adds blocks, which must not be stored yet, at the end of a run without child runs.
    pub(super) fn append(&mut self, run: RunId, hashes: &[BlockHash]) {
        let mut tail = self.run(run).tail.load(Ordering::Relaxed);
        let mut free = match tail {
            0 => CELL_BLOCKS,
            tail => {
                let cell = self.cell(tail);
                (0..CELL_BLOCKS).rev().find(|&at| block(cell, at).is_some()).map_or(0, |at| at + 1)
            }
        };
        let (len, holders) = self.run(run).len_and_holders();
        let added = u32::try_from(hashes.len()).expect("a run is short");
        self.run(run).set_len_holders(len + added, holders);
        for hashes in hashes.chunks(READY) {
            self.table.make_ready(&self.arenas.view, hashes.iter().copied());
            for &hash in hashes {
                if free == CELL_BLOCKS {
                    tail = self.take_cell(run, tail);
                    free = 0;
                }
                let cell = self.cell(tail);
                if let Some(block) = cell.blocks.get(free) {
                    block.store(hash.get(), Ordering::Release);
                }
                self.table.insert(&mut self.arenas, hash, Position::new(tail, free));
                free += 1;
            }
        }
        self.run(run).tail.store(tail, Ordering::Relaxed);
        self.blocks += u64::from(added);
    }

    /// Drops the blocks after the first `len`, which nobody holds.
    pub(super) fn truncate(&mut self, run: RunId, len: u32) {
        let (old, holders) = self.run(run).len_and_holders();
        self.run(run).set_len_holders(len, holders);
        let mut id = self.run(run).tail.load(Ordering::Relaxed);
        let mut excess = old - len;
        self.blocks -= u64::from(excess);
        while 0 < excess {
            let last = self.last_blocks(id, READY.min(excess as usize));
            self.table.make_ready(&self.arenas.view, last.iter().map(|&(hash, _)| hash));
            for (hash, position) in last {
                self.table.remove(&mut self.arenas, hash, position);
                self.set_block(position, 0);
                if occupied(self.cell(id), ..) == 0 {
                    let before = self.cell(id).prev.load(Ordering::Relaxed);
                    self.free_cell(id);
                    id = before;
                }
                excess -= 1;
            }
        }
        self.run(run).tail.store(if len == 0 { 0 } else { id }, Ordering::Relaxed);
    }

    /// The last `count` blocks up to a cell, the last first.
    fn last_blocks(&self, cell: CellId, count: usize) -> SmallVec<[(BlockHash, Position); READY]> {
        let (mut last, mut id) = (SmallVec::new(), cell);
        while last.len() < count {
            let cell = self.cell(id);
            for at in (0..CELL_BLOCKS).rev() {
                if let Some(hash) = block(cell, at).filter(|_| last.len() < count) {
                    last.push((hash, Position::new(id, at)));
                }
            }
            id = cell.prev.load(Ordering::Relaxed);
        }
        last
    }

    fn cell_before(&self, cell: &Cell, run: RunId) -> Option<&Cell> {
        let before = match cell.prev.load(Ordering::Relaxed) {
            0 => return None,
            before => self.cell(before),
        };
        (before.run.load(Ordering::Relaxed) == run).then_some(before)
    }

    fn cell(&self, id: CellId) -> &Cell {
        self.arenas.view.cells.get(id).expect("cells come from take_cell")
    }

    fn run(&self, id: RunId) -> &Run {
        self.arenas.view.runs.get(id).expect("runs come from take_run")
    }

    fn take_cell(&mut self, run: RunId, prev: CellId) -> CellId {
        let id = loop {
            let link = |id| self.arenas.view.cells.get(id);
            let link = |id| link(id).map_or(0, |cell| cell.prev.load(Ordering::Relaxed));
            if let Some(id) = self.cells.take(link) {
                break id;
            }
            self.cells.add_chunk();
            self.arenas.change_view(|view| view.cells.push_chunk());
        };
        let cell = self.cell(id);
        cell.run.store(run, Ordering::Relaxed);
        cell.prev.store(prev, Ordering::Relaxed);
        id
    }

    /// Gives back a cell without blocks.
    fn free_cell(&mut self, id: CellId) {
        let cell = self.arenas.view.cells.get(id).expect("cells come from take_cell");
        cell.run.store(0, Ordering::Relaxed);
        self.cells.give_back(id, |link| cell.prev.store(link, Ordering::Relaxed));
        if self.cells.drop_chunk() {
            self.arenas.change_view(|view| view.cells.pop_chunk());
        }
    }

    fn take_run(&mut self) -> RunId {
        loop {
            let link = |id| self.arenas.view.runs.get(id);
            let link = |id| link(id).map_or(0, |run| run.tail.load(Ordering::Relaxed));
            if let Some(id) = self.runs.take(link) {
                return id;
            }
            self.runs.add_chunk();
            self.arenas.change_view(|view| view.runs.push_chunk());
        }
    }
}

fn block(cell: &Cell, at: usize) -> Option<BlockHash> {
    cell.blocks.get(at).and_then(|block| BlockHash::new(block.load(Ordering::Relaxed)))
}

/// How many of these places of a cell have a block.
fn occupied(cell: &Cell, places: impl RangeBounds<usize>) -> u32 {
    let places = cell.blocks.iter().enumerate().filter(|(at, _)| places.contains(at));
    places.map(|(_, block)| u32::from(block.load(Ordering::Relaxed) != 0)).sum()
}
