//! A small HTTP server behind Envoy that does what a request tells it to, and says who it is.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use convoy_tests::body::{Body, Step};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One event of [`Deed::Events`].
pub(super) const EVENT: &str = "data: {\"choices\":[{\"text\":\"word \"}]}\n\n";

/// The time between two events.
pub(super) const GAP: Duration = Duration::from_millis(5);

/// The time between two events of [`Deed::Slow`]: what a busy model server takes for a token.
pub(super) const LONG_GAP: Duration = Duration::from_millis(50);

/// What a server is to do with a request; said in the header `x-do`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Give the request's body and trailers back.
    Echo,
    /// So many events, [`GAP`] apart.
    Events(usize),
    /// So many events, [`LONG_GAP`] apart.
    Slow(usize),
    /// Events until the client leaves.
    Endless,
    /// Two events, then a broken connection.
    Break,
}

impl Deed {
    /// The value of `x-do`.
    pub(super) fn header(self) -> HeaderValue {
        let text = match self {
            Self::Echo => "echo".to_owned(),
            Self::Events(count) => format!("events {count}"),
            Self::Slow(count) => format!("slow {count}"),
            Self::Endless => "endless".to_owned(),
            Self::Break => "break".to_owned(),
        };
        HeaderValue::try_from(text).unwrap()
    }

    fn read(request: &Request<Incoming>) -> Option<Self> {
        let text = request.headers().get("x-do")?.to_str().ok()?;
        Some(match text.split_once(' ') {
            Some(("events", count)) => Self::Events(count.parse().ok()?),
            Some(("slow", count)) => Self::Slow(count.parse().ok()?),
            None if text == "echo" => Self::Echo,
            None if text == "endless" => Self::Endless,
            None if text == "break" => Self::Break,
            _ => return None,
        })
    }
}

/// A running server; it ends when dropped.
pub(super) struct Upstream {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Listens on a free port. What brings no [`Deed`] gets a short text, and `/metrics` an idle
    /// model server's load.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                let service = service_fn(move |request| {
                    if Deed::read(&request).is_some() {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                    answer(address, request)
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client that leaves is an error here, and part of some tests.
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, requests, _tasks: tasks }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests with a [`Deed`] have reached it.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn answer(
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let event = |gap| [Step::Send(Bytes::from_static(EVENT.as_bytes())), Step::Rest(gap)];
    let every = |gap, count| (0..count).flat_map(move |_| event(gap));
    let events = |count| every(GAP, count);
    let (kind, body) = match Deed::read(&request) {
        Some(Deed::Echo) => ("application/octet-stream", echo(request.into_body()).await),
        Some(Deed::Events(count)) => ("text/event-stream", Body::script(events(count))),
        Some(Deed::Slow(count)) => ("text/event-stream", Body::script(every(LONG_GAP, count))),
        Some(Deed::Endless) => ("text/event-stream", Body::script(events(100_000))),
        Some(Deed::Break) => ("text/event-stream", Body::script(events(2).chain([Step::Break]))),
        None if request.uri().path() == "/metrics" => ("text/plain", Body::whole(METRICS)),
        None => ("text/plain", Body::whole("hello\n")),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    headers.insert("x-served-by", HeaderValue::from_str(&address.to_string()).unwrap());
    Ok(response)
}

/// Gives a whole body back, its trailers included. A body that was cut off breaks the answer too.
async fn echo(body: Incoming) -> Body {
    let Ok(collected) = body.collect().await else {
        return Body::script([Step::Break]);
    };
    let trailers = collected.trailers().cloned().unwrap_or_else(HeaderMap::new);
    let bytes = collected.to_bytes();
    if trailers.is_empty() {
        return Body::whole(bytes);
    }
    Body::script([Step::Send(bytes), Step::Trailers(trailers)])
}

const METRICS: &str = "\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name=\"m\"} 0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name=\"m\"} 0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{model_name=\"m\"} 0
";
