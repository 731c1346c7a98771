//! The leaves of one endpoint, the next to go first: a heap with eight children to a node, so
//! that a step down reads one cache line.
//!
//! Ordered by (stamp, name of the leaf). Names are read where leaves are stored, and only when
//! stamps are equal. The heap answers where each leaf went, so that a leaf can be found again.

use std::cmp::Ordering;

use super::view::RunId;
use crate::{BlockHash, Stamp};

/// What a heap asks of and tells to those who keep the leaves.
pub(super) trait Leaves {
    /// The name of the leaf that ends the endpoint's share of `run`.
    fn name(&self, run: RunId) -> BlockHash;
    /// The leaf of `run` is at `at` from now on.
    fn moved(&mut self, run: RunId, at: u32);
}

#[derive(Clone, Debug, Default)]
pub(super) struct Heap {
    stamps: Vec<Stamp>,
    runs: Vec<RunId>,
}

const CHILDREN: usize = 8;

impl Heap {
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.stamps.capacity() * size_of::<Stamp>() + self.runs.capacity() * size_of::<RunId>()
    }

    pub(super) fn get(&self, at: u32) -> Option<(Stamp, RunId)> {
        let at = at as usize;
        Some((*self.stamps.get(at)?, *self.runs.get(at)?))
    }

    /// The next to go.
    #[inline]
    pub(super) fn first(&self) -> Option<(Stamp, RunId)> {
        self.get(0)
    }

    /// The stamp of the one to go after the first.
    pub(super) fn second_stamp(&self) -> Option<Stamp> {
        self.stamps.iter().skip(1).take(CHILDREN).min().copied()
    }

    /// All leaves, in no order that means anything.
    pub(super) fn leaves(&self) -> impl Iterator<Item = (Stamp, RunId)> {
        self.stamps.iter().copied().zip(self.runs.iter().copied())
    }

    pub(super) fn push(&mut self, stamp: Stamp, run: RunId, leaves: &mut impl Leaves) {
        // Grows by an eighth: many heaps that each doubled would waste a third of their memory.
        if self.stamps.len() == self.stamps.capacity() {
            self.stamps.reserve_exact(self.stamps.len() / 8 + 4);
            self.runs.reserve_exact(self.runs.len() / 8 + 4);
        }
        self.stamps.push(stamp);
        self.runs.push(run);
        self.rise(self.len() - 1, leaves);
    }

    /// Takes the leaf at `at` out. Its keeper is not told.
    pub(super) fn remove(&mut self, at: u32, leaves: &mut impl Leaves) {
        let at = at as usize;
        if self.len() <= at {
            return;
        }
        self.stamps.swap_remove(at);
        self.runs.swap_remove(at);
        if at < self.len() {
            self.restore(at, leaves);
        }
        if self.stamps.len() + 64 < self.stamps.capacity() / 4 * 3 {
            self.stamps.shrink_to(self.stamps.len() * 9 / 8);
            self.runs.shrink_to(self.runs.len() * 9 / 8);
        }
    }

    /// Gives the leaf at `at` another key; its name may have changed as well.
    pub(super) fn change(&mut self, at: u32, stamp: Stamp, run: RunId, leaves: &mut impl Leaves) {
        let at = at as usize;
        if let (Some(old_stamp), Some(old_run)) = (self.stamps.get_mut(at), self.runs.get_mut(at)) {
            (*old_stamp, *old_run) = (stamp, run);
            self.restore(at, leaves);
        }
    }

    /// The leaf at `at` is known by another run from now on. Its key is the same.
    pub(super) fn rename(&mut self, at: u32, run: RunId) {
        if let Some(old) = self.runs.get_mut(at as usize) {
            *old = run;
        }
    }

    /// Takes the last leaf out, whichever it is: the cheapest way to empty a heap.
    pub(super) fn pop_any(&mut self) -> Option<RunId> {
        self.stamps.pop();
        self.runs.pop()
    }

    fn restore(&mut self, at: usize, leaves: &mut impl Leaves) {
        if !self.rise(at, leaves) {
            self.sink(at, leaves);
        }
    }

    fn rise(&mut self, start: usize, leaves: &mut impl Leaves) -> bool {
        let mut at = start;
        while 0 < at {
            let parent = (at - 1) / CHILDREN;
            if !self.goes_before(at, parent, leaves) {
                break;
            }
            self.swap(at, parent, leaves);
            at = parent;
        }
        self.tell(at, leaves);
        at < start
    }

    fn sink(&mut self, start: usize, leaves: &mut impl Leaves) {
        let mut at = start;
        loop {
            let first = at * CHILDREN + 1;
            let children = first..(first + CHILDREN).min(self.len());
            let Some(least) =
                children.reduce(
                    |least, child| {
                        if self.goes_before(child, least, leaves) { child } else { least }
                    },
                )
            else {
                break;
            };
            if !self.goes_before(least, at, leaves) {
                break;
            }
            self.swap(at, least, leaves);
            at = least;
        }
        self.tell(at, leaves);
    }

    fn goes_before(&self, this: usize, that: usize, leaves: &impl Leaves) -> bool {
        let Some((this_stamp, that_stamp)) = self.stamps.get(this).zip(self.stamps.get(that))
        else {
            return false;
        };
        match this_stamp.cmp(that_stamp) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => {
                let runs = self.runs.get(this).zip(self.runs.get(that));
                runs.is_some_and(|(&this, &that)| leaves.name(this) < leaves.name(that))
            }
        }
    }

    /// Swaps two leaves and tells where the one now at `from` is.
    fn swap(&mut self, from: usize, to: usize, leaves: &mut impl Leaves) {
        self.stamps.swap(from, to);
        self.runs.swap(from, to);
        self.tell(from, leaves);
    }

    fn tell(&self, at: usize, leaves: &mut impl Leaves) {
        if let (Some(&run), Ok(at)) = (self.runs.get(at), u32::try_from(at)) {
            leaves.moved(run, at);
        }
    }
}
