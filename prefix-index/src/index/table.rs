//! Where a block is: an open-addressed hash table that grows and shrinks a segment at a time.
//!
//! A slot holds a block's place and four bits of its hash; the hash itself is in the cell. Slots
//! come in lines of one cache line, lines in segments of 1,024 slots, and a directory tells the
//! segment of a hash by its first bits (extendible hashing: Fagin et al., 1979). A full segment
//! becomes two, two empty ones become one; no step moves more than 1,024 entries.
//!
//! Hashes are spread over the directory unevenly on purpose, with a density that falls by half
//! from one end to the other. So segments fill up one after another and not all at once, and the
//! table is about 65 % full at any size (spiral storage: Martin, 1979).

mod arenas;

mod batch;

mod writer;

mod pack;

pub(super) use arenas::Arenas;
pub(super) use batch::READY;
pub(super) use writer::Table;

use super::view::{CellId, LINE_SLOTS, Line, SEGMENT_LINES, View};
use crate::{BlockHash, sync::Ordering};

/// A block's place: its cell and, in the last two bits, 1 to 3, its place in the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position(u32);

const POSITION_BITS: u32 = 28;

impl Position {
    pub(super) fn new(cell: CellId, at: usize) -> Self {
        debug_assert!(cell < 1 << (POSITION_BITS - 2), "cell {cell} has a place in a slot");
        #[expect(clippy::cast_possible_truncation, reason = "at most 3")]
        Self(cell << 2 | (at as u32 + 1))
    }

    pub(super) fn cell(self) -> CellId {
        self.0 >> 2
    }

    /// The index of the block in its cell.
    pub(super) fn at(self) -> usize {
        (self.0 as usize & 3).wrapping_sub(1)
    }
}

/// Where to look for a hash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Home {
    /// Decides the segment: the directory's index is its first bits.
    prefix: u32,
    line: usize,
    tag: u32,
}

impl Home {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "takes bits apart")]
    pub(super) fn of(hash: BlockHash) -> Self {
        let mixed = mix(hash.get());
        let tag = (mixed >> 8) as u32 & 15;
        Self { prefix: skew((mixed >> 32) as u32), line: mixed as usize % SEGMENT_LINES, tag }
    }

    #[inline]
    fn directory_index(self, directory: usize) -> usize {
        ((u64::from(self.prefix) * directory as u64) >> 32) as usize
    }
}

/// A bijection that spreads hashes which are not random, as tests use them.
///
/// Source: the finalizer of `SplitMix64`, Steele et al., 2014.
#[inline]
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

/// Maps 32 bits to 32 bits, rising: `2^x - 1` for `x` from 0 to 1, nearly.
#[inline]
fn skew(uniform: u32) -> u32 {
    let x = u64::from(uniform);
    ((x * (0xa800_0000 + ((x * 0x5800_0000) >> 32))) >> 32) as u32
}

/// What one look at a line of the table tells of a name.
#[derive(Clone, Copy, Debug)]
struct LineMatch {
    /// The first two entries with the tag; position zero, where nothing is, for none.
    two: [Position; 2],
    /// True when the name is at one of these or nowhere.
    decides: bool,
}

impl Default for LineMatch {
    fn default() -> Self {
        Self { two: [Position(0); 2], decides: true }
    }
}

impl LineMatch {
    #[inline]
    fn of(slots: &[u32; LINE_SLOTS], home: Home) -> Self {
        let tagged = mask(slots, |slot| slot >> POSITION_BITS == home.tag && slot != 0);
        let but_one = tagged & tagged.wrapping_sub(1);
        let but_two = but_one & but_one.wrapping_sub(1);
        let two = [tagged, but_one].map(|tagged| {
            let slot = slots.get(tagged.trailing_zeros() as usize).copied().unwrap_or(0);
            Position(slot & ((1 << POSITION_BITS) - 1))
        });
        Self { two, decides: but_two == 0 && mask(slots, |slot| slot == 0) != 0 }
    }

    /// Which of the two has the name, if these are what they name.
    #[inline]
    fn choose(&self, blocks: [u64; 2], name: BlockHash) -> Option<Position> {
        let [first, second] = self.two;
        let [first_is, second_is] = blocks.map(|block| block == name.get());
        (first_is | second_is).then_some(if first_is { first } else { second })
    }
}

/// A bit for each slot that is so. Without a branch, which would be taken at random.
#[inline]
fn mask(slots: &[u32; LINE_SLOTS], is_so: impl Fn(u32) -> bool) -> u32 {
    let mut mask = 0;
    for (at, &slot) in slots.iter().enumerate() {
        mask |= u32::from(is_so(slot)) << at;
    }
    mask
}

impl Line {
    /// Has the line on its way to the core.
    #[inline]
    fn warm(&self) -> u32 {
        self.0.first().map_or(0, |slot| slot.load(Ordering::Relaxed))
    }

    #[inline]
    fn load(&self) -> [u32; LINE_SLOTS] {
        let mut slots = [0; LINE_SLOTS];
        for (slot, loaded) in self.0.iter().zip(&mut slots) {
            *loaded = slot.load(Ordering::Acquire);
        }
        slots
    }
}

/// Directory entries: this bit says that the segment has overflowed, the rest is its number.
const OVERFLOWED: u32 = 1 << 31;

impl View {
    /// Where the block of this name is.
    #[inline]
    pub(super) fn find(&self, hash: BlockHash) -> Option<Position> {
        self.find_at(hash, Home::of(hash))
    }

    /// Where the blocks of these names are.
    ///
    /// Goes through all of them step by step, without a branch that waits for memory, so that a
    /// core has all loads of a step under way at once.
    #[inline]
    pub(super) fn find_many<const PROBES: usize>(
        &self,
        names: [Option<BlockHash>; PROBES],
    ) -> [Option<Position>; PROBES] {
        // Loops and not `map`: the compiler makes straight code of these.
        let mut slots = [[0; LINE_SLOTS]; PROBES];
        let mut homes = [Home::default(); PROBES];
        let mut entries = 0;
        for ((name, home), slots) in names.iter().zip(&mut homes).zip(&mut slots) {
            let Some(name) = name else { continue };
            *home = Home::of(*name);
            let entry = self.entry_of(*home);
            entries |= entry;
            if let Some(line) = self.line_of(entry, *home) {
                *slots = line.load();
            }
        }
        // A name may be in the next segment then, though its line has room.
        let overflowed = entries & OVERFLOWED != 0;
        let mut candidates = [LineMatch::default(); PROBES];
        let mut blocks = [[0; 2]; PROBES];
        for (((home, slots), candidate), blocks) in
            homes.iter().zip(&slots).zip(&mut candidates).zip(&mut blocks)
        {
            *candidate = LineMatch::of(slots, *home);
            *blocks = candidate.two.map(|position| self.name_at(position));
        }
        let mut found = [None; PROBES];
        for (((name, candidate), blocks), found) in
            names.iter().zip(&candidates).zip(&blocks).zip(&mut found)
        {
            let Some(name) = name else { continue };
            *found = candidate.choose(*blocks, *name);
            if found.is_none() && (overflowed || !candidate.decides) {
                *found = self.find(*name);
            }
        }
        found
    }

    /// What the directory says of a name; zero, which no segment is, if it says nothing.
    #[inline]
    fn entry_of(&self, home: Home) -> u32 {
        let entry = self.directory.get(home.directory_index(self.directory.len()));
        entry.map_or(0, |entry| entry.load(Ordering::Acquire))
    }

    #[inline]
    fn line_of(&self, entry: u32, home: Home) -> Option<&Line> {
        self.segments.get(entry & !OVERFLOWED)?.lines.get(home.line)
    }

    /// What is stored at `position`; zero for nothing.
    #[inline]
    fn name_at(&self, position: Position) -> u64 {
        let block = self.cells.get(position.cell()).and_then(|cell| cell.blocks.get(position.at()));
        block.map_or(0, |block| block.load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn find_at(&self, hash: BlockHash, home: Home) -> Option<Position> {
        let entry = self.directory.get(home.directory_index(self.directory.len()))?;
        let entry = entry.load(Ordering::Acquire);
        let segment = entry & !OVERFLOWED;
        let found = self.find_in(segment, hash, home);
        if found.is_none() && entry & OVERFLOWED != 0 {
            return self.find_in_overflow(segment, hash, home);
        }
        found
    }

    #[inline]
    fn find_in(&self, segment: u32, hash: BlockHash, home: Home) -> Option<Position> {
        let segment = self.segments.get(segment)?;
        for step in 0..SEGMENT_LINES {
            let line = segment.lines.get((home.line + step) % SEGMENT_LINES)?;
            let mut full = true;
            for slot in &line.0 {
                let slot = slot.load(Ordering::Acquire);
                full &= slot != 0;
                if slot >> POSITION_BITS == home.tag && slot != 0 {
                    let position = Position(slot & ((1 << POSITION_BITS) - 1));
                    if self.holds(position, hash) {
                        return Some(position);
                    }
                }
            }
            if !full {
                return None;
            }
        }
        None
    }

    #[cold]
    fn find_in_overflow(&self, first: u32, hash: BlockHash, home: Home) -> Option<Position> {
        let mut segment = first;
        // No chain of segments is longer than the table; a reader of a changing one gives up.
        for _ in 0..self.segments.chunks() * 64 {
            segment = self.overflows.get(segment)?.load(Ordering::Acquire);
            if segment == 0 {
                return None;
            }
            if let Some(found) = self.find_in(segment, hash, home) {
                return Some(found);
            }
        }
        None
    }

    /// True while the block at `position` has this name.
    #[inline]
    pub(super) fn holds(&self, position: Position, hash: BlockHash) -> bool {
        let block = self.cells.get(position.cell()).and_then(|cell| cell.blocks.get(position.at()));
        block.is_some_and(|block| block.load(Ordering::Acquire) == hash.get())
    }
}
