//! Prompts are written nowhere: no log line and no metric has a word of them.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use convoy_node::{
    clock,
    command_line::ResponseObservation,
    config::{Overrides, Source, load},
    endpoints::{Endpoint, EndpointKey, InFlight, Member, PublishedView, View},
    extproc::{Behaviour, Desk, Exchange, Service},
    metrics::{PickMetrics, RequestMetrics, StreamEnd, StreamMetrics},
    prefix::{Arguments, Bounds},
    server::bounds,
    supervision::{self, Policy, Supervisor},
};
use convoy_prefix_index::{HashParams, HashVersion};
use convoy_proto::{
    base::{HeaderMap, HeaderValue},
    ext_proc::{HttpBody, HttpHeaders, ProcessingRequest, processing_request::Request},
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use prost::Message as _;
use ractor::Actor;

/// In every prompt, in every form, and nowhere else.
const SECRET: &str = "xyzzy";

/// Everything that is logged on this thread, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn view(endpoints: u8) -> View {
    let member = |number: u8| {
        let address = std::net::SocketAddr::from(([10, 0, 0, number], 8000));
        let endpoint = Endpoint {
            key: EndpointKey {
                namespace: "default".into(),
                name: format!("pod-{number}"),
                address,
            },
            address_text: address.to_string(),
            metrics_host: address.to_string(),
            labels: [].into(),
            incarnation: None,
            slot: number.into(),
            in_flight: InFlight::default(),
        };
        Member { endpoint: Arc::new(endpoint), ready: true, sample: None }
    };
    View { members: (0..endpoints).map(member).collect() }
}

struct World {
    view: PublishedView,
    registry: Registry,
    desk: Desk,
}

/// A picker with the built-in configuration, and the child that applies its sightings. An index
/// this small refuses and evicts.
fn world() -> (World, supervision::ChildSpec) {
    let mut registry = Registry::default();
    let checked = load(&Source::Text(String::new()), &Overrides::default()).unwrap();
    let (view, settings) = (PublishedView::new(), checked.prefix.unwrap());
    let bounds =
        Bounds { memberships_max: 8, sightings_waiting_max: 4, sightings_bytes_max: 1 << 16 };
    let params = HashParams::new([1; 16], settings.block_bytes(), HashVersion::V1).unwrap();
    let picks = PickMetrics::register(&mut registry);
    let told = (&mut registry, picks.clone());
    let applier = Arguments::new(params, settings, bounds, view.clone(), told);
    let most = bounds::Limits {
        body_bytes_max: 20_000,
        bodies_bytes_max: 1 << 20,
        streams_max: 100,
        connections_max: 1,
        transit_bytes_max: 1 << 20,
    };
    let service = Service {
        view: view.clone(),
        scheduler: checked.scheduler,
        prefixes: Some(applier.prefixes()),
        behaviour: Behaviour {
            load_age_max: Duration::from_secs(2),
            observation: ResponseObservation::Full,
            request_deadline: Duration::from_secs(10),
            heed_subset: true,
            emit_scores: true,
            tell_served: true,
        },
        parsers: checked.parsers,
        bounds: bounds::Bounds::new(most),
        streams: StreamMetrics::register(&mut registry),
        picks,
        requests: RequestMetrics::register(&mut registry),
    };
    let desk = Desk::new(Arc::new(service), fastrand::Rng::with_seed(1));
    (World { view, registry, desk }, applier.child(Policy::ESSENTIAL))
}

fn headers(rows: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
    let row = |&(key, value): &(&str, &str)| HeaderValue {
        key: key.into(),
        raw_value: Bytes::copy_from_slice(value.as_bytes()),
        ..HeaderValue::default()
    };
    let headers = HeaderMap { headers: rows.iter().map(row).collect() };
    HttpHeaders { headers: Some(headers), end_of_stream, ..HttpHeaders::default() }
}

fn body(text: &str, end_of_stream: bool) -> HttpBody {
    HttpBody { body: Bytes::copy_from_slice(text.as_bytes()), end_of_stream, ..HttpBody::default() }
}

/// One stream: a request with this body, and an answer with this one. Answers with how it ended and
/// with what the picker said.
fn exchange(desk: &mut Desk, path: &str, asked: &str, answered: &str) -> String {
    let request = [(":path", path), (":method", "POST"), ("x-request-id", "one")];
    let response = [(":status", "200"), ("content-type", "application/json")];
    let (first, rest) = asked.split_at(asked.len() / 2);
    let parts = [
        Request::RequestHeaders(headers(&request, false)),
        Request::RequestBody(body(first, false)),
        Request::RequestBody(body(rest, true)),
        Request::ResponseHeaders(headers(&response, false)),
        Request::ResponseBody(body(answered, true)),
    ];
    let now = clock::now();
    let (mut exchange, mut said, mut end) =
        (Exchange::open(desk, now).unwrap(), String::new(), StreamEnd::Ok);
    for part in parts {
        let message = ProcessingRequest { request: Some(part), ..ProcessingRequest::default() };
        let flow = exchange.on_message(message.encode_to_vec().into(), desk, now);
        for (head, _) in desk.outbox.messages() {
            said.push_str(&String::from_utf8_lossy(head));
        }
        desk.outbox.clear();
        match flow {
            Ok(convoy_node::extproc::Flow::Open) => {}
            Ok(convoy_node::extproc::Flow::Finished) => break,
            Err(fault) => {
                tracing::debug!(%fault, ?fault, "stream closed");
                said.push_str(&fault.to_string());
                end = StreamEnd::Invalid;
                break;
            }
        }
    }
    exchange.close(end, desk, now);
    said
}

/// A text of several blocks with the secret in each.
fn text() -> String {
    SECRET.repeat(400)
}

fn picked() -> Vec<(&'static str, String)> {
    let (text, chat) = (text(), "/v1/chat/completions");
    let salted = format!(
        r#"{{"model":"m","cache_salt":"{SECRET}","messages":[{{"role":"user","content":[
        {{"type":"text","text":"{text}"}},
        {{"type":"image_url","image_url":{{"url":"https://host/{SECRET}.png"}}}}]}}]}}"#
    );
    let tools = format!(
        r#"{{"model":"m","tools":[{{"name":"{SECRET}"}}],"messages":[{{"role":"user","content":"{text}"}}]}}"#
    );
    vec![
        ("/v1/completions", format!(r#"{{"model":"m","prompt":"{text}"}}"#)),
        ("/v1/completions", format!(r#"{{"model":"m","prompt":["{text}","other {text}"]}}"#)),
        (chat, salted),
        (chat, tools),
    ]
}

/// Bodies that are wrong; some are picked for all the same.
fn wrong() -> Vec<(&'static str, String)> {
    let (text, completions) = (text(), "/v1/completions");
    let long = text.repeat(20);
    [
        format!(r#"{{"model":"m","prompt":"{text}" {SECRET}"#),
        format!(r#"{{"model":"m","prompt":"{text}\{SECRET}"}}"#),
        format!(r#"{{"model":"m","prompt":{SECRET}}}"#),
        format!(r#"{{"model":"m","prompt":{{"{SECRET}":"{text}"}}}}"#),
        format!(r#"{{"model":"m","prompt":["{text}",{{"{SECRET}":1}}]}}"#),
        format!(r#"{{"model":{{"{SECRET}":1}},"prompt":"{text}"}}"#),
        format!(r#"{{"prompt":"{text}"}}"#),
        format!(r#"{{"model":"m","stream":"{SECRET}","prompt":"{text}"}}"#),
        format!(r#"{{"model":"m","messages":"{text}"}}"#),
        format!(r#"{{"model":"m","prompt":"{long}"}}"#),
        text.clone(),
    ]
    .into_iter()
    .map(|body| (completions, body))
    .chain([("/not/claimed", format!(r#"{{"prompt":"{text}"}}"#))])
    .collect()
}

/// Messages that no gateway sends.
fn nonsense(desk: &mut Desk) {
    let out_of_order = ProcessingRequest {
        request: Some(Request::RequestBody(body(&text(), true))),
        ..ProcessingRequest::default()
    };
    let messages = [
        Bytes::from(out_of_order.encode_to_vec()),
        Bytes::from(text()),
        Bytes::from(format!("\u{12}\u{7f}{SECRET}")),
    ];
    for message in messages {
        let mut exchange = Exchange::open(desk, clock::now()).unwrap();
        if let Err(fault) = exchange.on_message(message, desk, clock::now()) {
            tracing::debug!(%fault, ?fault, "stream closed");
        }
        desk.outbox.clear();
        exchange.close(StreamEnd::Invalid, desk, clock::now());
    }
}

/// Lets the applier work.
async fn apply() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_log_line_and_no_metric_has_a_word_of_a_prompt() {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || written.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let (World { view: published, registry, mut desk }, applier) = world();
    let metrics = supervision::Metrics::default();
    let arguments = supervision::Arguments { children: vec![applier], metrics };
    Actor::spawn(None, Supervisor, arguments).await.unwrap();

    // An empty pool refuses; an endpoint is sent more than the index can hold; others join and
    // leave; then none is left.
    let answer = format!(r#"{{"choices":[{{"text":"{}"}}],"usage":{{}}}}"#, text());
    let mut outcomes = Vec::new();
    for endpoints in [0, 1, 3, 1, 0] {
        published.store(view(endpoints), true);
        for (path, asked) in picked().into_iter().chain(wrong()) {
            outcomes.push(exchange(&mut desk, path, &asked, &answer));
            outcomes.push(exchange(&mut desk, path, &asked, &answer));
        }
        nonsense(&mut desk);
        apply().await;
    }

    let was = |text: &str| outcomes.iter().filter(|said| said.contains(text)).count();
    assert!(3 * 2 * picked().len() <= was("10.0.0."), "{outcomes:?}");
    assert!(0 < was("BadRequest") && 0 < was("PayloadTooLarge") && 0 < was("ServiceUnavailable"));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(lines.contains("request refused") && lines.contains("stream closed"), "{lines}");
    assert!(page.contains("convoy_index_commands_applied_total"), "{page}");
    for line in lines.lines().chain(page.lines()) {
        assert!(!line.contains(SECRET), "{line}");
    }
}
