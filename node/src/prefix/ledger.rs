//! What the applier knows: the index, who has joined it, and the commands that keep it current.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use convoy_prefix_index::{
    BlockHash, Command, Endpoint as IndexEndpoint, EndpointSlot, Held, Incarnation, Index,
    IndexReader, Origin, Outcome, Parameters, Refusal, Sequence, Stamp, Touched,
};

use super::published::{Place, Published};
use crate::{
    endpoints::{Change, Endpoint, Load, Roster, View},
    plugins::PrefixSettings,
};

/// Blocks that one command says to be held at most. Applying that many takes about a millisecond,
/// and others share the applier's thread.
pub(super) const HELD_BLOCKS_MAX: usize = 4096;

/// Between two changes of an endpoint's capacity. An engine's cache keeps its size for life; a page
/// that tells another one at every reading must not empty the index again and again.
const CAPACITY_CHANGES_APART: Duration = Duration::from_secs(10);

/// The one writer's state. Time is passed in.
#[derive(Debug)]
pub(super) struct Ledger {
    index: Index,
    reader: IndexReader,
    settings: PrefixSettings,
    roster: Roster,
    /// By the endpoint's own slot.
    joined: BTreeMap<u32, Joined>,
    /// Endpoints that the index refused, by their own slot: the same address is there in another
    /// life that has not left, or there are too many.
    refused: BTreeMap<u32, Arc<Endpoint>>,
    /// Where the index counted those who left, since this was asked the last time.
    left: Vec<EndpointSlot>,
    origin: Origin,
    sequence: u64,
    lives: u64,
    depths: Vec<u32>,
}

/// An endpoint that the index counts.
#[derive(Debug)]
struct Joined {
    /// Kept so that its slot is not given to another while the index still names it.
    endpoint: Arc<Endpoint>,
    name: IndexEndpoint,
    slot: EndpointSlot,
    capacity_blocks: u32,
    /// When its engine told a capacity that was taken.
    resized_at: Option<Instant>,
}

/// What became of commands, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) applied: u64,
    pub(super) refused: Vec<Refusal>,
}

/// How far a chain has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// These blocks of it, from the first on; more are left.
    Part(usize),
    /// All, or all that is worth saying.
    Whole,
    /// The index refused for a reason that asking again may cure.
    AskAgain,
}

impl Ledger {
    /// `start` is drawn at random when the process starts.
    pub(super) fn new(parameters: Parameters, settings: PrefixSettings, start: u64) -> Self {
        let index = Index::new(parameters);
        Self {
            reader: index.reader(),
            index,
            settings,
            roster: Roster::default(),
            joined: BTreeMap::new(),
            refused: BTreeMap::new(),
            left: Vec::new(),
            origin: Origin { replica: 0, start },
            sequence: 0,
            lives: 0,
            depths: Vec::new(),
        }
    }

    pub(super) fn reader(&self) -> &IndexReader {
        &self.reader
    }

    /// What picks need: the index, and where it counts each endpoint.
    pub(super) fn published(&self) -> Published {
        let length = self.joined.last_key_value().map_or(0, |(&slot, _)| slot as usize + 1);
        let mut places = vec![None; length];
        for (&slot, joined) in &self.joined {
            if let Some(place) = places.get_mut(slot as usize) {
                let endpoint = Arc::clone(&joined.endpoint);
                *place = Some(Place { slot: joined.slot, _endpoint: endpoint });
            }
        }
        Published { reader: self.reader.clone(), places }
    }

    /// Where the index counted the endpoints that left since the last call.
    pub(super) fn left(&mut self) -> Vec<EndpointSlot> {
        std::mem::take(&mut self.left)
    }

    /// Says that nobody asks about this slot of the index any more.
    pub(super) fn release(&mut self, slot: EndpointSlot) {
        self.index.release(slot);
    }

    /// True if the index counts this life of `endpoint`.
    pub(super) fn knows(&self, endpoint: &Endpoint) -> bool {
        self.joined.contains_key(&endpoint.slot)
    }

    /// Brings the index in line with who is in `view`; true if [`Self::published`] changed.
    pub(super) fn follow(&mut self, view: &View, tally: &mut Tally) -> bool {
        let changes = self.roster.update(view);
        if changes.is_empty() {
            return false;
        }
        let mut differs = false;
        for change in changes {
            match change {
                Change::Left(endpoint) => differs |= self.leave(&endpoint, tally),
                Change::Joined(endpoint) => drop(self.refused.insert(endpoint.slot, endpoint)),
            }
        }
        // Those that were refused before, too: who stood in their way may have left.
        let waiting = std::mem::take(&mut self.refused);
        for endpoint in waiting.into_values() {
            differs |= self.join(endpoint, tally);
        }
        differs
    }

    /// Takes over what the engines of `view` tell of their caches' sizes.
    pub(super) fn resize(&mut self, view: &View, now: Instant, tally: &mut Tally) {
        for member in &view.members {
            let told = member.sample.as_deref();
            let Some(blocks) = told.and_then(|told| capacity(&told.load, &self.settings)) else {
                continue;
            };
            let Some(joined) = self.joined.get_mut(&member.endpoint.slot) else { continue };
            let recently = |at: Instant| now.saturating_duration_since(at) < CAPACITY_CHANGES_APART;
            if joined.capacity_blocks == blocks || joined.resized_at.is_some_and(recently) {
                continue;
            }
            (joined.capacity_blocks, joined.resized_at) = (blocks, Some(now));
            let endpoint = joined.name;
            self.apply(&Command::CapacityChanged { endpoint, capacity_blocks: blocks }, tally);
        }
    }

    /// Applies that `endpoint` was sent `chain`, of which `said` blocks have been said: the next
    /// part of it.
    pub(super) fn sighted(
        &mut self,
        endpoint: &Endpoint,
        (chain, said): (&[BlockHash], usize),
        stamp: Stamp,
        tally: &mut Tally,
    ) -> Said {
        let Some(joined) = self.joined.get(&endpoint.slot) else { return Said::Whole };
        // The rest would be cut off, each time anew.
        let chain = chain.get(..joined.capacity_blocks as usize).unwrap_or(chain);
        let (name, slot) = (joined.name, joined.slot);
        let (part, command) = self.next_command((name, slot), (chain, said), stamp);
        let Some(command) = command else { return Said::Whole };
        if let Outcome::Refused(refusal) = self.apply(&command, tally) {
            // Eviction goes on with every command, refused or not, and what is known of the chain
            // is looked up anew.
            let passes = matches!(refusal, Refusal::Shrinking | Refusal::MissingBase);
            return if passes { Said::AskAgain } else { Said::Whole };
        }
        if part < chain.len() { Said::Part(part) } else { Said::Whole }
    }

    /// Says only what is new: after the deepest block that the index knows of any endpoint, and a
    /// bounded part of that. Also answers how many blocks of `chain` that is.
    fn next_command(
        &mut self,
        (endpoint, slot): (IndexEndpoint, EndpointSlot),
        (chain, said): (&[BlockHash], usize),
        stamp: Stamp,
    ) -> (usize, Option<Command>) {
        self.depths.resize(self.reader.slots(), 0);
        let known = self.reader.depths(chain, &mut self.depths) as usize;
        let held = self.depths.get(slot.0 as usize).copied().unwrap_or(0) as usize;
        let part = chain.len().min(known.max(said) + HELD_BLOCKS_MAX);
        let Some(&last) = chain.get(..part).and_then(<[BlockHash]>::last) else {
            return (part, None);
        };
        self.sequence += 1;
        let (origin, sequence) = (self.origin, Sequence(self.sequence));
        if held == chain.len() {
            let block = last;
            let touched = Touched { endpoint, block, stamp, origin, sequence };
            return (part, Some(Command::Touched(touched)));
        }
        let base = known.checked_sub(1).and_then(|last| chain.get(last)).copied();
        let hashes = chain.get(known..part).unwrap_or_default().to_vec();
        (part, Some(Command::Held(Held { endpoint, base, hashes, stamp, origin, sequence })))
    }

    fn join(&mut self, endpoint: Arc<Endpoint>, tally: &mut Tally) -> bool {
        self.lives += 1;
        let name = IndexEndpoint::new(endpoint.key.address, Incarnation(self.lives));
        let capacity_blocks = self.settings.endpoint_blocks_max;
        let command = Command::Joined { endpoint: name, replaces: None, capacity_blocks };
        let Outcome::Joined { slot } = self.apply(&command, tally) else {
            self.refused.insert(endpoint.slot, endpoint);
            return false;
        };
        let own_slot = endpoint.slot;
        let joined = Joined { endpoint, name, slot, capacity_blocks, resized_at: None };
        self.joined.insert(own_slot, joined);
        true
    }

    fn leave(&mut self, endpoint: &Endpoint, tally: &mut Tally) -> bool {
        self.refused.remove(&endpoint.slot);
        let Some(joined) = self.joined.remove(&endpoint.slot) else { return false };
        self.apply(&Command::Left { endpoint: joined.name }, tally);
        self.left.push(joined.slot);
        true
    }

    fn apply(&mut self, command: &Command, tally: &mut Tally) -> Outcome {
        let outcome = self.index.apply(command);
        if let Outcome::Refused(refusal) = outcome {
            tracing::debug!(%refusal, "the index refused a command");
            tally.refused.push(refusal);
        } else {
            tally.applied += 1;
        }
        outcome
    }
}

/// How many of the index's blocks an engine's cache holds, if it tells and is to be believed: a
/// cache without room for one block serves nobody, so that is a page that does not know yet.
fn capacity(load: &Load, settings: &PrefixSettings) -> Option<u32> {
    if !settings.capacity_from_engine {
        return None;
    }
    let tokens = u64::from(load.cache_blocks?) * u64::from(load.cache_block_tokens?);
    let blocks = tokens / u64::from(settings.block_tokens.max(1));
    Some(u32::try_from(blocks).unwrap_or(u32::MAX)).filter(|&blocks| 0 < blocks)
}

#[cfg(test)]
mod tests;
