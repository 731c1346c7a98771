//! The writer's side of the table: entries come, go and move, segments are split and merged.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    super::view::{LINE_SLOTS, SEGMENT_LINES, chunk_bits},
    Arenas, Home, OVERFLOWED, POSITION_BITS, Position,
};
use crate::{
    BlockHash,
    sync::{AtomicU32, Ordering},
};

pub(super) const SEGMENTS_IN_CHUNK: usize = 1 << chunk_bits::SEGMENTS;

/// The writer's side of the table.
#[derive(Debug)]
pub(in crate::index) struct Table {
    pub(super) segments: Vec<SegmentState>,
    pub(super) free: BTreeSet<u32>,
    /// How many segments have each number of prefix bits.
    of_depth: [u32; 33],
    /// The log of the directory's length.
    bits: u32,
}

#[derive(Clone, Debug)]
pub(super) struct SegmentState {
    entries: u32,
    /// Bits of the prefix that all its hashes share.
    pub(super) depth: u32,
    /// Those bits.
    pub(super) prefix: u32,
    /// For each line, how many entries found it full and went on. 255 means that many or more,
    /// or once that many.
    passed: [u8; SEGMENT_LINES],
}

impl SegmentState {
    fn new(depth: u32, prefix: u32) -> Self {
        Self { entries: 0, depth, prefix, passed: [0; SEGMENT_LINES] }
    }

    /// Has what an insertion or removal in this line reads on its way to the core.
    pub(super) fn warm(&self, line: usize) -> u32 {
        self.entries | self.passed.get(line).map_or(0, |&passed| passed.into())
    }

    /// Notes that one entry more, or one less, passed these lines.
    fn pass(&mut self, lines: Passed, more: bool) {
        for step in 0..lines.count {
            if let Some(passed) = self.passed.get_mut((lines.first + step) % SEGMENT_LINES)
                && *passed < u8::MAX
            {
                *passed = if more { *passed + 1 } else { *passed - 1 };
            }
        }
    }
}

/// Lines from `first` on, around the end of the segment.
#[derive(Clone, Copy, Debug)]
struct Passed {
    first: usize,
    count: usize,
}

impl Passed {
    fn between(home: usize, line: usize) -> Self {
        Self { first: home, count: (line + SEGMENT_LINES - home) % SEGMENT_LINES }
    }
}

/// A segment with more entries is split: with fewer free slots, probes get long.
#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
const SPLIT_ABOVE: u32 = (SEGMENT_LINES * LINE_SLOTS * 9 / 10) as u32;

/// Two neighbours with fewer entries together become one. Less than what a split leaves, so that
/// one entry more and one less do not each cost a rebuild.
const MERGE_BELOW: u32 = SPLIT_ABOVE * 17 / 20;

/// One removal of so many looks for a neighbour to become one with: that takes reads of its own.
const MERGE_EVERY: u32 = 16;

impl Table {
    pub(in crate::index) fn new() -> Self {
        Self { segments: Vec::new(), free: BTreeSet::new(), of_depth: [0; 33], bits: 0 }
    }

    pub(in crate::index) fn bytes(&self) -> usize {
        self.segments.capacity() * size_of::<SegmentState>()
    }

    /// Adds a block that is not in the table.
    pub(in crate::index) fn insert(
        &mut self,
        arenas: &mut Arenas,
        hash: BlockHash,
        position: Position,
    ) {
        let home = Home::of(hash);
        if arenas.view.directory.is_empty() {
            let only = self.take_segment(arenas, 0, 0);
            arenas.set_directory(Arc::new([AtomicU32::new(only)]));
        }
        let first = arenas.segment_of(home);
        let mut segment = first;
        loop {
            if self.state(segment).entries < SPLIT_ABOVE {
                break;
            }
            if segment == first && self.split(arenas, first) {
                return self.insert(arenas, hash, position);
            }
            let next = overflow(arenas, segment);
            segment = if next == 0 { self.add_overflow(arenas, first, segment) } else { next };
        }
        self.put(arenas, segment, home, position);
    }

    /// Takes a block out. It must be in the table, at `position`.
    pub(in crate::index) fn remove(
        &mut self,
        arenas: &mut Arenas,
        hash: BlockHash,
        position: Position,
    ) {
        let home = Home::of(hash);
        let first = arenas.segment_of(home);
        let (mut before, mut segment) = (0, first);
        while !self.take_out(arenas, segment, home, position) {
            (before, segment) = (segment, overflow(arenas, segment));
            if segment == 0 {
                debug_assert!(false, "the block was in the table");
                return;
            }
        }
        if before != 0 && self.state(segment).entries == 0 {
            self.drop_overflow(arenas, first, before, segment);
        } else if before == 0 && self.state(segment).entries.is_multiple_of(MERGE_EVERY) {
            let mut merged = Some(segment);
            while let Some(segment) = merged {
                merged = self.merge(arenas, segment);
            }
        }
    }

    pub(super) fn state(&self, segment: u32) -> &SegmentState {
        self.segments.get(segment as usize).expect("segments come from take_segment")
    }

    pub(super) fn state_mut(&mut self, segment: u32) -> &mut SegmentState {
        self.segments.get_mut(segment as usize).expect("segments come from take_segment")
    }

    fn put(&mut self, arenas: &Arenas, segment: u32, home: Home, position: Position) {
        let line = arenas.segment(segment).put(home, position);
        let state = self.state_mut(segment);
        state.entries += 1;
        state.pass(Passed::between(home.line, line), true);
    }

    /// Empties the entry's slot and moves what follows up, so that no probe ends early.
    fn take_out(&mut self, arenas: &Arenas, segment: u32, home: Home, position: Position) -> bool {
        let lines = arenas.segment(segment);
        let Some((mut at, mut gap)) = lines.find_slot(home, position) else {
            return false;
        };
        let state = self.state_mut(segment);
        state.entries -= 1;
        state.pass(Passed::between(home.line, at), false);
        if state.passed.get(at) == Some(&0) {
            gap.store(0, Ordering::Release);
            return true;
        }
        arenas.begin_move();
        while state.passed.get(at) != Some(&0) {
            let Some((from_line, from)) = arenas.displaced(lines, at) else { break };
            gap.store(from.load(Ordering::Relaxed), Ordering::Release);
            state.pass(Passed::between(at, from_line), false);
            (at, gap) = (from_line, from);
        }
        gap.store(0, Ordering::Release);
        arenas.end_move();
        true
    }

    fn split(&mut self, arenas: &mut Arenas, old: u32) -> bool {
        let SegmentState { depth, prefix, .. } = *self.state(old);
        if overflow(arenas, old) != 0 {
            return false;
        }
        if depth == self.bits && !self.double_directory(arenas) {
            return false;
        }
        let low = self.take_segment(arenas, depth + 1, prefix << 1);
        let high = self.take_segment(arenas, depth + 1, prefix << 1 | 1);
        self.refill(arenas, old, |home| if home.has_bit(depth) { high } else { low });
        arenas.begin_move();
        self.point(arenas, low, 0);
        self.point(arenas, high, 0);
        arenas.end_move();
        self.give_back(arenas, old);
        true
    }

    /// Makes one of a segment and its neighbour, if that leaves room enough; answers it.
    fn merge(&mut self, arenas: &mut Arenas, segment: u32) -> Option<u32> {
        let SegmentState { depth, prefix, entries, .. } = *self.state(segment);
        if depth == 0 || MERGE_BELOW < entries || overflow(arenas, segment) != 0 {
            return None;
        }
        let entry = self.entry(arenas, depth, prefix ^ 1);
        let buddy = entry & !OVERFLOWED;
        let other = self.state(buddy);
        if entry & OVERFLOWED != 0 || other.depth != depth || other.prefix != prefix ^ 1 {
            return None;
        }
        if MERGE_BELOW < entries + other.entries {
            return None;
        }
        let both = self.take_segment(arenas, depth - 1, prefix >> 1);
        self.refill(arenas, segment, |_| both);
        self.refill(arenas, buddy, |_| both);
        arenas.begin_move();
        self.point(arenas, both, 0);
        arenas.end_move();
        self.give_back(arenas, segment);
        self.give_back(arenas, buddy);
        self.halve_directory(arenas);
        Some(both)
    }

    /// What the directory says of the hashes with this prefix.
    pub(super) fn entry(&self, arenas: &Arenas, depth: u32, prefix: u32) -> u32 {
        let first = (prefix as usize) << (self.bits - depth);
        arenas.view.directory.get(first).map_or(0, |entry| entry.load(Ordering::Relaxed))
    }

    /// Enters all of `from` into the segments that `to` chooses.
    fn refill(&mut self, arenas: &Arenas, from: u32, to: impl Fn(Home) -> u32) {
        // Two passes over each few lines: the first reads names, which lie far apart, and does
        // nothing else, so that many reads are under way at once.
        const LINES: usize = 2;
        for lines in arenas.segment(from).lines.chunks(LINES) {
            let mut entries = [None; LINES * LINE_SLOTS];
            let slots = lines.iter().flat_map(|line| &line.0);
            for (slot, entry) in slots.zip(&mut entries) {
                let slot = slot.load(Ordering::Relaxed);
                if slot != 0 {
                    let position = Position(slot & ((1 << POSITION_BITS) - 1));
                    *entry = Some((arenas.home(position), position));
                }
            }
            for (home, position) in entries.into_iter().flatten() {
                self.put(arenas, to(home), home, position);
            }
        }
    }

    /// Points the directory at a segment, wherever its prefix says.
    pub(super) fn point(&self, arenas: &Arenas, segment: u32, flag: u32) {
        let SegmentState { depth, prefix, .. } = *self.state(segment);
        let span = 1usize << (self.bits - depth);
        let first = (prefix as usize) << (self.bits - depth);
        for entry in arenas.view.directory.get(first..first + span).into_iter().flatten() {
            entry.store(segment | flag, Ordering::Release);
        }
    }

    fn double_directory(&mut self, arenas: &mut Arenas) -> bool {
        let used = self.segments.len() - self.free.len();
        // Hashes that share this many bits more than chance allows go to an overflow instead.
        if 31 == self.bits || 64.max(used * 16) < 1 << self.bits {
            return false;
        }
        let doubled = arenas.view.directory.iter().flat_map(|entry| {
            let entry = entry.load(Ordering::Relaxed);
            [AtomicU32::new(entry), AtomicU32::new(entry)]
        });
        let doubled = doubled.collect();
        self.bits += 1;
        arenas.set_directory(doubled);
        true
    }

    /// Halves the directory when no segment needs its last two bits.
    fn halve_directory(&mut self, arenas: &mut Arenas) {
        let needed = |bits: u32| self.of_depth.get(bits as usize).is_some_and(|&count| 0 < count);
        if self.bits < 2 || needed(self.bits) || needed(self.bits - 1) {
            return;
        }
        let halved = arenas.view.directory.iter().step_by(2);
        let halved = halved.map(|entry| AtomicU32::new(entry.load(Ordering::Relaxed))).collect();
        self.bits -= 1;
        arenas.set_directory(halved);
    }

    pub(super) fn take_segment(&mut self, arenas: &mut Arenas, depth: u32, prefix: u32) -> u32 {
        if self.free.is_empty() {
            let first = self.segments.len();
            arenas.change_view(|view| {
                view.segments.push_chunk();
                view.overflows.push_chunk();
            });
            self.segments.resize(first + SEGMENTS_IN_CHUNK, SegmentState::new(0, 0));
            let numbers = first..self.segments.len();
            // Number zero is never used: it says "no overflow".
            let numbers = numbers.filter(|&number| number != 0);
            self.free.extend(numbers.filter_map(|number| u32::try_from(number).ok()));
            if self.free.is_empty() {
                return self.take_segment(arenas, depth, prefix);
            }
        }
        let segment = self.free.pop_first().expect("a chunk was added");
        for slot in arenas.segment(segment).lines.iter().flat_map(|line| &line.0) {
            slot.store(0, Ordering::Relaxed);
        }
        arenas.overflow(segment).store(0, Ordering::Relaxed);
        *self.state_mut(segment) = SegmentState::new(depth, prefix);
        if let Some(count) = self.of_depth.get_mut(depth as usize) {
            *count += 1;
        }
        segment
    }

    pub(super) fn give_back(&mut self, arenas: &mut Arenas, segment: u32) {
        let depth = self.state(segment).depth;
        if let Some(count) = self.of_depth.get_mut(depth as usize) {
            *count -= 1;
        }
        self.free.insert(segment);
        let chunk = SEGMENTS_IN_CHUNK;
        let (all, free) = (self.segments.len(), self.free.len());
        // The last chunk goes when it is free, and so is an eighth of one elsewhere.
        let last = self.free.iter().rev().zip((0..all).rev());
        if chunk + chunk / 8 < free
            && chunk < all
            && last.take(chunk).all(|(&number, last)| number as usize == last)
        {
            self.segments.truncate(all - chunk);
            self.free.split_off(&u32::try_from(all - chunk).unwrap_or(u32::MAX));
            arenas.change_view(|view| {
                view.segments.pop_chunk();
                view.overflows.pop_chunk();
            });
        }
    }

    #[cold]
    fn add_overflow(&mut self, arenas: &mut Arenas, first: u32, last: u32) -> u32 {
        let SegmentState { depth, prefix, .. } = *self.state(first);
        let added = self.take_segment(arenas, depth, prefix);
        arenas.overflow(last).store(added, Ordering::Release);
        self.point(arenas, first, OVERFLOWED);
        added
    }

    #[cold]
    fn drop_overflow(&mut self, arenas: &mut Arenas, first: u32, before: u32, dropped: u32) {
        arenas.begin_move();
        arenas.overflow(before).store(overflow(arenas, dropped), Ordering::Release);
        if overflow(arenas, first) == 0 {
            self.point(arenas, first, 0);
        }
        arenas.end_move();
        self.give_back(arenas, dropped);
    }
}

pub(super) fn overflow(arenas: &Arenas, segment: u32) -> u32 {
    arenas.overflow(segment).load(Ordering::Relaxed)
}

impl Home {
    /// The bit of the prefix after its first `depth`.
    fn has_bit(self, depth: u32) -> bool {
        self.prefix >> (31 - depth) & 1 == 1
    }
}
