//! Many names at once, for the writer. A core looks only some hundred steps ahead for the next load,
//! so loops that wait for memory do nothing else.

use std::hint::black_box;

use super::{Home, LineMatch, OVERFLOWED, Position, Table, View};
use crate::BlockHash;

impl View {
    /// Where the blocks of these names are.
    pub(in crate::index) fn find_batch<const NAMES: usize>(
        &self,
        names: [Option<BlockHash>; NAMES],
    ) -> [Option<Position>; NAMES] {
        let mut homes = [Home::default(); NAMES];
        let mut lines = [None; NAMES];
        let mut entries = 0;
        for ((name, home), line) in names.iter().zip(&mut homes).zip(&mut lines) {
            let Some(name) = name else { continue };
            *home = Home::of(*name);
            let entry = self.entry_of(*home);
            entries |= entry;
            *line = self.line_of(entry, *home);
        }
        let overflowed = entries & OVERFLOWED != 0;
        black_box(lines.iter().flatten().fold(0, |loaded, line| loaded | line.warm()));
        let mut candidates = [LineMatch::default(); NAMES];
        for ((line, home), candidate) in lines.iter().zip(&homes).zip(&mut candidates) {
            let Some(line) = line else { continue };
            *candidate = LineMatch::of(&line.load(), *home);
        }
        let mut blocks = [[0; 2]; NAMES];
        for (candidate, blocks) in candidates.iter().zip(&mut blocks) {
            *blocks = candidate.two.map(|position| self.name_at(position));
        }
        let mut found = [None; NAMES];
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
}

/// Names that are made ready at once.
pub(in crate::index) const READY: usize = 32;

impl Table {
    /// Has what insertions or removals of these names read on its way to the core: of the first
    /// [`READY`] names.
    pub(in crate::index) fn make_ready(&self, view: &View, names: impl Iterator<Item = BlockHash>) {
        let mut homes = [Home::default(); READY];
        let mut lines = [None; READY];
        let mut states = [None; READY];
        let places = homes.iter_mut().zip(&mut lines).zip(&mut states);
        for (name, ((home, line), state)) in names.zip(places) {
            *home = Home::of(name);
            let entry = view.entry_of(*home);
            *line = view.line_of(entry, *home);
            *state = self.segments.get((entry & !OVERFLOWED) as usize);
        }
        let loaded = lines.iter().flatten().fold(0, |loaded, line| loaded | line.warm());
        let states = states.iter().flatten().zip(&homes);
        black_box(states.fold(loaded, |loaded, (state, home)| loaded | state.warm(home.line)));
    }
}
