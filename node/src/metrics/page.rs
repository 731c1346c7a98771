//! The metrics page, over plain HTTP.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE,
    server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

use super::{PickMetrics, RequestMetrics};

/// What the page shows, encoded at each request.
#[derive(Clone, Debug)]
pub struct Page {
    registry: Arc<Registry>,
    picks: PickMetrics,
    requests: RequestMetrics,
}

/// How often what was begun to be counted by is taken in.
const TAKE_IN_EVERY: Duration = Duration::from_secs(1);

/// Scrapers at once at most. A cluster has a handful.
const CONNECTIONS_MAX: usize = 64;

impl Page {
    /// The page of `registry`, where `picks` and `requests` are registered.
    pub fn new(registry: Registry, picks: PickMetrics, requests: RequestMetrics) -> Self {
        Self { registry: Arc::new(registry), picks, requests }
    }

    /// Takes in what serving threads have begun to count by, lest it wait for a scraper.
    fn take_in(&self) {
        self.picks.take_in();
        self.requests.take_in();
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => {}
            (_, "/metrics") => return plain(StatusCode::METHOD_NOT_ALLOWED, "use GET"),
            _ => return plain(StatusCode::NOT_FOUND, "the metrics are at /metrics"),
        }
        // A page of many models is megabytes long, and this thread has other things to do.
        let encoded = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            encode(&mut text, &self.registry).map(|()| text)
        });
        let Ok(Ok(text)) = encoded.await else {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded");
        };
        let mut response = Response::new(Full::from(text));
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
        response
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Serves the page on `listener` until it is dropped.
pub async fn serve(listener: TcpListener, page: Page) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut taking_in = tokio::time::interval(TAKE_IN_EVERY);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            _ = taking_in.tick() => {
                page.take_in();
                continue;
            }
        };
        let Ok(place) = place else { return Ok(()) };
        let socket = match accepted {
            Ok((socket, _peer)) => socket,
            Err(error) => {
                // Out of file descriptors, most likely: others may come free.
                tracing::warn!(error = %error, "cannot accept a scraper");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let page = page.clone();
        connections.spawn(async move {
            let answer = service_fn(|request| {
                let page = page.clone();
                async move { Ok::<_, Infallible>(page.answer(request).await) }
            });
            // A scraper that goes away mid-page is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(socket), answer)
                .await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}
