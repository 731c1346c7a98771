//! Which items of an arena are free. The writer's alone; the lowest free item is used first, so
//! that the last chunks empty and can be given back. Where they do not, items are moved: see
//! [`super::store`].

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

    /// One more than the highest item there is.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.chunks.len() << self.bits).unwrap_or(u32::MAX)
    }

    /// See [`surplus_from`].
    pub(super) fn surplus_from(&self) -> Option<u32> {
        surplus_from(self.chunks.len(), self.used as usize, self.bits)
    }

    /// True when an item below `end` is free.
    pub(super) fn has_room_below(&self, end: u32) -> bool {
        self.open.first().is_some_and(|&chunk| chunk << self.bits < end)
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
    words_used: u32,
}

impl Buddies {
    pub(super) fn new(bits: u32) -> Self {
        let free = (0..=bits).map(|_| BTreeSet::new()).collect();
        Self { free, chunks: 0, bits, words_used: 0 }
    }

    /// Words in use.
    pub(super) fn words_used(&self) -> u32 {
        self.words_used
    }

    /// See [`surplus_from`]. One chunk is kept beside those in use.
    pub(super) fn surplus_from(&self) -> Option<u32> {
        let chunks = self.chunks.saturating_sub(1) as usize;
        surplus_from(chunks, self.words_used as usize, self.bits)
    }

    /// Takes a stretch; `None` when a chunk must be added first.
    pub(super) fn take(&mut self, order: u32) -> Option<u32> {
        self.take_below(order, u32::MAX)
    }

    /// The same, of those that start before `end`.
    pub(super) fn take_below(&mut self, order: u32, end: u32) -> Option<u32> {
        let fits = (order..=self.bits).find(|&order| {
            let stretches = self.free.get(order as usize);
            stretches.and_then(BTreeSet::first).is_some_and(|&first| first < end)
        })?;
        let first = self.free.get_mut(fits as usize)?.pop_first()?;
        for half in order..fits {
            self.free.get_mut(half as usize)?.insert(first + (1 << half));
        }
        self.words_used += 1 << order;
        Some(first)
    }

    pub(super) fn give_back(&mut self, first: u32, order: u32) {
        self.words_used -= 1 << order;
        self.put(first, order);
    }

    /// Enters a free stretch, as one with those beside it.
    fn put(&mut self, first: u32, order: u32) {
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
        self.put(first, self.bits);
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

/// Where an arena's items would end if they lay side by side with a little room between. `None`
/// while that would win little: less than a sixteenth of what is used, and two chunks.
pub(super) fn surplus_from(chunks: usize, used: usize, bits: u32) -> Option<u32> {
    let items = 1 << bits;
    let kept = (used + used / 32).div_ceil(items) + 1;
    let wasteful = used + used / 16 + 2 * items < chunks * items;
    let end = u32::try_from(kept << bits).ok()?;
    (wasteful && kept < chunks).then_some(end)
}
