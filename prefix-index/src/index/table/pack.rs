//! Segments move to lower numbers where a table that shrank left free ones, so that the last chunk
//! of segments empties and can be given back.

use super::{
    super::{pool::surplus_from, view::chunk_bits},
    Arenas, OVERFLOWED, Table,
    writer::{SEGMENTS_IN_CHUNK, overflow},
};
use crate::sync::Ordering;

impl Table {
    /// Moves the last segment, if there are many free ones. False if there is nothing to do.
    pub(in crate::index) fn pack(&mut self, arenas: &mut Arenas) -> bool {
        let (all, free) = (self.segments.len(), self.free.len());
        if surplus_from(all / SEGMENTS_IN_CHUNK, all - free, chunk_bits::SEGMENTS).is_none() {
            return false;
        }
        let Some(last) = self.last_used() else { return false };
        let state = self.state(last).clone();
        // A segment that has overflowed, or took what another could not, is known to others too.
        let entry = self.entry(arenas, state.depth, state.prefix);
        if entry != last || entry & OVERFLOWED != 0 || overflow(arenas, last) != 0 {
            return false;
        }
        let to = self.take_segment(arenas, state.depth, state.prefix);
        let slots = arenas.segment(last).lines.iter().flat_map(|line| &line.0);
        for (slot, copy) in slots.zip(arenas.segment(to).lines.iter().flat_map(|line| &line.0)) {
            copy.store(slot.load(Ordering::Relaxed), Ordering::Release);
        }
        *self.state_mut(to) = state;
        arenas.begin_move();
        self.point(arenas, to, 0);
        arenas.end_move();
        self.give_back(arenas, last);
        true
    }

    /// The highest number in use.
    fn last_used(&self) -> Option<u32> {
        let mut last = u32::try_from(self.segments.len()).ok()?.checked_sub(1)?;
        for &free in self.free.iter().rev() {
            if free != last {
                break;
            }
            last = last.checked_sub(1)?;
        }
        // Number zero is never used.
        (last != 0).then_some(last)
    }
}
