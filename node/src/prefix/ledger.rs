//! What the applier knows: the index, who has joined it, and the commands that keep it current.

use std::{collections::BTreeMap, sync::Arc};

use convoy_prefix_index::{
    BlockHash, Command, Endpoint as IndexEndpoint, EndpointSlot, Held, Incarnation, Index,
    IndexReader, Origin, Outcome, Parameters, Sequence, Stamp, Touched,
};

use super::lookup::Chains;
use crate::{
    endpoints::{Change, Endpoint, Load, Roster, View},
    plugins::PrefixSettings,
};

/// The one writer's state. Time is passed in as a stamp.
#[derive(Debug)]
pub(super) struct Ledger {
    index: Index,
    reader: IndexReader,
    settings: PrefixSettings,
    roster: Roster,
    joined: BTreeMap<u32, Joined>,
    origin: Origin,
    sequence: u64,
    lives: u64,
    depths: Vec<u32>,
}

/// An endpoint that the index counts.
#[derive(Debug)]
struct Joined {
    /// Kept so that its slot is not given to another while the index still names it.
    _endpoint: Arc<Endpoint>,
    name: IndexEndpoint,
    slot: EndpointSlot,
    capacity_blocks: u32,
}

/// What became of commands, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) applied: u64,
    pub(super) refused: u64,
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
            origin: Origin { replica: 0, start },
            sequence: 0,
            lives: 0,
            depths: Vec::new(),
        }
    }

    pub(super) fn reader(&self) -> IndexReader {
        self.reader.clone()
    }

    /// Where the index counts each endpoint, by the endpoint's own slot.
    pub(super) fn slots(&self) -> Vec<Option<EndpointSlot>> {
        let length = self.joined.last_key_value().map_or(0, |(&slot, _)| slot as usize + 1);
        let mut slots = vec![None; length];
        for (&slot, joined) in &self.joined {
            if let Some(place) = slots.get_mut(slot as usize) {
                *place = Some(joined.slot);
            }
        }
        slots
    }

    /// Brings the index in line with who is in `view` and how much each can hold; true if
    /// [`Self::slots`] changed.
    pub(super) fn follow(&mut self, view: &View, tally: &mut Tally) -> bool {
        let changes = self.roster.update(view);
        let differs = !changes.is_empty();
        for change in changes {
            match change {
                Change::Left(endpoint) => self.leave(&endpoint, tally),
                Change::Joined(endpoint) => self.join(&endpoint, tally),
            }
        }
        for member in &view.members {
            let load = member.sample.as_deref().map(|sample| &sample.load);
            self.resize(member.endpoint.slot, load, tally);
        }
        differs
    }

    /// Applies that `endpoint` was sent `chains`.
    pub(super) fn sighted(
        &mut self,
        endpoint: &Endpoint,
        chains: &Chains,
        stamp: Stamp,
        tally: &mut Tally,
    ) {
        for chain in chains.iter() {
            let Some(joined) = self.joined.get(&endpoint.slot) else { return };
            let (name, slot) = (joined.name, joined.slot);
            if let Some(command) = self.command(name, slot, chain, stamp) {
                self.apply(&command, tally);
            }
        }
    }

    /// Says only what is new: after the deepest block that the index knows of any endpoint.
    fn command(
        &mut self,
        endpoint: IndexEndpoint,
        slot: EndpointSlot,
        chain: &[BlockHash],
        stamp: Stamp,
    ) -> Option<Command> {
        let &last = chain.last()?;
        self.depths.clear();
        self.depths.resize(self.reader.slots(), 0);
        let known = self.reader.depths(chain, &mut self.depths) as usize;
        let held = self.depths.get(slot.0 as usize).copied().unwrap_or(0) as usize;
        self.sequence += 1;
        let (origin, sequence) = (self.origin, Sequence(self.sequence));
        if held == chain.len() {
            return Some(Command::Touched(Touched {
                endpoint,
                block: last,
                stamp,
                origin,
                sequence,
            }));
        }
        let (before, after) = chain.split_at_checked(known)?;
        Some(Command::Held(Held {
            endpoint,
            base: before.last().copied(),
            hashes: after.to_vec(),
            stamp,
            origin,
            sequence,
        }))
    }

    fn join(&mut self, endpoint: &Arc<Endpoint>, tally: &mut Tally) {
        self.lives += 1;
        let name = IndexEndpoint::new(endpoint.key.address, Incarnation(self.lives));
        let capacity_blocks = self.settings.endpoint_blocks_max;
        let joined = Command::Joined { endpoint: name, replaces: None, capacity_blocks };
        if let Outcome::Joined { slot } = self.apply(&joined, tally) {
            let joined = Joined { _endpoint: Arc::clone(endpoint), name, slot, capacity_blocks };
            self.joined.insert(endpoint.slot, joined);
        }
    }

    fn leave(&mut self, endpoint: &Endpoint, tally: &mut Tally) {
        if let Some(joined) = self.joined.remove(&endpoint.slot) {
            self.apply(&Command::Left { endpoint: joined.name }, tally);
        }
    }

    fn resize(&mut self, slot: u32, load: Option<&Load>, tally: &mut Tally) {
        let Some(capacity_blocks) = load.and_then(|load| capacity(load, &self.settings)) else {
            return;
        };
        let Some(joined) = self.joined.get_mut(&slot) else { return };
        if joined.capacity_blocks == capacity_blocks {
            return;
        }
        joined.capacity_blocks = capacity_blocks;
        let endpoint = joined.name;
        self.apply(&Command::CapacityChanged { endpoint, capacity_blocks }, tally);
    }

    fn apply(&mut self, command: &Command, tally: &mut Tally) -> Outcome {
        let outcome = self.index.apply(command);
        if let Outcome::Refused(refusal) = outcome {
            tracing::debug!(%refusal, "the index refused a command");
            tally.refused += 1;
        } else {
            tally.applied += 1;
        }
        outcome
    }
}

/// How many of the index's blocks an engine's cache holds, if it tells and is to be believed.
fn capacity(load: &Load, settings: &PrefixSettings) -> Option<u32> {
    if !settings.capacity_from_engine {
        return None;
    }
    let tokens = u64::from(load.cache_blocks?) * u64::from(load.cache_block_tokens?);
    let blocks = tokens / u64::from(settings.block_tokens.max(1));
    Some(u32::try_from(blocks).unwrap_or(u32::MAX)).filter(|&blocks| 0 < blocks)
}
