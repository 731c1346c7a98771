//! Which items of an arena are free. The writer's alone; the lowest free item is used first, so
//! that the last chunks empty and can be given back.

use std::collections::BTreeSet;

/// Free single items, linked through the items themselves.
#[derive(Debug)]
pub(super) struct Pool {
    chunks: Vec<ChunkUse>,
    /// Chunks with a free item.
    open: BTreeSet<u32>,
    bits: u32,
    used: u32,
}

#[derive(Debug, Default)]
struct ChunkUse {
    used: u32,
    /// Items never used yet start here.
    fresh: u32,
    /// The last item freed; zero is none.
    free: u32,
}

impl Pool {
    pub(super) fn new(bits: u32) -> Self {
        Self { chunks: Vec::new(), open: BTreeSet::new(), bits, used: 0 }
    }

    /// Items in use.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Takes a free item; `None` when a chunk must be added first. `link` reads an item's link.
    /// Item zero is never given out.
    pub(super) fn take(&mut self, link: impl Fn(u32) -> u32) -> Option<u32> {
        let chunk = *self.open.first()?;
        let items = 1 << self.bits;
        let state = self.chunks.get_mut(chunk as usize)?;
        let id = if state.free == 0 {
            state.fresh += 1;
            (chunk << self.bits) + state.fresh - 1
        } else {
            let id = state.free;
            state.free = link(id);
            id
        };
        state.used += 1;
        self.used += 1;
        if state.used == items {
            self.open.remove(&chunk);
        }
        Some(id)
    }

    pub(super) fn give_back(&mut self, id: u32, set_link: impl FnOnce(u32)) {
        let chunk = id >> self.bits;
        if let Some(state) = self.chunks.get_mut(chunk as usize) {
            set_link(state.free);
            state.free = id;
            state.used -= 1;
            self.used -= 1;
            self.open.insert(chunk);
        }
    }

    pub(super) fn add_chunk(&mut self) {
        let first = u32::from(self.chunks.is_empty());
        let number = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        self.chunks.push(ChunkUse { used: first, fresh: first, free: 0 });
        self.open.insert(number);
    }

    /// Takes the last chunk off the books when it is empty, and an eighth of a chunk is free
    /// elsewhere: growth and shrinkage by an item shall not each cost a chunk.
    pub(super) fn drop_chunk(&mut self) -> bool {
        let Some(rest) = self.chunks.len().checked_sub(1) else { return false };
        let items = 1usize << self.bits;
        let empty = self.chunks.last().is_some_and(|chunk| chunk.used == 0);
        if !empty || rest * items < self.used as usize + items / 8 + 1 {
            return false;
        }
        self.chunks.pop();
        self.open.remove(&u32::try_from(rest).unwrap_or(u32::MAX));
        true
    }
}

/// Free stretches of words, of two to the power of an order each: a buddy allocator.
///
/// Source: Knowlton, "A fast storage allocator", 1965.
#[derive(Debug)]
pub(super) struct Buddies {
    /// Free stretches of each order, by their first word.
    free: Vec<BTreeSet<u32>>,
    chunks: u32,
    bits: u32,
}

impl Buddies {
    pub(super) fn new(bits: u32) -> Self {
        Self { free: (0..=bits).map(|_| BTreeSet::new()).collect(), chunks: 0, bits }
    }

    /// Takes a stretch; `None` when a chunk must be added first.
    pub(super) fn take(&mut self, order: u32) -> Option<u32> {
        let fits = (order..=self.bits).find(|&order| {
            self.free.get(order as usize).is_some_and(|stretches| !stretches.is_empty())
        })?;
        let first = self.free.get_mut(fits as usize)?.pop_first()?;
        for half in order..fits {
            self.free.get_mut(half as usize)?.insert(first + (1 << half));
        }
        Some(first)
    }

    pub(super) fn give_back(&mut self, first: u32, order: u32) {
        let (mut first, mut order) = (first, order);
        while order < self.bits
            && let Some(stretches) = self.free.get_mut(order as usize)
            && stretches.remove(&(first ^ (1 << order)))
        {
            first &= !(1 << order);
            order += 1;
        }
        if let Some(stretches) = self.free.get_mut(order as usize) {
            stretches.insert(first);
        }
    }

    pub(super) fn add_chunk(&mut self) {
        let first = self.chunks << self.bits;
        self.chunks += 1;
        self.give_back(first, self.bits);
    }

    /// Takes the last chunk off the books when it and the one before are empty.
    pub(super) fn drop_chunk(&mut self) -> bool {
        let Some(whole) = self.free.last_mut() else { return false };
        if self.chunks < 2
            || !whole.contains(&((self.chunks - 2) << self.bits))
            || !whole.remove(&((self.chunks - 1) << self.bits))
        {
            return false;
        }
        self.chunks -= 1;
        true
    }
}
