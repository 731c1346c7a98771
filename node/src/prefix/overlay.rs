//! The overlay: sightings that the applier has not carried into the index yet.
//!
//! It makes the next pick see what this one decided, on whichever thread that runs. A sighting waits
//! for the applier a fraction of a millisecond, so it holds a handful, and a pick finds it empty or
//! compares its chains with those few: chains are compared by search, so 2,048 blocks take a dozen
//! steps. The index library's overlay answers the same questions for one writer, with an entry in a
//! map for each block: for a sighting that lives this short, making the entries would cost more than
//! the whole pick.
//!
//! Nobody waits: writers and readers swap and read pointers. Two bounds: [`SIGHTINGS_MAX`], beyond
//! which the oldest go, and [`AGE_MAX`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

use super::{
    chains::{Chains, common_blocks},
    sighting::{Seen, Sighting},
};
use crate::endpoints::View;

/// Sightings held, one for each bit of a word. An applier that is that far behind costs one cache
/// miss for each sighting more.
const SIGHTINGS_MAX: usize = u64::BITS as usize;

/// How often a place is looked for while other threads take those that become free.
const ATTEMPTS: usize = 4;

/// A sighting older than this counts no more. The applier takes milliseconds; sightings that it
/// never heard of, because it was being started again or had too many waiting, live this long.
pub(super) const AGE_MAX: Duration = Duration::from_secs(10);

/// A place is taken by who sets its bit, then filled; it is emptied by one swap, and who made that
/// one clears its bit.
#[derive(Debug)]
pub(super) struct Overlay {
    places: [ArcSwapOption<Seen>; SIGHTINGS_MAX],
    taken: AtomicU64,
}

impl Default for Overlay {
    fn default() -> Self {
        let places = std::array::from_fn(|_| ArcSwapOption::empty());
        Self { places, taken: AtomicU64::new(0) }
    }
}

/// What an endpoint of the view holds of one of the prompt's chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Overlaid {
    /// Which of the prompt's chains.
    pub(super) chain: u32,
    /// Position in the view.
    pub(super) position: u32,
    pub(super) blocks: u32,
}

impl Overlay {
    /// Notes a sighting; false if the oldest had to go for it, or it finds no place.
    pub(super) fn insert(&self, sighting: &Sighting) -> bool {
        for attempt in 0..ATTEMPTS {
            if let Some(place) = self.take_place() {
                place.store(Some(Arc::clone(sighting.seen())));
                return attempt == 0;
            }
            let filled = |at: usize| Some(self.places.get(at)?.load().as_ref()?.made_at);
            let oldest = (0..SIGHTINGS_MAX).filter_map(filled).min();
            let mut clear = oldest;
            self.clear_where(|seen| clear.take_if(|oldest| seen.made_at == *oldest).is_some());
        }
        false
    }

    fn take_place(&self) -> Option<&ArcSwapOption<Seen>> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let free = !taken & taken.wrapping_add(1);
            if free == 0 {
                return None;
            }
            taken = self.taken.fetch_or(free, Ordering::AcqRel);
            if taken & free == 0 {
                return self.places.get(free.trailing_zeros() as usize);
            }
        }
    }

    /// Drops a sighting: it is in the index, or was refused there.
    pub(super) fn remove(&self, sighting: &Sighting) {
        self.clear_where(|seen| Arc::ptr_eq(seen, sighting.seen()));
    }

    /// Drops what is too old.
    pub(super) fn expire(&self, now: Instant) {
        self.clear_where(|seen| is_old(seen, now));
    }

    /// Says what sightings know of `chains`: for each chain and endpoint the most, in their order.
    /// Overwrites `overlaid`.
    pub(super) fn matches(
        &self,
        chains: &Chains,
        view: &View,
        now: Instant,
        overlaid: &mut Vec<Overlaid>,
    ) {
        overlaid.clear();
        for at in ones(self.taken.load(Ordering::Acquire)) {
            let place = self.places.get(at).map(ArcSwapOption::load);
            let Some(seen) = place.as_ref().and_then(|seen| seen.as_ref()) else { continue };
            if !is_old(seen, now) {
                compare(seen, chains, view, overlaid);
            }
        }
        // The most last, and of those before it none.
        overlaid.sort_unstable();
        overlaid.dedup_by(|later, kept| {
            let same = (later.chain, later.position) == (kept.chain, kept.position);
            if same {
                kept.blocks = later.blocks;
            }
            same
        });
    }

    fn clear_where(&self, mut is_it: impl FnMut(&Arc<Seen>) -> bool) {
        for at in ones(self.taken.load(Ordering::Acquire)) {
            let Some(place) = self.places.get(at) else { continue };
            let current = place.load();
            if !current.as_ref().is_some_and(&mut is_it) {
                continue;
            }
            let before = place.compare_and_swap(&current, None);
            if same(before.as_ref(), current.as_ref()) {
                self.taken.fetch_and(!(1 << at), Ordering::AcqRel);
            }
        }
    }
}

fn same(a: Option<&Arc<Seen>>, b: Option<&Arc<Seen>>) -> bool {
    a.zip(b).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
}

fn compare(seen: &Seen, chains: &Chains, view: &View, overlaid: &mut Vec<Overlaid>) {
    let mut position = None;
    for (number, chain) in (0..).zip(chains.iter()) {
        let common = seen.chains().iter().map(|seen| common_blocks(seen, chain));
        let blocks = common.max().unwrap_or(0);
        if blocks == 0 {
            continue;
        }
        let position = *position.get_or_insert_with(|| {
            // One life of the endpoint: another starts with an empty cache.
            let same = |life: &crate::endpoints::InFlight| life.same(&seen.endpoint.in_flight);
            view.members.iter().position(|member| same(&member.endpoint.in_flight))
        });
        let Some(position) = position.and_then(|at| u32::try_from(at).ok()) else { return };
        overlaid.push(Overlaid { chain: number, position, blocks });
    }
}

fn is_old(seen: &Seen, now: Instant) -> bool {
    AGE_MAX < now.saturating_duration_since(seen.made_at)
}

/// Positions of the bits that are set, the lowest first.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (word != 0).then_some(word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(at)
    })
}

#[cfg(test)]
mod tests;
