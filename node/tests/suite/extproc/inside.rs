//! The picker's inside without sockets and threads, on this thread alone: bytes from a gateway go
//! through HTTP/2 and an exchange, and bytes come back.

use std::{
    io::IoSlice,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use convoy_node::{
    budget::Budget,
    clock,
    command_line::ResponseObservation,
    config::{Overrides, Source, load},
    endpoints::{Endpoint, EndpointKey, InFlight, Member, PublishedView, View},
    extproc::{Behaviour, Desk, Exchange, Service},
    http2::{Connection, Event, Limits, StreamId},
    metrics::{PickMetrics, RequestMetrics, StreamMetrics},
    prefix,
    server::bounds::{self, Bounds},
};
use convoy_prefix_index::{HashParams, HashVersion};
use convoy_proto::ext_proc::{ProcessingRequest, ProcessingResponse};
use prometheus_client::registry::Registry;
use prost::Message as _;

use super::{messages::sorted, picker::ENDPOINT, raw::PROCESS};

/// How much a socket gives at once.
const READ_BYTES: usize = 64 << 10;

/// The longest frame that the picker takes.
const FRAME_BYTES: usize = 16_384;

/// What serves exchanges of one endpoint, by the built-in configuration. Nobody applies what its
/// index is told.
pub(super) fn desk() -> Desk {
    let checked = load(&Source::BuiltIn, &Overrides::default()).unwrap();
    let mut registry = Registry::default();
    let view = PublishedView::new();
    let settings = checked.prefix.unwrap();
    let params = HashParams::new([1; 16], settings.block_bytes(), HashVersion::V1).unwrap();
    let bounds = prefix::Bounds {
        memberships_max: 1 << 20,
        sightings_waiting_max: 100,
        sightings_bytes_max: 1 << 20,
    };
    let picks = PickMetrics::register(&mut registry);
    let told = (&mut registry, picks.clone());
    let applier = prefix::Arguments::new(params, settings, bounds, view.clone(), told);
    view.store(View { members: vec![member(ENDPOINT)] }, true);
    let service = Service {
        view,
        scheduler: checked.scheduler,
        prefixes: Some(applier.prefixes()),
        behaviour: Behaviour {
            load_age_max: Duration::from_secs(2),
            observation: ResponseObservation::Full,
            request_deadline: Duration::from_mins(1),
            heed_subset: true,
            emit_scores: false,
            tell_served: false,
        },
        parsers: checked.parsers,
        bounds: Bounds::new(bounds::Limits {
            body_bytes_max: 64 << 20,
            bodies_bytes_max: 64 << 20,
            streams_max: 100,
            connections_max: 1,
            transit_bytes_max: 64 << 20,
        }),
        streams: StreamMetrics::register(&mut registry),
        picks,
        requests: RequestMetrics::register(&mut registry),
    };
    Desk::new(Arc::new(service), fastrand::Rng::with_seed(1))
}

pub(super) fn member(address: &str) -> Member {
    let address: SocketAddr = address.parse().unwrap();
    let endpoint = Endpoint {
        key: EndpointKey { namespace: "default".into(), name: address.to_string(), address },
        address_text: address.to_string(),
        metrics_host: address.to_string(),
        labels: [].into(),
        incarnation: None,
        slot: 0,
        in_flight: InFlight::default(),
    };
    Member { endpoint: Arc::new(endpoint), ready: true, sample: None }
}

/// What a socket reads when a gateway says `messages` on one stream.
pub(super) fn reads(messages: &[ProcessingRequest]) -> Vec<Bytes> {
    let mut wire = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // The answers may be as long as they like: INITIAL_WINDOW_SIZE and the connection's window.
    frame(&mut wire, 4, 0, 0, &[&[0, 4][..], &i32::MAX.to_be_bytes()].concat());
    // The picker's own settings, which allow longer bodies than the protocol's, are acknowledged.
    frame(&mut wire, 4, 1, 0, &[]);
    frame(&mut wire, 8, 0, 0, &(i32::MAX - 65_535).to_be_bytes());
    let mut head = Vec::new();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PROCESS),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in fields {
        head.push(0);
        for text in [name, value] {
            head.push(u8::try_from(text.len()).unwrap());
            head.extend_from_slice(text.as_bytes());
        }
    }
    frame(&mut wire, 1, 4, 1, &head);
    for message in messages {
        let mut framed = vec![0];
        framed.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
        message.encode(&mut framed).unwrap();
        for data in framed.chunks(FRAME_BYTES) {
            frame(&mut wire, 0, 0, 1, data);
        }
    }
    wire.chunks(READ_BYTES).map(Bytes::copy_from_slice).collect()
}

fn frame(wire: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    wire.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    wire.extend_from_slice(&[kind, flags]);
    wire.extend_from_slice(&stream.to_be_bytes());
    wire.extend_from_slice(payload);
}

/// One connection and its one stream.
pub(super) struct Inside {
    desk: Desk,
    http2: Connection,
    exchange: Option<(StreamId, Exchange)>,
    now: Instant,
    /// What was written to the socket. There is room for it from the start.
    pub(super) written: Vec<u8>,
}

impl Inside {
    /// A connection that will write `bytes` at most.
    pub(super) fn with_room_for(bytes: usize) -> Self {
        Self {
            desk: desk(),
            http2: Connection::new(Limits::default(), &Budget::default()),
            exchange: None,
            now: clock::now(),
            written: Vec::with_capacity(bytes),
        }
    }

    /// Takes what was read, answers it, and writes the answers.
    pub(super) fn take(&mut self, read: Bytes) {
        self.http2.receive(read, self.now).unwrap();
        while let Some(event) = self.http2.poll_event() {
            match event {
                Event::Opened { stream, .. } => {
                    self.exchange = Some((stream, Exchange::open(&self.desk, self.now).unwrap()));
                }
                Event::Message { message, .. } => self.answer(message),
                Event::HalfClosed { .. }
                | Event::Refused { .. }
                | Event::Ended { .. }
                | Event::GoAway { .. } => {}
            }
        }
        self.write();
    }

    fn answer(&mut self, message: Bytes) {
        let (stream, exchange) = self.exchange.as_mut().unwrap();
        exchange.on_message(message, &mut self.desk, self.now).unwrap();
        for (head, body) in self.desk.outbox.messages() {
            self.http2.send_message(*stream, head, body, &[]).unwrap();
        }
        self.desk.outbox.clear();
    }

    fn write(&mut self) {
        while 0 < self.http2.output_bytes() {
            let mut slices = [IoSlice::new(&[]); 64];
            let filled = self.http2.output_slices(&mut slices);
            let mut count = 0;
            for slice in &slices[..filled] {
                self.written.extend_from_slice(slice);
                count += slice.len();
            }
            self.http2.wrote(count);
        }
    }

    /// The answers in what was written, their headers in order of name.
    pub(super) fn answers(&self) -> Vec<ProcessingResponse> {
        let (mut data, mut rest) = (Vec::new(), &self.written[..]);
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (payload, after) = after.split_at(length);
            if head[3] == 0 {
                data.extend_from_slice(payload);
            }
            rest = after;
        }
        let (mut answers, mut rest) = (Vec::new(), &data[..]);
        while let Some((prefix, after)) = rest.split_first_chunk::<5>() {
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
            let (message, after) = after.split_at(usize::try_from(length).unwrap());
            answers.push(sorted(ProcessingResponse::decode(message).unwrap()));
            rest = after;
        }
        answers
    }
}
