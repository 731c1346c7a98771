//! What the prefix index knows, asked by picks and told by them.
//!
//! A pick hashes its prompt into chains, asks how much of them each endpoint holds, and says whom it
//! chose. The index has one writer, the [`Applier`]; picks read it and wait for nobody. What a pick
//! said counts at once, from the overlay, until the applier has carried it into the index.

mod lookup;

pub use lookup::{Asked, Prefixes, PromptScratch};

mod chains;

mod sighting;

pub use sighting::Sighting;

mod overlay;

mod applier;

pub use applier::{Applier, Arguments, Msg};

mod ledger;

mod published;

mod metrics;

/// How the index is kept, beside what the configuration's plugins say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// (block, endpoint) pairs held, over all endpoints.
    pub memberships_max: u64,
    /// Sightings that wait to be applied. A further one is dropped, and the price is one cache
    /// miss: the next request with that prompt may go elsewhere.
    pub sightings_waiting_max: usize,
    /// Memory of chains that were sighted and are still needed: to be applied, or to be moved when
    /// another endpoint turns out to have served the request. Beyond it sightings are dropped too.
    pub sightings_bytes_max: usize,
}

#[cfg(test)]
mod tests;
