//! The view as it is handed out: swapped whole by its one writer, read by every pick.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache, Guard};
use tokio::sync::watch;

use super::view::View;

/// Where the current view is read. Clones read the same view; reading waits for nobody.
#[derive(Clone, Debug)]
pub struct PublishedView {
    view: Arc<ArcSwap<View>>,
    /// Counts changes of who is in the view, how they are described, and whether they are ready;
    /// loads do not count.
    membership: watch::Sender<u64>,
}

impl PublishedView {
    /// Begins with an empty pool.
    pub fn new() -> Self {
        Self { view: Arc::default(), membership: watch::Sender::new(0) }
    }

    /// The current view. Hold the guard for the length of one pick, not longer.
    pub fn load(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// The current view, to keep.
    pub fn load_full(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// A reader for one thread that looks again and again: cheaper than [`Self::load`].
    pub fn cached(&self) -> Cache<Arc<ArcSwap<View>>, Arc<View>> {
        Cache::new(Arc::clone(&self.view))
    }

    /// Tells when endpoints join, leave or change otherwise than in load: wait for a change, then
    /// compare the view with what was known before, as [`super::Roster`] does. Nothing queues up
    /// while nobody looks.
    pub fn membership(&self) -> watch::Receiver<u64> {
        self.membership.subscribe()
    }

    /// Swaps the view; for its one writer. `members_changed` says that more than loads changed.
    pub fn store(&self, view: View, members_changed: bool) {
        self.view.store(Arc::new(view));
        if members_changed {
            self.membership.send_modify(|changes| *changes = changes.wrapping_add(1));
        }
    }
}

impl Default for PublishedView {
    fn default() -> Self {
        Self::new()
    }
}
