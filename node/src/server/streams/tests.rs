//! When streams are left, in which order things are said, and what is never left.

use std::{io::IoSlice, net::SocketAddr, sync::Arc};

use convoy_proto::{
    base::{HeaderMap, HeaderValue},
    ext_proc::{
        HttpBody, HttpHeaders, ProcessingRequest, ProcessingResponse, processing_request::Request,
        processing_response::Response,
    },
};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::*;
use crate::{
    budget::Budget,
    command_line::ResponseObservation,
    config::{Overrides, Source, load},
    endpoints::{Endpoint, EndpointKey, InFlight, Member, PublishedView, View},
    extproc::{Behaviour, Service},
    health::{LifePhase, Readiness},
    http2::Limits,
    metrics::{PickMetrics, RequestMetrics, StreamMetrics},
    server::{
        Phase,
        bounds::{self, Bounds},
        thread::Shared,
    },
    watchdog::Heartbeat,
};

/// A gateway and the connection that serves it, on this thread alone and at a time of their own.
struct Gateway {
    http2: Connection,
    streams: Streams,
    readiness: Readiness,
    now: Instant,
}

const MORE: bool = false;
const END: bool = true;

impl Gateway {
    fn new() -> Self {
        let readiness = Readiness::default();
        readiness.set(LifePhase::Serving);
        let shared = Shared {
            service: Arc::new(service()),
            tls: None,
            limits: Limits::default(),
            readiness: readiness.clone(),
            serves_health: true,
            connection_age_max: None,
            phase: watch::channel(Phase::Serving).1,
            opened: Arc::default(),
        };
        let thread = Rc::new(Thread::new(shared, Heartbeat::default()));
        let (http2, streams) =
            (Connection::new(thread.limits(), &Budget::default()), Streams::new(thread));
        let mut gateway = Self { http2, streams, readiness, now: clock::now() };
        let greeting = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
        gateway.receive(greeting);
        gateway.hears();
        gateway
    }

    /// Opens a stream to `path`.
    fn opens(&mut self, stream: u32, path: &str) {
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        let mut head = Vec::new();
        for (name, value) in fields {
            head.push(0);
            for text in [name, value] {
                head.push(u8::try_from(text.len()).unwrap());
                head.extend_from_slice(text.as_bytes());
            }
        }
        self.receive(frame(1, 4, stream, &head));
    }

    /// Opens a stream of ext_proc, and says request headers with a body to come.
    fn begins(&mut self, stream: u32) {
        self.opens(stream, std::str::from_utf8(PROCESS).unwrap());
        self.says(stream, Request::RequestHeaders(headers(&[], MORE)));
    }

    /// Asks for a pick and hears it.
    fn asks(&mut self, stream: u32) {
        self.begins(stream);
        self.says(stream, Request::RequestBody(body(r#"{"model":"m","prompt":"a"}"#, END)));
        let heard = [format!("{stream} request headers"), format!("{stream} request body")];
        assert_eq!(self.hears(), heard);
    }

    /// Says the beginning of a response and hears its answer.
    fn passes(&mut self, stream: u32, kind: &str) {
        let kind = headers(&[("content-type", kind)], MORE);
        self.says(stream, Request::ResponseHeaders(kind));
        assert_eq!(self.hears(), [format!("{stream} response headers")]);
    }

    fn says(&mut self, stream: u32, request: Request) {
        let asked = ProcessingRequest { request: Some(request), ..ProcessingRequest::default() };
        self.message(stream, &asked.encode_to_vec());
    }

    fn message(&mut self, stream: u32, message: &[u8]) {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        self.receive(frame(0, 0, stream, &[&[0][..], &length, message].concat()));
    }

    fn receive(&mut self, bytes: Vec<u8>) {
        self.http2.receive(bytes.into(), self.now).unwrap();
        let until = clock::now() + Duration::from_hours(1);
        assert!(self.streams.answer_events(&mut self.http2, self.now, until));
    }

    fn is_left(&mut self) {
        self.streams.begin_leaving(&mut self.http2, self.now);
    }

    /// Lets time pass, with what is to be done in it.
    fn waits(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.streams.wake_at().filter(|at| *at <= until) {
            self.now = at;
            self.streams.on_time(&mut self.http2, at);
        }
        self.now = until;
    }

    /// What it was told since the last call, a line each.
    fn hears(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        while 0 < self.http2.output_bytes() {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = self.http2.output_slices(&mut slices);
            let before = bytes.len();
            slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
            self.http2.wrote(bytes.len() - before);
        }
        let (mut rest, mut lines) = (&bytes[..], Vec::new());
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let (payload, after) = after.split_at(length);
            rest = after;
            match (head[3], head[4] & 1) {
                (0, _) => lines.push(format!("{stream} {}", answer(&payload[5..]))),
                (1, 1) => lines.push(format!("{stream} ended with {}", status(payload))),
                (_, _) => {}
            }
        }
        lines
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn headers(fields: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
    let value = |&(key, value): &(&str, &str)| HeaderValue {
        key: key.to_owned(),
        raw_value: Bytes::copy_from_slice(value.as_bytes()),
        ..HeaderValue::default()
    };
    let headers = Some(HeaderMap { headers: fields.iter().map(value).collect() });
    HttpHeaders { headers, end_of_stream, ..HttpHeaders::default() }
}

fn body(text: &'static str, end_of_stream: bool) -> HttpBody {
    HttpBody { body: Bytes::from_static(text.as_bytes()), end_of_stream, ..HttpBody::default() }
}

/// Which answer `message` is; or the status that a health check is told.
fn answer(message: &[u8]) -> &'static str {
    if message.len() == 2 {
        return if message == [8, 1] { "SERVING" } else { "NOT_SERVING" };
    }
    match ProcessingResponse::decode(message).unwrap().response.unwrap() {
        Response::RequestHeaders(_) => "request headers",
        Response::RequestBody(_) => "request body",
        Response::RequestTrailers(_) => "request trailers",
        Response::ResponseHeaders(_) => "response headers",
        Response::ResponseBody(_) => "response body",
        Response::ResponseTrailers(_) => "response trailers",
        Response::ImmediateResponse(_) | Response::StreamedImmediateResponse(_) => "refusal",
    }
}

/// The `grpc-status` in a header block, whose fields are all literal.
fn status(block: &[u8]) -> &str {
    const NAME: &[u8] = b"grpc-status";
    let at = block.windows(NAME.len()).position(|window| window == NAME).unwrap();
    let value = &block[at + NAME.len()..];
    std::str::from_utf8(&value[1..=usize::from(value[0])]).unwrap()
}

/// What serves exchanges of one endpoint by the built-in configuration.
fn service() -> Service {
    let checked = load(&Source::BuiltIn, &Overrides::default()).unwrap();
    let mut registry = Registry::default();
    let view = PublishedView::new();
    let address = SocketAddr::from(([10, 0, 0, 1], 8000));
    let endpoint = Endpoint {
        key: EndpointKey { namespace: "default".into(), name: "pod".into(), address },
        address_text: address.to_string(),
        metrics_host: address.to_string(),
        labels: [].into(),
        incarnation: None,
        slot: 0,
        in_flight: InFlight::default(),
    };
    let member = Member { endpoint: Arc::new(endpoint), ready: true, sample: None };
    view.store(View { members: vec![member] }, true);
    Service {
        view,
        scheduler: checked.scheduler,
        prefixes: None,
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
            connections_max: 1,
            transit_bytes_max: 1 << 20,
            streams_max: 100,
            body_bytes_max: 1 << 20,
            bodies_bytes_max: 1 << 20,
        }),
        streams: StreamMetrics::register(&mut registry),
        picks: PickMetrics::register(&mut registry),
        requests: RequestMetrics::register(&mut registry),
    }
}

const EVENTS: &str = "text/event-stream";

#[test]
fn a_stream_that_waits_for_its_response_is_left_at_once() {
    let mut gateway = Gateway::new();
    gateway.asks(1);
    gateway.is_left();
    assert_eq!(gateway.hears(), ["1 ended with 0"]);
}

#[test]
fn a_request_is_given_back_whole_before_its_stream_is_left() {
    let mut gateway = Gateway::new();
    gateway.begins(1);
    gateway.says(1, Request::RequestBody(body(r#"{"model":"m","#, MORE)));
    gateway.is_left();
    gateway.waits(Duration::from_secs(5));
    assert_eq!(gateway.hears(), [""; 0]);
    gateway.says(1, Request::RequestBody(body(r#""prompt":"a"}"#, END)));
    assert_eq!(gateway.hears(), ["1 request headers", "1 request body", "1 ended with 0"]);
}

#[test]
fn a_response_that_passes_is_left_right_after_a_chunk_of_it_was_given_back() {
    let mut gateway = Gateway::new();
    gateway.asks(1);
    gateway.passes(1, EVENTS);
    gateway.is_left();
    gateway.waits(QUIET_AFTER / 2);
    assert_eq!(gateway.hears(), [""; 0], "a chunk may be on its way");
    gateway.says(1, Request::ResponseBody(body("data: 1\n\n", MORE)));
    assert_eq!(gateway.hears(), ["1 response body", "1 ended with 0"]);
}

#[test]
fn a_response_through_which_nothing_comes_is_left_after_a_second() {
    let mut gateway = Gateway::new();
    gateway.asks(1);
    gateway.passes(1, EVENTS);
    gateway.waits(Duration::from_millis(500));
    gateway.is_left();
    gateway.waits(Duration::from_millis(499));
    assert_eq!(gateway.hears(), [""; 0]);
    gateway.waits(LOOK_EVERY);
    assert_eq!(gateway.hears(), ["1 ended with 0"]);
}

#[test]
fn a_response_that_is_held_is_left_only_when_it_was_given_back() {
    let mut gateway = Gateway::new();
    gateway.asks(1);
    gateway.passes(1, "application/json");
    gateway.says(1, Request::ResponseBody(body("{", MORE)));
    gateway.is_left();
    gateway.waits(Duration::from_secs(30));
    assert_eq!(gateway.hears(), [""; 0], "what is held would be lost");
    gateway.says(1, Request::ResponseBody(body("}", END)));
    assert_eq!(gateway.hears(), ["1 response body", "1 ended with 0"]);
}

#[test]
fn a_stream_that_comes_while_others_are_left_is_served_and_then_left() {
    let mut gateway = Gateway::new();
    gateway.is_left();
    gateway.begins(1);
    gateway.says(1, Request::RequestBody(body(r#"{"model":"m","prompt":"a"}"#, END)));
    assert_eq!(gateway.hears(), ["1 request headers", "1 request body", "1 ended with 0"]);
}

#[test]
fn health_is_answered_while_streams_are_left() {
    let mut gateway = Gateway::new();
    gateway.opens(1, std::str::from_utf8(HEALTH_CHECK).unwrap());
    gateway.message(1, &[]);
    assert_eq!(gateway.hears(), ["1 SERVING", "1 ended with 0"]);
    gateway.readiness.set(LifePhase::Draining);
    gateway.opens(3, std::str::from_utf8(HEALTH_CHECK).unwrap());
    gateway.is_left();
    gateway.waits(Duration::from_secs(5));
    gateway.message(3, &[]);
    assert_eq!(gateway.hears(), ["3 NOT_SERVING", "3 ended with 0"]);
}
