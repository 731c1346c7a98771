//! The overlay: sightings that the log has not returned yet.
//!
//! A sighting counts from the moment it is made, here or at another replica, until the log
//! returns it or it is too old. It is bounded by bytes and by age; the oldest go first. The match
//! that a pick uses is the larger of index and overlay, never their sum.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hasher},
    time::{Duration, Instant},
};

use crate::{BlockHash, CHAIN_BLOCKS_MAX, EndpointSlot, Origin, Sequence};

/// Names a sighting: who made it, and its number there.
pub type SightingKey = (Origin, Sequence);

/// What an overlay may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlayLimits {
    /// Memory, by the charge of [`Overlay::bytes`].
    pub bytes_max: usize,
    /// A sighting older than this counts no more.
    pub age_max: Duration,
}

impl Default for OverlayLimits {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, age_max: Duration::from_mins(10) }
    }
}

/// Sightings not yet returned by the log.
#[derive(Debug)]
pub struct Overlay {
    limits: OverlayLimits,
    sightings: HashMap<SightingKey, Sighting>,
    /// Sightings in the order in which they came; the number breaks ties of time.
    by_age: BTreeMap<(Instant, u64), SightingKey>,
    next_arrival: u64,
    /// For each block, how many sightings of each endpoint hold it.
    blocks: HashMap<BlockHash, Holders, BuildHasherDefault<NameHasher>>,
    bytes: usize,
    shed: u64,
}

#[derive(Debug)]
struct Sighting {
    slot: EndpointSlot,
    chain: Box<[BlockHash]>,
    arrived: (Instant, u64),
}

/// Pairs of slot and number of sightings; few, so searched from the front.
type Holders = smallvec::SmallVec<[(EndpointSlot, u32); 2]>;

/// Names are hashes already, under a key that strangers do not have.
#[derive(Clone, Copy, Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, name: u64) {
        self.0 = name;
    }
}

/// Charged for a sighting beside its blocks: its place in both maps.
const SIGHTING_BYTES: usize = 192;

/// Charged for each block of a sighting: its name in the chain, and a place in the map that it
/// shares with other sightings at best.
const BLOCK_BYTES: usize = 64;

impl Overlay {
    /// An overlay without sightings.
    pub fn new(limits: OverlayLimits) -> Self {
        Self {
            limits,
            sightings: HashMap::new(),
            by_age: BTreeMap::new(),
            next_arrival: 0,
            blocks: HashMap::default(),
            bytes: 0,
            shed: 0,
        }
    }

    /// Notes that the endpoint at `slot` was sent `chain` at `now`. A key that is known, a chain
    /// that is empty and one that alone exceeds the bound change nothing, and answer false.
    pub fn insert(
        &mut self,
        key: SightingKey,
        slot: EndpointSlot,
        chain: &[BlockHash],
        now: Instant,
    ) -> bool {
        let chain = chain.get(..CHAIN_BLOCKS_MAX).unwrap_or(chain);
        let charge = charge(chain.len());
        if chain.is_empty() || self.limits.bytes_max < charge || self.sightings.contains_key(&key) {
            return false;
        }
        self.expire(now);
        while self.limits.bytes_max < self.bytes + charge && self.shed_oldest() {}
        for block in chain {
            let holders = self.blocks.entry(*block).or_default();
            match holders.iter_mut().find(|(holder, _)| *holder == slot) {
                Some((_, sightings)) => *sightings += 1,
                None => holders.push((slot, 1)),
            }
        }
        let arrived = (now, self.next_arrival);
        self.next_arrival += 1;
        self.by_age.insert(arrived, key);
        self.sightings.insert(key, Sighting { slot, chain: chain.into(), arrived });
        self.bytes += charge;
        true
    }

    /// Drops a sighting: the log returned it, applied or refused. False when it is not known.
    pub fn remove(&mut self, key: SightingKey) -> bool {
        let Some(sighting) = self.sightings.remove(&key) else { return false };
        self.by_age.remove(&sighting.arrived);
        self.bytes -= charge(sighting.chain.len());
        for block in &sighting.chain {
            let Some(holders) = self.blocks.get_mut(block) else { continue };
            if let Some((_, sightings)) =
                holders.iter_mut().find(|(holder, _)| *holder == sighting.slot)
            {
                *sightings -= 1;
            }
            holders.retain(|(_, sightings)| *sightings != 0);
            if holders.is_empty() {
                self.blocks.remove(block);
            }
        }
        true
    }

    /// Drops what is older than the age limit at `now`.
    pub fn expire(&mut self, now: Instant) {
        while let Some((&(arrived, _), &key)) = self.by_age.first_key_value()
            && self.limits.age_max < now.saturating_duration_since(arrived)
        {
            self.remove(key);
        }
    }

    /// Drops all sightings of an endpoint: it left, or lives another life.
    pub fn forget(&mut self, slot: EndpointSlot) {
        let keys: Vec<SightingKey> = self
            .by_age
            .values()
            .filter(|key| self.sightings.get(key).is_some_and(|sighting| sighting.slot == slot))
            .copied()
            .collect();
        for key in keys {
            self.remove(key);
        }
    }

    /// Raises each endpoint's depth in `depths`, indexed by slot, to what a sighting says of
    /// `chain`. Answers how many blocks of `chain` any sighting holds.
    ///
    /// Sightings are whole chains, so the further into a chain, the fewer endpoints hold a block:
    /// the places where their number changes are searched, not walked to.
    pub fn raise(&self, chain: &[BlockHash], depths: &mut [u32]) -> u32 {
        let chain = chain.get(..CHAIN_BLOCKS_MAX).unwrap_or(chain);
        let holders = |block: &BlockHash| self.blocks.get(block).map_or(&[][..], Holders::as_slice);
        let known = chain.partition_point(|block| !holders(block).is_empty());
        let mut rest = chain.get(..known).unwrap_or_default();
        while let Some(last) = rest.last() {
            let (holders_here, here) = (holders(last), rest.len());
            let depth = u32::try_from(here).unwrap_or(u32::MAX);
            for (slot, _) in holders_here {
                if let Some(known) = depths.get_mut(slot.0 as usize) {
                    *known = depth.max(*known);
                }
            }
            let more = rest.partition_point(|block| holders_here.len() < holders(block).len());
            rest = rest.get(..more.min(here - 1)).unwrap_or_default();
        }
        u32::try_from(known).unwrap_or(u32::MAX)
    }

    /// Sightings held.
    pub fn len(&self) -> usize {
        self.sightings.len()
    }

    /// True when no sighting is held.
    pub fn is_empty(&self) -> bool {
        self.sightings.is_empty()
    }

    /// Memory charged to the sightings held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sightings dropped for want of room since the overlay was made.
    pub fn shed(&self) -> u64 {
        self.shed
    }

    fn shed_oldest(&mut self) -> bool {
        let Some((_, &key)) = self.by_age.first_key_value() else { return false };
        self.shed += 1;
        self.remove(key)
    }
}

fn charge(blocks: usize) -> usize {
    SIGHTING_BYTES + blocks * BLOCK_BYTES
}

#[cfg(test)]
mod tests;
