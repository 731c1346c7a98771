//! Who holds how much of a run: one holder in the run itself, more in a list.

use super::{RUN_BLOCKS_MAX, Store};
use crate::{
    index::view::RunId,
    sync::{AtomicU32, Ordering},
};

/// One endpoint's share of a run: the first `len` blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::index) struct Holder {
    pub(in crate::index) slot: u32,
    pub(in crate::index) len: u32,
}

impl Holder {
    #[inline]
    pub(in crate::index) fn unpack(word: u32) -> Self {
        Self { slot: word >> 16, len: word & 0xffff }
    }

    fn pack(self) -> u32 {
        debug_assert!(self.slot < 1 << 16 && 0 < self.len && self.len <= RUN_BLOCKS_MAX);
        self.slot << 16 | self.len
    }
}

/// One slot's share of one run: the first `len` blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::index) struct Share {
    pub(in crate::index) run: RunId,
    pub(in crate::index) slot: u32,
    pub(in crate::index) len: u32,
}

/// What follows a holder's share of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::index) enum Place {
    /// Nothing: its last block is a leaf, at this place in its endpoint's heap.
    Leaf(u32),
    /// Nothing, but the leaf is not in the heap while a command needs it to stay.
    Pinned,
    /// This many child runs. The share is the whole run.
    Inner(u32),
}

impl Place {
    fn unpack(word: u32) -> Self {
        match word.checked_sub(1 << 31) {
            None => Self::Inner(word),
            Some(0x7fff_ffff) => Self::Pinned,
            Some(at) => Self::Leaf(at),
        }
    }

    fn pack(self) -> u32 {
        match self {
            Self::Leaf(at) => 1 << 31 | at,
            Self::Pinned => u32::MAX,
            Self::Inner(children) => children,
        }
    }
}

/// A run's holders, copied out.
pub(in crate::index) type Holders = Vec<(Holder, Place)>;

impl Store {
    pub(in crate::index) fn holder(&self, run: RunId, index: usize) -> (Holder, Place) {
        let (holder, place) = self.holder_words(run, index);
        let holder = Holder::unpack(holder.load(Ordering::Relaxed));
        (holder, Place::unpack(place.load(Ordering::Relaxed)))
    }

    /// Which of the run's holders this slot is.
    pub(in crate::index) fn find_holder(&self, run: RunId, slot: u32) -> Option<usize> {
        let (_, holders) = self.run(run).len_and_holders();
        let run = self.run(run);
        let first = run.holders.load(Ordering::Relaxed);
        match holders {
            0 => None,
            1 => (first >> 16 == slot).then_some(0),
            more => {
                let list = self.arenas.view.lists.get_many(first, more).expect("a list is whole");
                list.iter().position(|word| word.load(Ordering::Relaxed) >> 16 == slot)
            }
        }
    }

    pub(in crate::index) fn set_holder_len(&self, run: RunId, index: usize, len: u32) {
        let (word, _) = self.holder_words(run, index);
        let holder = Holder::unpack(word.load(Ordering::Relaxed));
        word.store(Holder { len, ..holder }.pack(), Ordering::Release);
    }

    pub(in crate::index) fn set_place(&self, run: RunId, index: usize, place: Place) {
        self.holder_words(run, index).1.store(place.pack(), Ordering::Relaxed);
    }

    /// Adds a holder.
    pub(in crate::index) fn add_holder(&mut self, run: RunId, holder: Holder, place: Place) {
        let (len, count) = self.run(run).len_and_holders();
        if count == 0 {
            let run = self.run(run);
            run.holders.store(holder.pack(), Ordering::Relaxed);
            run.place.store(place.pack(), Ordering::Relaxed);
            run.set_len_holders(len, 1);
        } else if 2 <= count && capacity(count) == capacity(count + 1) {
            // Behind the others in their list, where no reader looks before the count says so.
            let (word, place_word) = self.list_words(run, count, capacity(count));
            word.store(holder.pack(), Ordering::Relaxed);
            place_word.store(place.pack(), Ordering::Relaxed);
            self.run(run).set_len_holders(len, count + 1);
        } else {
            let mut holders = self.take_holders(run);
            holders.push((holder, place));
            self.put_holders(run, &holders);
        }
    }

    pub(in crate::index) fn remove_holder(&mut self, run: RunId, index: usize) {
        let (len, count) = self.run(run).len_and_holders();
        if count == 1 {
            self.run(run).set_len_holders(len, 0);
        } else if 3 <= count && capacity(count) == capacity(count - 1) {
            let (holder, place) = self.holder(run, count - 1);
            let (word, place_word) = self.list_words(run, index, capacity(count));
            self.run(run).begin();
            word.store(holder.pack(), Ordering::Relaxed);
            place_word.store(place.pack(), Ordering::Relaxed);
            self.run(run).set_len_holders(len, count - 1);
            self.run(run).end();
        } else {
            let mut holders = self.take_holders(run);
            holders.swap_remove(index);
            self.put_holders(run, &holders);
        }
    }

    pub(super) fn holder_words(&self, id: RunId, index: usize) -> (&AtomicU32, &AtomicU32) {
        let run = self.run(id);
        let (_, holders) = run.len_and_holders();
        if holders == 1 {
            return (&run.holders, &run.place);
        }
        self.list_words(id, index, capacity(holders))
    }

    /// One holder of a list of this capacity, and its place.
    fn list_words(&self, run: RunId, index: usize, capacity: usize) -> (&AtomicU32, &AtomicU32) {
        let first = self.run(run).holders.load(Ordering::Relaxed);
        let lists = &self.arenas.view.lists;
        let at = |offset: usize| {
            let offset = u32::try_from(offset).expect("a list fits in a chunk");
            lists.get(first + offset).expect("a list is whole")
        };
        (at(index), at(capacity + index))
    }

    /// Copies a run's holders out.
    pub(in crate::index) fn take_holders(&self, run: RunId) -> Holders {
        (0..self.shape(run).holders).map(|index| self.holder(run, index)).collect()
    }

    /// Replaces a run's holders.
    pub(in crate::index) fn put_holders(&mut self, run: RunId, holders: &[(Holder, Place)]) {
        let (_, before) = self.run(run).len_and_holders();
        let list = self.make_list(run, before, holders.len());
        self.run(run).begin();
        let old = self.write_holders(run, list, holders);
        self.run(run).end();
        self.free_list(old, before, holders.len());
    }

    /// A list for `after` holders, unless the one for `before` fits as well.
    pub(super) fn make_list(&mut self, run: RunId, before: usize, after: usize) -> u32 {
        if after < 2 {
            return 0;
        }
        if 2 <= before && capacity(before) == capacity(after) {
            return self.run(run).holders.load(Ordering::Relaxed);
        }
        let order = order(after);
        loop {
            if let Some(list) = self.lists.take(order) {
                return list;
            }
            self.lists.add_chunk();
            self.arenas.change_view(|view| view.lists.push_chunk());
        }
    }

    pub(super) fn write_holders(&self, run: RunId, list: u32, holders: &[(Holder, Place)]) -> u32 {
        let run = self.run(run);
        let old = run.holders.load(Ordering::Relaxed);
        let (len, _) = run.len_and_holders();
        match holders {
            [] => {}
            [(holder, place)] => {
                run.holders.store(holder.pack(), Ordering::Relaxed);
                run.place.store(place.pack(), Ordering::Relaxed);
            }
            more => {
                let capacity = capacity(more.len());
                let words = self.arenas.view.lists.get_many(list, 2 * capacity);
                let (firsts, places) = words.expect("a list is whole").split_at(capacity);
                for ((holder, place), (first, second)) in more.iter().zip(firsts.iter().zip(places))
                {
                    first.store(holder.pack(), Ordering::Relaxed);
                    second.store(place.pack(), Ordering::Relaxed);
                }
                run.holders.store(list, Ordering::Relaxed);
            }
        }
        run.set_len_holders(len, holders.len());
        old
    }

    /// Moves a run's list before `keep`, if there is room. Answers how many holders it has.
    pub(super) fn lower_list(&mut self, run: RunId, keep: u32) -> usize {
        let holders = self.take_holders(run);
        let count = holders.len();
        let Some(list) = self.lists.take_below(order(count), keep) else { return count };
        self.run(run).begin();
        let old = self.write_holders(run, list, &holders);
        self.run(run).end();
        self.lists.give_back(old, order(count));
        count
    }

    pub(super) fn free_list(&mut self, old: u32, before: usize, after: usize) {
        if 2 <= before && (after < 2 || capacity(before) != capacity(after)) {
            self.lists.give_back(old, order(before));
            if self.lists.drop_chunk() {
                self.arenas.change_view(|view| view.lists.pop_chunk());
            }
        }
    }
}

/// Words kept for the holders in a list of `holders`.
fn capacity(holders: usize) -> usize {
    holders.next_power_of_two().max(2)
}

/// The log of the words of a list: holders, then their places.
fn order(holders: usize) -> u32 {
    (2 * capacity(holders)).trailing_zeros()
}
