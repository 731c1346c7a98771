//! What readers and the writer share: arenas of atomics, and the lists of their chunks.
//!
//! A [`View`] is immutable but for the atomics in it. The writer publishes another when an arena
//! gains or loses a chunk, so a reader that loaded one can use it as long as it likes: a chunk
//! lives until its last reader is done. Nothing here is `unsafe`: a reader that follows a stale
//! number meets an emptied item or no item, never freed memory.

use std::sync::Arc;

use crate::sync::{AtomicU32, AtomicU64, Ordering, Published};

/// Numbers a cell; zero is none.
pub(super) type CellId = u32;

/// Numbers a run; zero is none.
pub(super) type RunId = u32;

/// Blocks in a cell. With the two links it makes half a cache line.
pub(super) const CELL_BLOCKS: usize = 3;

/// The log of the number of items in a chunk: 256 KiB each.
#[cfg(not(any(loom, feature = "tiny-chunks")))]
pub(super) mod chunk_bits {
    pub(crate) const CELLS: u32 = 13;
    pub(crate) const RUNS: u32 = 13;
    pub(crate) const LIST_WORDS: u32 = 16;
    pub(crate) const SEGMENTS: u32 = 6;
}

/// So few that small histories fill, empty and pack many chunks.
#[cfg(all(feature = "tiny-chunks", not(loom)))]
pub(super) mod chunk_bits {
    pub(crate) const CELLS: u32 = 4;
    pub(crate) const RUNS: u32 = 3;
    pub(crate) const LIST_WORDS: u32 = 8;
    pub(crate) const SEGMENTS: u32 = 1;
}

/// As few as a model of two commands needs: every atomic costs the model checker time.
#[cfg(loom)]
pub(super) mod chunk_bits {
    pub(crate) const CELLS: u32 = 2;
    pub(crate) const RUNS: u32 = 2;
    pub(crate) const LIST_WORDS: u32 = 3;
    pub(crate) const SEGMENTS: u32 = 0;
}

/// Consecutive blocks of one run. A block's place in the cell is 1 to 3; unused places are zero,
/// at the front of a run's first cell and at the end of its last one, rarely elsewhere.
#[derive(Debug, Default)]
#[repr(align(32))]
pub(super) struct Cell {
    pub(super) run: AtomicU32,
    /// The cell before this one in its run; zero for the first. Links free cells too.
    pub(super) prev: AtomicU32,
    pub(super) blocks: [AtomicU64; CELL_BLOCKS],
}

/// A stretch of blocks without a branch, and who holds how much of it.
///
/// Holders hold a prefix of the run and, but for the first run of a chain, all of the parent run.
/// `sequence` is odd while anything changes that a reader could not see half done.
#[derive(Debug, Default)]
#[repr(align(32))]
pub(super) struct Run {
    pub(super) sequence: AtomicU32,
    /// Blocks before this run (17 bits), then child runs, saturating (15 bits, the writer's).
    pub(super) depth_children: AtomicU32,
    pub(super) parent: AtomicU32,
    /// Blocks (16 bits), then holders (16 bits).
    pub(super) len_holders: AtomicU32,
    /// One holder: itself. More: where their list starts.
    pub(super) holders: AtomicU32,
    /// One holder: its [`Place`](super::store::Place).
    pub(super) place: AtomicU32,
    /// The cell of the last block. Links free runs too.
    pub(super) tail: AtomicU32,
    /// All child runs, exclusive-or: the child when there is one.
    pub(super) children_xor: AtomicU32,
}

/// Slots of the hash table in one cache line.
#[cfg(not(loom))]
pub(super) const LINE_SLOTS: usize = 16;
#[cfg(loom)]
pub(super) const LINE_SLOTS: usize = 8;

/// Lines in a segment of the hash table.
#[cfg(not(loom))]
pub(super) const SEGMENT_LINES: usize = 64;
#[cfg(loom)]
pub(super) const SEGMENT_LINES: usize = 1;

#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [AtomicU32; LINE_SLOTS]);

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) lines: [Line; SEGMENT_LINES],
}

impl Default for Segment {
    fn default() -> Self {
        Self { lines: std::array::from_fn(|_| Line::default()) }
    }
}

/// The chunks of one arena.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: Vec<Arc<[T]>>,
    bits: u32,
}

impl<T> Clone for Chunks<T> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), bits: self.bits }
    }
}

impl<T: Default> Chunks<T> {
    fn new(bits: u32) -> Self {
        Self { chunks: Vec::new(), bits }
    }

    /// The item of this number; `None` when its chunk is not in this view.
    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&T> {
        let at = id as usize & ((1 << self.bits) - 1);
        self.chunks.get((id >> self.bits) as usize)?.get(at)
    }

    /// `count` items from this number on, which lie in one chunk.
    #[inline]
    pub(super) fn get_many(&self, id: u32, count: usize) -> Option<&[T]> {
        let at = id as usize & ((1 << self.bits) - 1);
        self.chunks.get((id >> self.bits) as usize)?.get(at..at + count)
    }

    /// All items, in order.
    pub(super) fn copy<U>(&self, copy: impl Fn(&T) -> U) -> Vec<U> {
        let mut all = Vec::with_capacity(self.chunks.len() << self.bits);
        all.extend(self.chunks.iter().flat_map(|chunk| chunk.iter()).map(copy));
        all
    }

    pub(super) fn push_chunk(&mut self) {
        self.chunks.push((0..1usize << self.bits).map(|_| T::default()).collect());
    }

    pub(super) fn pop_chunk(&mut self) {
        self.chunks.pop();
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn bytes(&self) -> usize {
        (self.chunks.len() << self.bits) * size_of::<T>()
            + self.chunks.capacity() * size_of::<Arc<[T]>>()
    }
}

/// The arenas at one moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) cells: Chunks<Cell>,
    pub(super) runs: Chunks<Run>,
    /// Lists of holders; see [`super::store`].
    pub(super) lists: Chunks<AtomicU32>,
    pub(super) segments: Chunks<Segment>,
    /// For each segment, the one that takes what it cannot; zero is none.
    pub(super) overflows: Chunks<AtomicU32>,
    /// Which segment holds a hash; see [`super::table`].
    pub(super) directory: Arc<[AtomicU32]>,
}

impl View {
    pub(super) fn new() -> Self {
        Self {
            cells: Chunks::new(chunk_bits::CELLS),
            runs: Chunks::new(chunk_bits::RUNS),
            lists: Chunks::new(chunk_bits::LIST_WORDS),
            segments: Chunks::new(chunk_bits::SEGMENTS),
            overflows: Chunks::new(chunk_bits::SEGMENTS),
            directory: Arc::new([]),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let Self { cells, runs, lists, segments, overflows, directory } = self;
        cells.bytes()
            + runs.bytes()
            + lists.bytes()
            + segments.bytes()
            + overflows.bytes()
            + size_of_val::<[AtomicU32]>(directory)
    }
}

/// Words of the map of slots whose endpoint is gone: 65,536 slots.
#[cfg(not(loom))]
const GONE_WORDS: usize = 1024;
#[cfg(loom)]
const GONE_WORDS: usize = 1;

/// What an index and its readers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) view: Published<View>,
    /// Odd while entries of the hash table move, and another number afterwards: a reader that
    /// found nothing looks again.
    pub(super) moves: AtomicU64,
    /// Changes when a slot gets another endpoint.
    pub(super) slot_lives: AtomicU32,
    /// One more than the highest slot.
    pub(super) slots: AtomicU32,
    /// A bit for each slot whose endpoint is gone and whose holdings are not reclaimed yet.
    pub(super) gone: Box<[AtomicU64]>,
    pub(super) counts: Counts,
}

/// Statistics that readers see; written by the writer alone.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) endpoints: AtomicU64,
    pub(super) memberships: AtomicU64,
    pub(super) blocks: AtomicU64,
    pub(super) runs: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) evicted: AtomicU64,
}

impl Shared {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self {
            view: Published::new(view),
            moves: AtomicU64::new(0),
            slot_lives: AtomicU32::new(0),
            slots: AtomicU32::new(0),
            gone: (0..GONE_WORDS).map(|_| AtomicU64::new(0)).collect(),
            counts: Counts::default(),
        }
    }

    pub(super) fn set_gone(&self, slot: u32, gone: bool) {
        if let Some(word) = self.gone.get(slot as usize / 64) {
            let bit = 1 << (slot % 64);
            let old = word.load(Ordering::Relaxed);
            word.store(if gone { old | bit } else { old & !bit }, Ordering::Release);
        }
    }

    pub(super) fn is_gone(&self, slot: u32) -> bool {
        let word = self.gone.get(slot as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (slot % 64) & 1 == 1)
    }
}
