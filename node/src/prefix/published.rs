//! What the applier publishes: the index's reader, and where the index counts each endpoint.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use convoy_prefix_index::{EndpointSlot, IndexReader};

use crate::endpoints::Endpoint;

/// One index, and how to ask it about endpoints. Read whole, so that the two always fit.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) reader: IndexReader,
    /// By the endpoint's own slot; `None` until it has joined.
    pub(super) places: Vec<Option<Place>>,
}

/// Where the index counts an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) slot: EndpointSlot,
    /// Kept so that the endpoint's own slot is given to nobody else while this can be read, even if
    /// the applier that published it is gone.
    pub(super) _endpoint: Arc<Endpoint>,
}

/// The index's slots that nobody asks about any more.
///
/// A reader that found an endpoint's slot may use it until its pick is over. So a slot is free for
/// another endpoint when every publication that names it has been replaced and let go.
#[derive(Debug, Default)]
pub(super) struct Retired {
    named: VecDeque<(Weak<Published>, Vec<EndpointSlot>)>,
    free: BTreeSet<EndpointSlot>,
}

impl Retired {
    /// Publishes what no longer names the slots in `left`.
    pub(super) fn publish(
        &mut self,
        place: &ArcSwap<Published>,
        published: Published,
        left: Vec<EndpointSlot>,
    ) {
        let before = place.swap(Arc::new(published));
        self.named.push_back((Arc::downgrade(&before), left));
    }

    /// The slots that nobody names, in order. An index that is still clearing a slot up does not
    /// take it back, so they are told again until [`Retired::taken`].
    pub(super) fn free(&mut self) -> impl Iterator<Item = EndpointSlot> {
        // In order: an older publication may name what left after it was replaced.
        while self.named.front().is_some_and(|(published, _)| published.strong_count() == 0) {
            let left = self.named.pop_front().map(|(_, left)| left).unwrap_or_default();
            self.free.extend(left);
        }
        self.free.iter().copied()
    }

    /// The index gave `slot` to an endpoint.
    pub(super) fn taken(&mut self, slot: EndpointSlot) {
        self.free.remove(&slot);
    }
}
