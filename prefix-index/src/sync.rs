//! The atomics that readers and the writer share, and the model checker's in their place.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(not(loom))]
pub(crate) use arc_swap::ArcSwap as Published;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub(crate) use checked::Published;

/// What the model checker knows nothing of, by means that it knows.
#[cfg(loom)]
mod checked {
    use std::sync::Arc;

    use loom::sync::Mutex;

    /// Stands for `arc_swap::ArcSwap`.
    #[derive(Debug)]
    pub(crate) struct Published<T>(Mutex<Arc<T>>);

    impl<T> Published<T> {
        pub(crate) fn new(first: Arc<T>) -> Self {
            Self(Mutex::new(first))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().expect("nobody panics with it"))
        }

        pub(crate) fn store(&self, next: Arc<T>) {
            *self.0.lock().expect("nobody panics with it") = next;
        }
    }
}
