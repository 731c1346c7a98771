//! Runs are cut where a chain branches, and joined when the branch is gone.

use super::{
    Store,
    holders::{Holder, Holders, Place},
    occupied,
};
use crate::{
    index::{
        table::Position,
        view::{Cell, CellId, RunId},
    },
    sync::Ordering,
};

impl Store {
    /// Cuts a run in two after the block at `position`, number `offset`. The lower part keeps
    /// its number, and with it its child runs; answers the upper part's.
    ///
    /// Leaves in the upper part know the run by its old number: the caller tells their heaps.
    pub(in crate::index) fn split(&mut self, run: RunId, position: Position, offset: u32) -> RunId {
        let shape = self.shape(run);
        debug_assert!(0 < offset && offset < shape.len, "both parts have blocks");
        let upper = self.take_run();
        self.write_run(upper, shape.parent, shape.depth);
        if shape.parent != 0 {
            let parent = self.run(shape.parent);
            let xor = parent.children_xor.load(Ordering::Relaxed) ^ run ^ upper;
            parent.children_xor.store(xor, Ordering::Relaxed);
        }
        let (above, below) = share_out(&self.take_holders(run), offset);
        let list_above = self.make_list(upper, 0, above.len());
        let list_below = self.make_list(run, shape.holders, below.len());
        let moved = self.part_cell(position, upper);

        self.run(run).begin();
        self.run(upper).begin();
        self.run(upper).set_len_holders(offset, 0);
        self.run(upper).set_depth_children(shape.depth, 1);
        self.run(upper).children_xor.store(run, Ordering::Relaxed);
        self.run(upper).tail.store(moved.unwrap_or(position.cell()), Ordering::Relaxed);
        self.write_holders(upper, list_above, &above);
        self.run(upper).end();
        match moved {
            Some(cell) => self.move_part(position, cell),
            None => self.cell_after(run, position.cell()).prev.store(0, Ordering::Relaxed),
        }
        self.claim_cells(upper, run);
        self.run(run).set_depth_children(shape.depth + offset, self.run(run).children());
        self.run(run).parent.store(upper, Ordering::Relaxed);
        self.run(run).set_len_holders(shape.len - offset, shape.holders);
        let old = self.write_holders(run, list_below, &below);
        self.run(run).end();
        self.free_list(old, shape.holders, below.len());
        upper
    }

    /// Makes one run of two, of which `lower` is the only child. The lower one keeps its number.
    ///
    /// Leaves in the upper part know the run by its old number: the caller tells their heaps.
    pub(in crate::index) fn merge(&mut self, upper: RunId, lower: RunId) {
        let (above, below) = (self.shape(upper), self.shape(lower));
        let holders = self.joined_holders(upper, lower);
        let list = self.make_list(lower, below.holders, holders.len());
        if above.parent != 0 {
            let parent = self.run(above.parent);
            let xor = parent.children_xor.load(Ordering::Relaxed) ^ upper ^ lower;
            parent.children_xor.store(xor, Ordering::Relaxed);
        }
        let tail = self.run(upper).tail.load(Ordering::Relaxed);
        self.run(lower).begin();
        self.first_cell(lower).prev.store(tail, Ordering::Relaxed);
        self.claim_cells_from(tail, upper, lower);
        self.run(lower).set_depth_children(above.depth, self.run(lower).children());
        self.run(lower).parent.store(above.parent, Ordering::Relaxed);
        self.run(lower).set_len_holders(above.len + below.len, below.holders);
        let old = self.write_holders(lower, list, &holders);
        self.run(lower).end();
        self.free_list(old, below.holders, holders.len());
        self.put_holders(upper, &[]);
        self.give_back_run(upper);
    }

    fn joined_holders(&self, upper: RunId, lower: RunId) -> Holders {
        let mut holders = self.take_holders(upper);
        for (holder, place) in &mut holders {
            if let Some(index) = self.find_holder(lower, holder.slot) {
                let (below, place_below) = self.holder(lower, index);
                holder.len += below.len;
                *place = place_below;
            }
        }
        holders
    }

    /// A cell for the blocks up to `position`, when their cell also holds blocks after it.
    fn part_cell(&mut self, position: Position, upper: RunId) -> Option<CellId> {
        let cell = self.cell(position.cell());
        if occupied(cell, ..=position.at()) == occupied(cell, ..) {
            return None;
        }
        let before = cell.prev.load(Ordering::Relaxed);
        Some(self.take_cell(upper, before))
    }

    /// Moves the blocks up to `position` to another cell, the same places.
    fn move_part(&self, position: Position, to: CellId) {
        self.arenas.begin_move();
        for at in 0..=position.at() {
            self.move_block(Position::new(position.cell(), at), Position::new(to, at));
        }
        self.arenas.end_move();
        // It is the first of the lower run from here on.
        self.cell(position.cell()).prev.store(0, Ordering::Relaxed);
    }

    pub(super) fn set_block(&self, position: Position, value: u64) {
        if let Some(block) = self.cell(position.cell()).blocks.get(position.at()) {
            block.store(value, Ordering::Release);
        }
    }

    /// Gives the cells of `from`, from the tail of `to` upward, to `to`.
    pub(super) fn claim_cells(&self, to: RunId, from: RunId) {
        let tail = self.run(to).tail.load(Ordering::Relaxed);
        self.claim_cells_from(tail, from, to);
    }

    fn claim_cells_from(&self, tail: CellId, from: RunId, to: RunId) {
        let mut id = tail;
        // The tail of an upper part may be a cell that was made for it.
        while id != 0 && [from, to].contains(&self.cell(id).run.load(Ordering::Relaxed)) {
            self.cell(id).run.store(to, Ordering::Release);
            id = self.cell(id).prev.load(Ordering::Relaxed);
        }
    }

    /// The cell of a run after this one, which is not its last.
    fn cell_after(&self, run: RunId, before: CellId) -> &Cell {
        let mut cell = self.cell(self.run(run).tail.load(Ordering::Relaxed));
        loop {
            match cell.prev.load(Ordering::Relaxed) {
                0 => return cell,
                prev if prev == before => return cell,
                prev => cell = self.cell(prev),
            }
        }
    }

    fn first_cell(&self, run: RunId) -> &Cell {
        let mut cell = self.cell(self.run(run).tail.load(Ordering::Relaxed));
        while let Some(before) = self.cell_before(cell, run) {
            cell = before;
        }
        cell
    }
}

/// Who holds what of the two parts of a run cut after `offset` blocks.
fn share_out(holders: &[(Holder, Place)], offset: u32) -> (Holders, Holders) {
    let above = holders.iter().map(|&(holder, place)| {
        let len = holder.len.min(offset);
        let place = if offset < holder.len { Place::Inner(1) } else { place };
        (Holder { len, ..holder }, place)
    });
    let below = holders.iter().filter(|(holder, _)| offset < holder.len);
    let below =
        below.map(|&(holder, place)| (Holder { len: holder.len - offset, ..holder }, place));
    (above.collect(), below.collect())
}
