//! The book of addresses: whom to ask, and where a name was last reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Address, Peers};
use crate::identity::ReplicaName;

/// Addresses asked in one round, at most. A name that resolves to more is cut, so that a wrong DNS
/// record cannot make a replica ask a thousand strangers.
pub const ADDRESSES_MAX: usize = 64;

/// How long an address that nobody names any more, and that stays silent, is asked on.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

/// Where replicas are, as far as this one knows.
///
/// What the operator named is asked always; what replicas said of themselves, as long as it
/// answers. All addresses may change at once: those that a name resolved to are replaced whole.
#[derive(Clone, Debug)]
pub struct Book {
    named: Vec<Address>,
    known: BTreeMap<ReplicaName, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    address: Address,
    heard_at: Duration,
}

impl Book {
    /// With a DNS name, it is empty until the name was resolved.
    pub fn new(peers: Option<&Peers>) -> Self {
        let named = match peers {
            Some(Peers::Listed(listed)) => listed.clone(),
            Some(Peers::Dns(_)) | None => Vec::new(),
        };
        Self { named, known: BTreeMap::new() }
    }

    /// What the DNS name means at the moment. An empty answer changes nothing: it is what a cluster
    /// sees whose DNS has just restarted.
    pub fn resolved(&mut self, mut addresses: Vec<Address>) {
        addresses.sort();
        addresses.dedup();
        addresses.truncate(ADDRESSES_MAX);
        if !addresses.is_empty() {
            self.named = addresses;
        }
    }

    /// `name` was reached at `address`, or said that it is there.
    pub fn heard(&mut self, now: Duration, name: ReplicaName, address: Address) {
        self.known.retain(|_, entry| {
            entry.address != address && now.saturating_sub(entry.heard_at) < FORGOTTEN_AFTER
        });
        if self.known.len() < ADDRESSES_MAX || self.known.contains_key(&name) {
            self.known.insert(name, Entry { address, heard_at: now });
        }
    }

    pub fn address_of(&self, name: &ReplicaName) -> Option<&Address> {
        self.known.get(name).map(|entry| &entry.address)
    }

    /// Whom to ask in a round at `now`.
    pub fn to_ask(&self, now: Duration) -> Vec<Address> {
        let fresh = |entry: &&Entry| now.saturating_sub(entry.heard_at) < FORGOTTEN_AFTER;
        let known = self.known.values().filter(fresh).map(|entry| &entry.address);
        let all: BTreeSet<_> = self.named.iter().chain(known).cloned().collect();
        all.into_iter().take(2 * ADDRESSES_MAX).collect()
    }
}
