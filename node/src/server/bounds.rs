//! Bounds on what streams may hold, over the whole process.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::command_line::BodyBounds;

/// What is in use and what may be.
#[derive(Debug)]
pub struct Bounds {
    body_bytes_max: u64,
    bodies_bytes_max: u64,
    streams_max: u32,
    bodies_bytes: AtomicU64,
    streams: AtomicU32,
}

impl Bounds {
    pub fn new(most: &BodyBounds) -> Self {
        Self {
            body_bytes_max: most.body_bytes_max,
            bodies_bytes_max: most.bodies_bytes_max,
            streams_max: most.streams_max,
            bodies_bytes: AtomicU64::new(0),
            streams: AtomicU32::new(0),
        }
    }

    pub fn body_bytes_max(&self) -> u64 {
        self.body_bytes_max
    }

    pub fn bodies_bytes_max(&self) -> u64 {
        self.bodies_bytes_max
    }

    pub fn streams_max(&self) -> u32 {
        self.streams_max
    }

    /// Bytes of bodies held now.
    pub fn bodies_bytes(&self) -> u64 {
        self.bodies_bytes.load(Ordering::Relaxed)
    }

    /// Streams open now.
    pub fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }

    /// Counts a stream in; false if there are too many, and then it is counted all the same until
    /// [`Self::stream_closed`], so that refused streams are bounded by the transport, not hidden.
    pub fn stream_opened(&self) -> bool {
        self.streams.fetch_add(1, Ordering::Relaxed) < self.streams_max
    }

    pub fn stream_closed(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Changes what one stream holds from `before` to `after` bytes; false if all streams together
    /// now hold too much.
    pub fn held(&self, before: usize, after: usize) -> bool {
        if after < before {
            self.bodies_bytes.fetch_sub((before - after) as u64, Ordering::Relaxed);
            return true;
        }
        let grown = (after - before) as u64;
        self.bodies_bytes.fetch_add(grown, Ordering::Relaxed) + grown <= self.bodies_bytes_max
    }
}
