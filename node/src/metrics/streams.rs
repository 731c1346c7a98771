//! What is counted of ext_proc streams and of the bounds on them.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{buckets, histogram::Histogram};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BoundLabels {
    bound: &'static str,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// Everything that was asked was answered.
    Ok,
    /// The gateway went away, or reset the stream.
    Cancelled,
    /// What came was out of order or not understood.
    Invalid,
    /// A bound was reached or a message was too long.
    Refused,
}

/// Which bound refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// One request's body.
    BodyBytes,
    /// Bodies of all streams together.
    BodiesBytes,
    Streams,
    /// A request was not whole in time.
    Deadline,
    Connections,
    /// Streams of one connection.
    ConnectionStreams,
    /// One message.
    MessageBytes,
    /// Messages that came in part.
    ArrivingBytes,
    /// Answers that the gateway does not take.
    WaitingBytes,
    /// The headers of one call.
    HeaderBytes,
    /// Frames that move nothing, and resets.
    Frames,
}

impl Bound {
    const ALL: [Self; 11] = [
        Self::BodyBytes,
        Self::BodiesBytes,
        Self::Streams,
        Self::Deadline,
        Self::Connections,
        Self::ConnectionStreams,
        Self::MessageBytes,
        Self::ArrivingBytes,
        Self::WaitingBytes,
        Self::HeaderBytes,
        Self::Frames,
    ];

    fn labels(self) -> BoundLabels {
        let bound = match self {
            Self::BodyBytes => "body_bytes",
            Self::BodiesBytes => "bodies_bytes",
            Self::Streams => "streams",
            Self::Deadline => "deadline",
            Self::Connections => "connections",
            Self::ConnectionStreams => "connection_streams",
            Self::MessageBytes => "message_bytes",
            Self::ArrivingBytes => "arriving_bytes",
            Self::WaitingBytes => "waiting_bytes",
            Self::HeaderBytes => "header_bytes",
            Self::Frames => "frames",
        };
        BoundLabels { bound }
    }
}

/// Every metric of streams. Cloned handles count together.
#[derive(Clone, Debug)]
pub struct StreamMetrics {
    ok: Counter,
    cancelled: Counter,
    invalid: Counter,
    refused: Counter,
    /// In the order of [`Bound::ALL`].
    by_bound: [Counter; Bound::ALL.len()],
    open: Gauge,
    duration: Histogram,
    held_bytes: Gauge,
    connections: Gauge,
    failed_handshakes: Counter,
}

impl StreamMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let ends: Family<CodeLabels, Counter> = Family::default();
        let end = |code| ends.get_or_create_owned(&CodeLabels { code });
        let refused: Family<BoundLabels, Counter> = Family::default();
        let metrics = Self {
            ok: end("OK"),
            cancelled: end("Canceled"),
            invalid: end("InvalidArgument"),
            refused: end("ResourceExhausted"),
            // A count that is not there cannot be seen to grow.
            by_bound: Bound::ALL.map(|bound| refused.get_or_create_owned(&bound.labels())),
            open: Gauge::default(),
            duration: buckets::stream(),
            held_bytes: Gauge::default(),
            connections: Gauge::default(),
            failed_handshakes: Counter::default(),
        };
        let help = "ext_proc streams that ended, by code";
        registry.register("llm_d_epp_extproc_streams", help, ends);
        let help = "ext_proc streams in flight";
        registry.register("llm_d_epp_extproc_streams_inflight", help, metrics.open.clone());
        let help = "Time an ext_proc stream stays open, in seconds";
        let name = "llm_d_epp_extproc_stream_duration_seconds";
        registry.register(name, help, metrics.duration.clone());
        let help = "What was refused because a bound was reached, by bound";
        registry.register("convoy_refused", help, refused);
        let help = "Bytes of request and response bodies held";
        registry.register("convoy_bodies_held_bytes", help, metrics.held_bytes.clone());
        let help = "Connections from gateways";
        registry.register("convoy_connections", help, metrics.connections.clone());
        let help = "TLS handshakes that failed";
        registry.register("convoy_failed_handshakes", help, metrics.failed_handshakes.clone());
        metrics
    }

    pub fn opened(&self) {
        self.open.inc();
    }

    /// Notes how a stream ended that was open for `duration`.
    pub fn ended(&self, end: StreamEnd, duration: Duration) {
        self.open.dec();
        self.duration.observe(duration.as_secs_f64(), 1);
        match end {
            StreamEnd::Ok => self.ok.inc(),
            StreamEnd::Cancelled => self.cancelled.inc(),
            StreamEnd::Invalid => self.invalid.inc(),
            StreamEnd::Refused => self.refused.inc(),
        };
    }

    pub fn refused_by(&self, bound: Bound) {
        let mut counters = Bound::ALL.iter().zip(&self.by_bound);
        if let Some((_, counter)) = counters.find(|(of, _)| **of == bound) {
            counter.inc();
        }
    }

    pub fn held(&self, before: usize, after: usize) {
        if before < after {
            self.held_bytes.inc_by(i64::try_from(after - before).unwrap_or(i64::MAX));
        } else if after < before {
            self.held_bytes.dec_by(i64::try_from(before - after).unwrap_or(i64::MAX));
        }
    }

    pub fn connected(&self) {
        self.connections.inc();
    }

    pub fn disconnected(&self) {
        self.connections.dec();
    }

    pub fn handshake_failed(&self) {
        self.failed_handshakes.inc();
    }
}
