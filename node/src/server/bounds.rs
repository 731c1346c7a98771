//! Bounds on what connections and streams may hold, over the whole process.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use prometheus_client::registry::Registry;

use crate::budget::Budget;

/// What may be held. Holds: nothing is 0, and `body_bytes_max <= bodies_bytes_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connections_max: u32,
    /// Messages that came in part, and answers that gateways have not taken.
    pub transit_bytes_max: u64,
    pub streams_max: u32,
    pub body_bytes_max: u64,
    /// Bodies of all streams together.
    pub bodies_bytes_max: u64,
}

/// What is held, and what may be.
#[derive(Debug)]
pub struct Bounds {
    limits: Limits,
    connections: Arc<AtomicU32>,
    transit: Budget,
    streams: AtomicU32,
    bodies_bytes: AtomicU64,
}

/// What becomes of a stream that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Served,
    /// There are too many. It is counted all the same, and refused at its first message, to which
    /// the gateway hears an answer.
    Refused,
    /// So many wait to be refused that this one is not even counted.
    TurnedAway,
}

/// A connection's place among those that may be; dropping it makes room.
#[derive(Debug)]
pub struct Place(Arc<AtomicU32>);

impl Bounds {
    pub fn new(limits: Limits) -> Self {
        Self {
            transit: Budget::new(limits.transit_bytes_max),
            limits,
            connections: Arc::default(),
            streams: AtomicU32::new(0),
            bodies_bytes: AtomicU64::new(0),
        }
    }

    /// Shows what is held on the metrics page, as far as nobody else does.
    pub fn register(&self, registry: &mut Registry) {
        let help =
            "Bytes of messages that came in part, and of answers that gateways have not taken";
        self.transit.register(registry, "convoy_transit_bytes", help);
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Where connections count what is on its way through them.
    pub fn transit(&self) -> &Budget {
        &self.transit
    }

    /// A place for one more connection, if there is any.
    pub fn connect(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.connections));
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        (before < self.limits.connections_max).then_some(place)
    }

    /// Counts a stream in, unless it is turned away, until [`Self::stream_closed`].
    pub fn stream_opened(&self) -> Admission {
        let before = self.streams.fetch_add(1, Ordering::Relaxed);
        if before < self.limits.streams_max {
            Admission::Served
        } else if before < self.limits.streams_max.saturating_mul(2) {
            Admission::Refused
        } else {
            self.stream_closed();
            Admission::TurnedAway
        }
    }

    /// Streams that are open, those that wait to be refused among them.
    pub fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
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
        self.bodies_bytes.fetch_add(grown, Ordering::Relaxed) + grown
            <= self.limits.bodies_bytes_max
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds::new(Limits {
            connections_max: 2,
            transit_bytes_max: 1,
            streams_max: 1,
            body_bytes_max: 1,
            bodies_bytes_max: 1,
        })
    }

    #[test]
    fn a_place_that_was_refused_takes_none() {
        let bounds = bounds();
        let (first, second) = (bounds.connect(), bounds.connect());
        assert!(first.is_some() && second.is_some());
        assert!(bounds.connect().is_none() && bounds.connect().is_none());
        drop(first);
        assert!(bounds.connect().is_some());
    }

    #[test]
    fn as_many_streams_wait_to_be_refused_as_are_served() {
        let bounds = bounds();
        let opened = [(); 4].map(|()| bounds.stream_opened());
        let beyond = Admission::TurnedAway;
        assert_eq!(opened, [Admission::Served, Admission::Refused, beyond, beyond]);
        assert_eq!(bounds.streams(), 2);
        bounds.stream_closed();
        bounds.stream_closed();
        assert_eq!(bounds.stream_opened(), Admission::Served);
    }
}
