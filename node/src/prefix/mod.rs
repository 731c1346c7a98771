//! What the prefix index knows, asked by picks and told by them.
//!
//! A pick hashes its prompt into chains, asks how much of them each endpoint holds, and says whom it
//! chose. The index has one writer, the [`Applier`]; picks read it and wait for nobody.

mod applier;
mod ledger;
mod lookup;

pub use applier::{Applier, Arguments, Msg};
pub use lookup::{Asked, Prefixes, PromptScratch, Sighting};

/// How the index is kept, beside what the configuration's plugins say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// (block, endpoint) pairs held, over all endpoints.
    pub memberships_max: u64,
    /// Sightings that wait to be applied. A further one is dropped, and the price is one cache
    /// miss: the next request with that prompt may go elsewhere.
    pub sightings_waiting_max: usize,
}
