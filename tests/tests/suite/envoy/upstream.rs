//! A small HTTP server behind Envoy that does what a path tells it to, and says who it is.

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

/// One event of `/events`.
pub(super) const EVENT: &str = "data: {\"choices\":[{\"text\":\"word \"}]}\n\n";

/// A running server; it ends when dropped.
pub(super) struct Upstream {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Listens on a free port. It knows:
    /// - `/echo`: the request's body and trailers, as the answer's;
    /// - `/events`: twenty events, 5 ms apart;
    /// - `/endless`: events until the client leaves;
    /// - `/reset`: two events, then a broken connection;
    /// - `/metrics`: an idle model server's load;
    /// - anything else: a short text.
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
                    counter.fetch_add(1, Ordering::Relaxed);
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

    /// How many requests have reached it.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn answer(
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let gap = Duration::from_millis(5);
    let event = || [Step::Send(Bytes::from_static(EVENT.as_bytes())), Step::Rest(gap)];
    let events = |count| (0..count).flat_map(move |_| event());
    let (kind, body) = match request.uri().path() {
        "/echo" => ("application/octet-stream", echo(request.into_body()).await),
        "/events" => ("text/event-stream", Body::script(events(20))),
        "/endless" => ("text/event-stream", Body::script(events(100_000))),
        "/reset" => ("text/event-stream", Body::script(events(2).chain([Step::Break]))),
        "/metrics" => ("text/plain", Body::whole(METRICS)),
        _ => ("text/plain", Body::whole("hello\n")),
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
