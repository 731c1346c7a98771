//! What readers ask: how much of a chain each endpoint holds.
//!
//! A chain's known blocks are its first ones, so the deepest is searched: eight probes at a time,
//! whose loads do not wait for each other. From its run the walk goes up, parent by parent, and
//! the first run in which an endpoint is met tells its depth.
//!
//! # What a reader sees while a command is applied
//!
//! No lock, no waiting: a run's `sequence` and the table's `moves` tell whether something changed
//! under way, and then the reader starts over, at most [`ATTEMPTS`] times; after that the chain
//! counts as unknown. Otherwise each depth is one that the endpoint had at some moment of the
//! query: before the command, after it, or after a part of it (some of the blocks it adds,
//! counted from the first; some of those it evicts, counted from the last). A depth never counts
//! blocks of another chain, and never more than the endpoint held during the query.

use std::sync::Arc;

use super::{
    Statistics,
    store::{Holder, RUN_BLOCKS_MAX},
    table::Position,
    view::{Run, Shared, View},
};
use crate::{
    BlockHash, CHAIN_BLOCKS_MAX,
    sync::{Ordering, fence},
};

/// How often a query starts over before the chain counts as unknown. Each time takes a change
/// within the microsecond that a query lasts.
#[cfg(not(loom))]
const ATTEMPTS: usize = 32;
#[cfg(loom)]
const ATTEMPTS: usize = 2;

/// Probes of one round: as many loads as a core keeps under way.
#[cfg(not(loom))]
const PROBES: usize = 8;
#[cfg(loom)]
const PROBES: usize = 2;

/// Asks an index, from any thread, while its writer applies.
#[derive(Clone, Debug)]
pub struct IndexReader {
    shared: Arc<Shared>,
}

/// Something changed under way.
struct Changed;

impl IndexReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes how many blocks of `chain`, from the first on, each endpoint holds.
    ///
    /// `depths` is indexed by [`crate::EndpointSlot`] and overwritten whole; slots beyond its end
    /// are left out, so give it at least [`IndexReader::slots`] elements. Answers how many blocks
    /// of `chain` are known of any endpoint. Allocates nothing.
    pub fn depths(&self, chain: &[BlockHash], depths: &mut [u32]) -> u32 {
        let known = self.attempt(chain, |search| {
            depths.fill(0);
            search.depths(depths)
        });
        self.clear_gone(depths);
        if known.is_none() {
            depths.fill(0);
        }
        depths.iter().copied().max().unwrap_or(0)
    }

    /// How many blocks of `chain`, from the first on, any endpoint holds.
    pub fn known_depth(&self, chain: &[BlockHash]) -> u32 {
        self.attempt(chain, |search| search.known_depth()).unwrap_or(0)
    }

    /// One more than the highest slot given out: the length that a buffer for depths needs.
    pub fn slots(&self) -> usize {
        self.shared.slots.load(Ordering::Acquire) as usize
    }

    pub fn statistics(&self) -> Statistics {
        let counts = &self.shared.counts;
        Statistics {
            endpoints: counts.endpoints.load(Ordering::Relaxed),
            memberships: counts.memberships.load(Ordering::Relaxed),
            blocks: counts.blocks.load(Ordering::Relaxed),
            runs: counts.runs.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            evicted: counts.evicted.load(Ordering::Relaxed),
        }
    }

    fn attempt<T>(
        &self,
        chain: &[BlockHash],
        mut query: impl FnMut(Search<'_>) -> Result<T, Changed>,
    ) -> Option<T> {
        let chain = chain.get(..CHAIN_BLOCKS_MAX).unwrap_or(chain);
        for _ in 0..ATTEMPTS {
            let slot_lives = self.shared.slot_lives.load(Ordering::Acquire);
            // Before the view: whoever moved entries before this number published its view first.
            let moves = self.shared.moves.load(Ordering::Acquire);
            let view = self.shared.view.load();
            let search = Search { shared: &self.shared, view: &view, chain, moves };
            if let Ok(answer) = query(search)
                && self.shared.slot_lives.load(Ordering::Acquire) == slot_lives
            {
                return Some(answer);
            }
            #[cfg(not(loom))]
            std::hint::spin_loop();
            #[cfg(loom)]
            loom::thread::yield_now();
        }
        None
    }

    /// Endpoints that left hold nothing, reclaimed or not.
    fn clear_gone(&self, depths: &mut [u32]) {
        for (word, depths) in self.shared.gone.iter().zip(depths.chunks_mut(64)) {
            let mut gone = word.load(Ordering::Acquire);
            while gone != 0 {
                if let Some(depth) = depths.get_mut(gone.trailing_zeros() as usize) {
                    *depth = 0;
                }
                gone &= gone - 1;
            }
        }
    }
}

struct Search<'query> {
    shared: &'query Shared,
    view: &'query View,
    chain: &'query [BlockHash],
    /// The number of moves of table entries when the query began.
    moves: u64,
}

/// A run as a reader saw it.
struct Seen<'query> {
    run: &'query Run,
    sequence: u32,
    depth: u32,
    len: u32,
    parent: u32,
    holders: &'query [crate::sync::AtomicU32],
}

impl<'query> Search<'query> {
    fn depths(&self, depths: &mut [u32]) -> Result<(), Changed> {
        self.walk(|run, offset| {
            for word in run.holders {
                let holder = Holder::unpack(word.load(Ordering::Relaxed));
                if let Some(depth) = depths.get_mut(holder.slot as usize)
                    && *depth == 0
                {
                    *depth = run.depth + holder.len.min(offset);
                }
            }
            true
        })
    }

    fn known_depth(&self) -> Result<u32, Changed> {
        let mut known = 0;
        self.walk(|run, offset| {
            for word in run.holders {
                let holder = Holder::unpack(word.load(Ordering::Relaxed));
                if !self.shared.is_gone(holder.slot) {
                    known = known.max(run.depth + holder.len.min(offset));
                }
            }
            known == 0
        })?;
        Ok(known)
    }

    /// Visits the runs of the chain from the deepest known block upward, with the number of
    /// blocks of the chain in each, until `visit` answers false.
    fn walk(&self, mut visit: impl FnMut(&Seen<'query>, u32) -> bool) -> Result<(), Changed> {
        let Some((depth, position)) = self.deepest()? else { return Ok(()) };
        let cell = self.view.cells.get(position.cell()).ok_or(Changed)?;
        let run = cell.run.load(Ordering::Acquire);
        let mut seen = self.read(run)?;
        let offset = depth.wrapping_sub(seen.depth);
        if !(1..=RUN_BLOCKS_MAX).contains(&offset) {
            return Err(Changed);
        }
        // Blocks beyond the length are on their way out: nobody holds them.
        let mut go_on = visit(&seen, offset.min(seen.len));
        fence(Ordering::Acquire);
        // The block is still there and in that run, so it was when the run was read.
        let block = self.chain.get(depth as usize - 1).ok_or(Changed)?;
        if !self.view.holds(position, *block) || cell.run.load(Ordering::Relaxed) != run {
            return Err(Changed);
        }
        seen.check()?;
        while go_on && seen.parent != 0 {
            let parent = self.read_parent(&seen)?;
            let offset = seen.depth.wrapping_sub(parent.depth);
            if offset != parent.len {
                return Err(Changed);
            }
            go_on = visit(&parent, offset);
            fence(Ordering::Acquire);
            parent.check()?;
            // The child is as it was, so this is still its parent.
            seen.check()?;
            seen = parent;
        }
        Ok(())
    }

    fn read(&self, run: u32) -> Result<Seen<'query>, Changed> {
        let run = self.view.runs.get(run).ok_or(Changed)?;
        let sequence = run.sequence.load(Ordering::Acquire);
        let (len, count) = run.len_and_holders();
        let parent = run.parent.load(Ordering::Relaxed);
        let holders = match count {
            0 => &[],
            1 => std::slice::from_ref(&run.holders),
            more => {
                let first = run.holders.load(Ordering::Relaxed);
                self.view.lists.get_many(first, more).ok_or(Changed)?
            }
        };
        if sequence & 1 == 1 {
            return Err(Changed);
        }
        Ok(Seen { run, sequence, depth: run.depth(), len, parent, holders })
    }

    /// The run before this one, wherever it has moved.
    fn read_parent(&self, seen: &Seen<'query>) -> Result<Seen<'query>, Changed> {
        let parent = self.read(seen.parent)?;
        if parent.len != 0 {
            return Ok(parent);
        }
        let moved = self.read(parent.parent)?;
        fence(Ordering::Acquire);
        parent.check()?;
        Ok(moved)
    }

    /// The deepest known block of the chain, and how many blocks end with it.
    fn deepest(&self) -> Result<Option<(u32, Position)>, Changed> {
        let blocks = self.chain.len();
        if blocks == 0 {
            return Ok(None);
        }
        // Known up to here, and unknown from there on; depths, so that zero is "nothing".
        let first = self.chain.first().and_then(|&name| self.view.find(name));
        // Most chains of which nothing is known differ in the first block already.
        let (mut known, mut unknown) = match first {
            Some(_) => ((1, first), blocks + 1),
            None => ((0, None), 1),
        };
        let mut round = first_round(blocks);
        while known.0 + 1 < unknown {
            let found = self.probe(round);
            for (depth, position) in round.into_iter().zip(found) {
                match position {
                    Some(position) if known.0 < depth => known = (depth, Some(position)),
                    None if depth < unknown => unknown = depth,
                    Some(_) | None => {}
                }
            }
            // Blocks came or went between two probes.
            unknown = unknown.max(known.0 + 1);
            round = next_round(known.0, unknown);
        }
        if unknown <= blocks {
            fence(Ordering::Acquire);
            if self.moves & 1 == 1 || self.shared.moves.load(Ordering::Relaxed) != self.moves {
                return Err(Changed);
            }
        }
        let (depth, position) = known;
        Ok(position.map(|position| (u32::try_from(depth).unwrap_or(u32::MAX), position)))
    }

    fn probe(&self, round: [usize; PROBES]) -> [Option<Position>; PROBES] {
        self.view.find_many(round.map(|depth| self.chain.get(depth.wrapping_sub(1)).copied()))
    }
}

impl Seen<'_> {
    /// Fails when the run has changed. Loads before a fence before this saw it as it was.
    fn check(&self) -> Result<(), Changed> {
        let same = self.run.sequence.load(Ordering::Relaxed) == self.sequence;
        if same { Ok(()) } else { Err(Changed) }
    }
}

/// The last block, since a repeated prompt is known whole, and seven before it, evenly.
fn first_round(blocks: usize) -> [usize; PROBES] {
    std::array::from_fn(|at| (blocks * (at + 1) / PROBES).max(1))
}

/// Depths that part what lies between a known and an unknown depth evenly.
fn next_round(known: usize, unknown: usize) -> [usize; PROBES] {
    let between = unknown - known;
    std::array::from_fn(|at| (known + (between * (at + 1)).div_ceil(PROBES + 1)).min(unknown - 1))
}
