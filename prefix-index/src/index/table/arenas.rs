//! The arenas as the writer has them, and how it reads and moves the table's entries.

use std::sync::Arc;

use super::{
    super::view::{SEGMENT_LINES, Segment, Shared, View},
    Home, OVERFLOWED, POSITION_BITS, Position, mask,
};
use crate::{
    BlockHash,
    sync::{AtomicU32, Ordering, fence},
};

impl Segment {
    pub(super) fn is_full(&self, line: usize) -> bool {
        self.lines.get(line).is_none_or(|line| mask(&line.load(), |slot| slot == 0) == 0)
    }

    /// Enters a block in the first line with room; answers which.
    pub(super) fn put(&self, home: Home, position: Position) -> usize {
        for step in 0..SEGMENT_LINES {
            let at = (home.line + step) % SEGMENT_LINES;
            let Some(line) = self.lines.get(at) else { continue };
            let free = mask(&line.load(), |slot| slot == 0).trailing_zeros() as usize;
            if let Some(slot) = line.0.get(free) {
                slot.store(home.tag << POSITION_BITS | position.0, Ordering::Release);
                return at;
            }
        }
        debug_assert!(false, "a segment is split before it is full");
        home.line
    }

    pub(super) fn slot_of(&self, home: Home, position: Position) -> Option<&AtomicU32> {
        self.find_slot(home, position).map(|(_, slot)| slot)
    }

    pub(super) fn find_slot(&self, home: Home, position: Position) -> Option<(usize, &AtomicU32)> {
        let wanted = home.tag << POSITION_BITS | position.0;
        for step in 0..SEGMENT_LINES {
            let line = (home.line + step) % SEGMENT_LINES;
            let slots = self.lines.get(line)?;
            let loaded = slots.load();
            let found = mask(&loaded, |slot| slot == wanted).trailing_zeros() as usize;
            if let Some(slot) = slots.0.get(found) {
                return Some((line, slot));
            }
            if mask(&loaded, |slot| slot == 0) != 0 {
                return None;
            }
        }
        None
    }
}

/// The view as the writer has it, and the readers' copy.
#[derive(Debug)]
pub(in crate::index) struct Arenas {
    pub(in crate::index) view: Arc<View>,
    pub(in crate::index) shared: Arc<Shared>,
}

impl Arenas {
    pub(in crate::index) fn change_view(&mut self, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&self.view);
        change(&mut view);
        self.view = Arc::new(view);
        self.shared.view.store(Arc::clone(&self.view));
    }

    pub(super) fn segment(&self, segment: u32) -> &Segment {
        self.view.segments.get(segment).expect("segments are taken before they are used")
    }

    pub(super) fn overflow(&self, segment: u32) -> &AtomicU32 {
        self.view.overflows.get(segment).expect("overflows are as many as segments")
    }

    /// Tells that a block has moved to another cell.
    pub(in crate::index) fn relocate(&self, hash: BlockHash, from: Position, to: Position) {
        let home = Home::of(hash);
        let mut segment = self.segment_of(home);
        loop {
            let found = self.segment(segment).slot_of(home, from);
            if let Some(slot) = found {
                slot.store(home.tag << POSITION_BITS | to.0, Ordering::Release);
                return;
            }
            segment = self.overflow(segment).load(Ordering::Relaxed);
            if segment == 0 {
                debug_assert!(false, "the block was in the table");
                return;
            }
        }
    }

    pub(super) fn segment_of(&self, home: Home) -> u32 {
        let directory = &self.view.directory;
        let entry = directory.get(home.directory_index(directory.len()));
        entry.map_or(0, |entry| entry.load(Ordering::Relaxed) & !OVERFLOWED)
    }

    pub(super) fn set_directory(&mut self, directory: Arc<[AtomicU32]>) {
        // A reader with the old directory reads on in it, and it is never updated again.
        self.begin_move();
        self.change_view(|view| view.directory = directory);
        self.end_move();
    }

    /// Where the hash of the block at `position` belongs.
    pub(super) fn home(&self, position: Position) -> Home {
        let cell = self.view.cells.get(position.cell());
        let block = cell.and_then(|cell| cell.blocks.get(position.at()));
        let hash = block.and_then(|block| BlockHash::new(block.load(Ordering::Relaxed)));
        Home::of(hash.expect("a slot names a block until it is emptied"))
    }

    /// The first entry after `gap_line`, and before a line with room, that passed `gap_line`.
    pub(super) fn displaced<'segment>(
        &self,
        segment: &'segment Segment,
        gap_line: usize,
    ) -> Option<(usize, &'segment AtomicU32)> {
        for back in 1..SEGMENT_LINES {
            let line = (gap_line + back) % SEGMENT_LINES;
            for slot in &segment.lines.get(line)?.0 {
                let value = slot.load(Ordering::Relaxed);
                if value == 0 {
                    continue;
                }
                let home = self.home(Position(value & ((1 << POSITION_BITS) - 1)));
                let come = (line + SEGMENT_LINES - home.line) % SEGMENT_LINES;
                if back <= come {
                    return Some((line, slot));
                }
            }
            if !segment.is_full(line) {
                return None;
            }
        }
        None
    }

    pub(in crate::index) fn begin_move(&self) {
        let moves = self.shared.moves.load(Ordering::Relaxed);
        self.shared.moves.store(moves + 1, Ordering::Relaxed);
        fence(Ordering::Release);
    }

    pub(in crate::index) fn end_move(&self) {
        let moves = self.shared.moves.load(Ordering::Relaxed);
        self.shared.moves.store(moves + 1, Ordering::Release);
    }
}
