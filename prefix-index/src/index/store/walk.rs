//! From block to block within a run: backward only, cell by cell.

use super::{Store, block, occupied};
use crate::{
    BlockHash,
    index::{
        table::Position,
        view::{CELL_BLOCKS, RunId},
    },
    sync::Ordering,
};

impl Store {
    /// How many blocks of its run end with the one at `position`.
    pub(in crate::index) fn offset_of(&self, position: Position) -> u32 {
        let run = self.run_at(position);
        let mut cell = self.cell(position.cell());
        let mut offset = occupied(cell, ..=position.at());
        while let Some(before) = self.cell_before(cell, run) {
            offset += occupied(before, ..);
            cell = before;
        }
        offset
    }

    /// Where the run's block number `offset`, from 1 on, is.
    pub(in crate::index) fn position_at(&self, run: RunId, offset: u32) -> Position {
        let mut beyond = self.shape(run).len - offset;
        let mut id = self.run(run).tail.load(Ordering::Relaxed);
        loop {
            let cell = self.cell(id);
            for at in (0..CELL_BLOCKS).rev() {
                if block(cell, at).is_some() {
                    if beyond == 0 {
                        return Position::new(id, at);
                    }
                    beyond -= 1;
                }
            }
            id = cell.prev.load(Ordering::Relaxed);
        }
    }

    /// The block before this one in its chain.
    pub(in crate::index) fn before(&self, position: Position) -> Option<Position> {
        let run = self.run_at(position);
        let mut id = position.cell();
        let mut top = position.at();
        loop {
            let cell = self.cell(id);
            if let Some(at) = (0..top).rev().find(|&at| block(cell, at).is_some()) {
                return Some(Position::new(id, at));
            }
            if self.cell_before(cell, run).is_none() {
                break;
            }
            (id, top) = (cell.prev.load(Ordering::Relaxed), CELL_BLOCKS);
        }
        let parent = self.shape(run).parent;
        (parent != 0).then(|| self.position_at(parent, self.shape(parent).len))
    }

    pub(in crate::index) fn hash_at(&self, position: Position) -> BlockHash {
        block(self.cell(position.cell()), position.at()).expect("a position names a block")
    }

    /// The name of the run's block number `offset`, from 1 on.
    pub(in crate::index) fn name(&self, run: RunId, offset: u32) -> BlockHash {
        self.hash_at(self.position_at(run, offset))
    }

    /// Calls `visit` with the names of blocks `offset`, `offset - 1`, ... of a run until it
    /// answers false or the first block was named.
    pub(in crate::index) fn names_down(
        &self,
        run: RunId,
        offset: u32,
        mut visit: impl FnMut(u32, BlockHash) -> bool,
    ) {
        if offset == 0 {
            return;
        }
        let position = self.position_at(run, offset);
        let (mut id, mut top) = (position.cell(), position.at() + 1);
        let mut offset = offset;
        loop {
            let cell = self.cell(id);
            for at in (0..top).rev() {
                let Some(hash) = block(cell, at) else { continue };
                if !visit(offset, hash) || offset == 1 {
                    return;
                }
                offset -= 1;
            }
            (id, top) = (cell.prev.load(Ordering::Relaxed), CELL_BLOCKS);
        }
    }
}
