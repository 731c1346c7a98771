//! Packing: where arenas shrank, items move to lower numbers, so that the last chunks empty and can
//! be given back.
//!
//! Readers see each move whole or look again. A cell is known to the table, to the cell after it
//! and to its run: it moves in one step. A run is known to its cells, to heaps, and to its child
//! runs, of which it has no list. So a run that moves leaves its new number behind, as a run of no
//! block whose parent that is; [`Store::parent`] and readers follow it, until a sweep over all runs
//! has told every child. The sweep also moves lists of holders, which do not know whose they are.

use super::{Store, block};
use crate::{
    index::{
        table::Position,
        view::{CELL_BLOCKS, CellId, Run, RunId},
    },
    sync::Ordering,
};

/// How far packing has come. Items from `keep` on move.
#[derive(Debug, Default)]
pub(super) struct Packing {
    phase: Phase,
    /// Runs that have moved and may still be known by their old numbers, which are these.
    moved: Vec<RunId>,
    /// Words of lists in use when the last sweep was done with them.
    list_words_swept: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    #[default]
    Rest,
    /// Looks at cells, those before `next` being left.
    Cells { next: CellId, keep: CellId },
    /// The same for runs.
    Runs { next: RunId, keep: RunId },
    /// Looks at runs from `next` on, for parents that have moved and lists that should.
    Sweep { next: RunId, keep_lists: u32 },
    /// Gives the old numbers of runs that moved back.
    GiveBack,
}

/// What a step of packing did.
pub(in crate::index) enum Step {
    /// There is nothing to pack.
    Nothing,
    /// So much work.
    Did(usize),
    /// This run should move: [`Store::copy_run`], the heaps, [`Store::leave_run`].
    MoveRun(RunId),
}

/// Cells of one run that move in one step.
const CELLS_AT_ONCE: usize = 32;

/// The work of moving a cell, a list or a run, beside what hangs on it; a look is one.
const MOVE_WORK: usize = 8;

/// The work of copying a segment of the table.
const SEGMENT_WORK: usize = 256;

impl Store {
    /// The parent of a run, by the number that it has.
    #[inline]
    pub(super) fn parent(&self, run: &Run) -> RunId {
        let parent = run.parent.load(Ordering::Relaxed);
        if self.packing.moved.is_empty() { parent } else { self.number_of(parent) }
    }

    /// What the run of this number is known by, if it has moved.
    #[cold]
    fn number_of(&self, id: RunId) -> RunId {
        match self.arenas.view.runs.get(id) {
            Some(run) if id != 0 && run.len_and_holders().0 == 0 => {
                run.parent.load(Ordering::Relaxed)
            }
            Some(_) | None => id,
        }
    }

    /// Goes on with packing.
    pub(in crate::index) fn pack_step(&mut self) -> Step {
        match self.packing.phase {
            Phase::Rest => self.begin_packing(),
            Phase::Cells { next, keep } => Step::Did(self.pack_cell(next, keep)),
            Phase::Runs { next, keep } => self.pack_run(next, keep),
            Phase::Sweep { next, keep_lists } => Step::Did(self.sweep(next, keep_lists)),
            Phase::GiveBack => {
                match self.packing.moved.pop() {
                    Some(run) => self.give_back_run(run),
                    None => self.rest(),
                }
                Step::Did(MOVE_WORK)
            }
        }
    }

    fn begin_packing(&mut self) -> Step {
        if self.table.pack(&mut self.arenas) {
            return Step::Did(SEGMENT_WORK);
        }
        self.packing.phase = if let Some(keep) = self.cells.surplus_from() {
            Phase::Cells { next: self.cells.end(), keep }
        } else if let Some(keep) = self.runs.surplus_from() {
            Phase::Runs { next: self.runs.end(), keep }
        } else if let Some(keep_lists) = self.lists_surplus_from() {
            Phase::Sweep { next: 0, keep_lists }
        } else {
            return Step::Nothing;
        };
        Step::Did(1)
    }

    /// From where on lists should move. Stretches of the right length may be wanting below, so a
    /// sweep may leave some where they are, and another is worth it only when many have gone.
    fn lists_surplus_from(&self) -> Option<u32> {
        let used = self.lists.words_used();
        let few = self.packing.list_words_swept.is_some_and(|swept| swept - swept / 16 <= used);
        self.lists.surplus_from().filter(|_| !few)
    }

    fn rest(&mut self) {
        self.packing.moved = Vec::new();
        self.packing.phase = Phase::Rest;
        let Self { cells, runs, lists, .. } = self;
        let [cells, runs] = [cells, runs].map(|pool| times(|| pool.drop_chunk()));
        let lists = times(|| lists.drop_chunk());
        if 0 < cells + runs + lists {
            self.arenas.change_view(|view| {
                (0..cells).for_each(|_| view.cells.pop_chunk());
                (0..runs).for_each(|_| view.runs.pop_chunk());
                (0..lists).for_each(|_| view.lists.pop_chunk());
            });
        }
    }

    fn pack_cell(&mut self, next: CellId, keep: CellId) -> usize {
        let more = keep < next && self.cells.has_room_below(keep);
        let Some(id) = next.checked_sub(1).filter(|_| more) else {
            self.rest();
            return 1;
        };
        let run = self.arenas.view.cells.get(id).map_or(0, |cell| cell.run.load(Ordering::Relaxed));
        let (looks, moves) = if run == 0 { (1, 0) } else { self.lower_cells(run, keep) };
        if moves == 0 {
            self.packing.phase = Phase::Cells { next: id, keep };
        }
        looks + moves * MOVE_WORK
    }

    /// Moves some cells of a run, the last first. Answers how many it looked at and moved.
    fn lower_cells(&mut self, run: RunId, keep: CellId) -> (usize, usize) {
        let (mut looks, mut moves) = (0, 0);
        let mut after = None;
        let mut id = self.run(run).tail.load(Ordering::Relaxed);
        while id != 0 && moves < CELLS_AT_ONCE && self.cells.has_room_below(keep) {
            looks += 1;
            let prev = self.cell(id).prev.load(Ordering::Relaxed);
            if keep <= id {
                moves += 1;
                let to = self.move_cell(run, id);
                match after {
                    None => self.run(run).tail.store(to, Ordering::Relaxed),
                    Some(after) => self.cell(after).prev.store(to, Ordering::Relaxed),
                }
                self.free_cell(id);
                id = to;
            }
            (after, id) = (Some(id), prev);
        }
        (looks, moves)
    }

    /// Moves the blocks of a cell to another one, the same places.
    fn move_cell(&mut self, run: RunId, from: CellId) -> CellId {
        let prev = self.cell(from).prev.load(Ordering::Relaxed);
        let to = self.take_cell(run, prev);
        self.arenas.begin_move();
        for at in 0..CELL_BLOCKS {
            self.move_block(Position::new(from, at), Position::new(to, at));
        }
        self.arenas.end_move();
        to
    }

    pub(super) fn move_block(&self, from: Position, to: Position) {
        let Some(hash) = block(self.cell(from.cell()), from.at()) else { return };
        self.set_block(to, hash.get());
        self.arenas.relocate(hash, from, to);
        self.set_block(from, 0);
    }

    fn pack_run(&mut self, next: RunId, keep: RunId) -> Step {
        let more = keep < next && self.runs.has_room_below(keep);
        let Some(id) = next.checked_sub(1).filter(|_| more) else {
            let keep_lists = self.lists_surplus_from();
            self.packing.phase = if self.packing.moved.is_empty() && keep_lists.is_none() {
                Phase::GiveBack
            } else {
                Phase::Sweep { next: 0, keep_lists: keep_lists.unwrap_or(u32::MAX) }
            };
            return Step::Did(1);
        };
        self.packing.phase = Phase::Runs { next: id, keep };
        let is_used = |run: &Run| run.len_and_holders().0 != 0;
        if self.arenas.view.runs.get(id).is_some_and(is_used) {
            Step::MoveRun(id)
        } else {
            Step::Did(1)
        }
    }

    /// Copies a run to a lower number, and gives the copy its cells. Readers may use either.
    pub(in crate::index) fn copy_run(&mut self, from: RunId) -> RunId {
        let to = self.take_run();
        let (old, new) = (self.run(from), self.run(to));
        let parent = self.parent(old);
        new.begin();
        new.parent.store(parent, Ordering::Relaxed);
        for (old, new) in [
            (&old.depth_children, &new.depth_children),
            (&old.len_holders, &new.len_holders),
            (&old.holders, &new.holders),
            (&old.place, &new.place),
            (&old.tail, &new.tail),
            (&old.children_xor, &new.children_xor),
        ] {
            new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        new.end();
        if parent != 0 {
            let children = &self.run(parent).children_xor;
            children.store(children.load(Ordering::Relaxed) ^ from ^ to, Ordering::Relaxed);
        }
        self.claim_cells(to, from);
        to
    }

    /// Gives up a run that was copied to `to`, or leaves word there for its child runs. Answers
    /// the work that the move was.
    pub(in crate::index) fn leave_run(&mut self, from: RunId, to: RunId) -> usize {
        let (len, holders) = self.run(to).len_and_holders();
        match (self.has_children(to), self.only_child(to)) {
            (false, _) => self.give_back_run(from),
            (true, Some(child)) => {
                self.set_parent(child, to);
                self.give_back_run(from);
            }
            (true, None) => {
                let run = self.run(from);
                run.begin();
                run.set_len_holders(0, 0);
                run.parent.store(to, Ordering::Relaxed);
                run.end();
                self.packing.moved.push(from);
            }
        }
        MOVE_WORK + len as usize / CELL_BLOCKS + holders
    }

    fn set_parent(&self, run: RunId, parent: RunId) {
        let run = self.run(run);
        run.begin();
        run.parent.store(parent, Ordering::Relaxed);
        run.end();
    }

    fn sweep(&mut self, id: RunId, keep_lists: u32) -> usize {
        let Some(run) = self.arenas.view.runs.get(id) else {
            if keep_lists != u32::MAX {
                self.packing.list_words_swept = Some(self.lists.words_used());
            }
            self.packing.phase = Phase::GiveBack;
            return 1;
        };
        self.packing.phase = Phase::Sweep { next: id + 1, keep_lists };
        let (len, holders) = run.len_and_holders();
        if len == 0 {
            return 1;
        }
        let parent = self.parent(run);
        if parent != run.parent.load(Ordering::Relaxed) {
            self.set_parent(id, parent);
        }
        let has_list = 2 <= holders;
        if has_list && keep_lists <= self.run(id).holders.load(Ordering::Relaxed) {
            return MOVE_WORK + self.lower_list(id, keep_lists);
        }
        1
    }
}

/// How often it answers true before it answers false.
fn times(mut step: impl FnMut() -> bool) -> usize {
    let mut times = 0;
    while step() {
        times += 1;
    }
    times
}
