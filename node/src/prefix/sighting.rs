//! Sightings: beliefs that an endpoint holds chains, because a request with them was sent there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::chains::Chains;
use crate::endpoints::Endpoint;

/// A belief that an endpoint holds chains. Clones are the same sighting.
#[derive(Clone, Debug)]
pub struct Sighting(Arc<Seen>);

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) made_at: Instant,
    charged: Arc<Charged>,
}

/// Chains whose memory is accounted for until nobody needs them.
#[derive(Debug)]
struct Charged {
    chains: Chains,
    allowance: Arc<Allowance>,
}

/// Charged for a sighting beside its blocks, in bytes.
const SIGHTING_BYTES: usize = 256;

impl Sighting {
    /// `None` when all sightings together would take more memory than allowed.
    pub(super) fn new(
        endpoint: &Arc<Endpoint>,
        chains: &Chains,
        made_at: Instant,
        allowance: &Arc<Allowance>,
    ) -> Option<Self> {
        if !allowance.take(charge(chains)) {
            return None;
        }
        let charged = Charged { chains: chains.clone(), allowance: Arc::clone(allowance) };
        let (endpoint, charged) = (Arc::clone(endpoint), Arc::new(charged));
        Some(Self(Arc::new(Seen { endpoint, made_at, charged })))
    }

    /// The same request, at another endpoint.
    pub(super) fn at(&self, endpoint: &Arc<Endpoint>) -> Self {
        let (endpoint, charged) = (Arc::clone(endpoint), Arc::clone(&self.0.charged));
        Self(Arc::new(Seen { endpoint, charged, made_at: self.0.made_at }))
    }

    pub(super) fn seen(&self) -> &Arc<Seen> {
        &self.0
    }
}

impl Seen {
    pub(super) fn chains(&self) -> &Chains {
        &self.charged.chains
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.allowance.give_back(charge(&self.chains));
    }
}

fn charge(chains: &Chains) -> usize {
    SIGHTING_BYTES + chains.bytes()
}

/// Memory that sightings may take, all together.
#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicUsize,
}

impl Allowance {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { left: AtomicUsize::new(bytes_max) }
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use convoy_prefix_index::BlockHash;

    use super::*;
    use crate::prefix::tests::endpoint;

    #[test]
    fn memory_is_taken_once_and_given_back_when_nobody_needs_the_chains() {
        let mut chains = Chains::default();
        chains.push(&[BlockHash::new(7).unwrap(); 10]);
        let (allowance, now) = (Arc::new(Allowance::new(charge(&chains))), crate::clock::now());
        let endpoint = endpoint("a", 0);
        let first = Sighting::new(&endpoint, &chains, now, &allowance).unwrap();
        let moved = first.at(&endpoint);
        assert!(Sighting::new(&endpoint, &chains, now, &allowance).is_none());
        drop(first);
        assert!(Sighting::new(&endpoint, &chains, now, &allowance).is_none());
        drop(moved);
        assert!(Sighting::new(&endpoint, &chains, now, &allowance).is_some());
    }
}
