//! The index: one writer applies commands, any number of readers ask for depths.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{
    BlockHash, CHAIN_BLOCKS_MAX, Command, Endpoint, EndpointSlot, Outcome, Parameters, model::Model,
};

/// Tells whether two indexes hold the same: holdings, stamps, sequences and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub u64);

/// How much an index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub endpoints: u64,
    /// (block, endpoint) pairs held.
    pub memberships: u64,
    /// Distinct blocks held by any endpoint.
    pub blocks: u64,
    /// Memory of the index, everything counted.
    pub bytes: u64,
    /// Memberships evicted since this index was made.
    pub evicted: u64,
}

/// Who holds which prefix. The single writer.
///
/// A function of the commands applied: two indexes that applied the same commands answer alike
/// and have equal [`Digest`]s.
#[derive(Debug)]
pub struct Index {
    shared: Arc<RwLock<Model>>,
}

impl Index {
    pub fn new(parameters: Parameters) -> Self {
        Self { shared: Arc::new(RwLock::new(Model::new(parameters))) }
    }

    /// Carries out one command, or refuses it. Total.
    pub fn apply(&mut self, command: &Command) -> Outcome {
        self.shared.write().unwrap_or_else(PoisonError::into_inner).apply(command)
    }

    /// A handle for queries from any thread.
    pub fn reader(&self) -> IndexReader {
        IndexReader { shared: Arc::clone(&self.shared) }
    }

    pub fn parameters(&self) -> Parameters {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).parameters().clone()
    }

    /// Where `endpoint` is counted; `None` unless it has joined, in this incarnation.
    pub fn slot(&self, endpoint: &Endpoint) -> Option<EndpointSlot> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).slot(endpoint)
    }

    /// The digest of everything replicas agree on.
    pub fn digest(&self) -> Digest {
        Digest(self.shared.read().unwrap_or_else(PoisonError::into_inner).digest())
    }
}

/// Asks an index, from any thread, while its writer applies.
#[derive(Clone, Debug)]
pub struct IndexReader {
    shared: Arc<RwLock<Model>>,
}

impl IndexReader {
    /// Writes how many blocks of `chain`, from the first on, each endpoint holds.
    ///
    /// `depths` is indexed by [`EndpointSlot`] and overwritten whole; slots beyond its end are
    /// left out, so give it at least [`IndexReader::slots`] elements. Answers how many blocks of
    /// `chain` any endpoint holds. Allocates nothing.
    pub fn depths(&self, chain: &[BlockHash], depths: &mut [u32]) -> u32 {
        let known =
            self.shared.read().unwrap_or_else(PoisonError::into_inner).depths(clamp(chain), depths);
        u32::try_from(known).unwrap_or(u32::MAX)
    }

    /// How many blocks of `chain`, from the first on, any endpoint holds.
    pub fn known_depth(&self, chain: &[BlockHash]) -> u32 {
        let known =
            self.shared.read().unwrap_or_else(PoisonError::into_inner).known_depth(clamp(chain));
        u32::try_from(known).unwrap_or(u32::MAX)
    }

    /// One more than the highest slot given out: the length that a buffer for depths needs.
    pub fn slots(&self) -> usize {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).slots()
    }

    pub fn statistics(&self) -> Statistics {
        let model = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let (memberships, blocks) = (model.memberships(), model.blocks());
        Statistics { endpoints: 0, memberships, blocks, bytes: 0, evicted: 0 }
    }
}

fn clamp(chain: &[BlockHash]) -> &[BlockHash] {
    chain.get(..CHAIN_BLOCKS_MAX).unwrap_or(chain)
}
