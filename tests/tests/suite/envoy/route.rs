//! The whole route of a request: Envoy, pickers, and servers behind, all of them running.

use std::net::SocketAddr;
use std::time::Duration;

use convoy_tests::body::{Body, Step};
use convoy_tests::client::{ClientError, Connection, Protocol, Whole};
use convoy_tests::envoy::{Bootstrap, Endpoint, Envoy};
use convoy_tests::epp::{self, Epp, Launch};
use convoy_tests::scratch::Scratch;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::json;
use tokio::time::timeout;

use super::upstream::{Deed, Upstream};

/// How long an answer may take. It takes milliseconds; the rest is for a machine that has other
/// things to do.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Envoy, pickers and servers. What is dropped first is declared first.
pub(super) struct Route {
    pub(super) envoy: Envoy,
    pub(super) pickers: Vec<Epp>,
    pub(super) servers: Vec<Upstream>,
    flags: Vec<String>,
    started: usize,
    scratch: Scratch,
}

impl Route {
    /// Starts so many pickers with `flags`, and so many servers, behind one Envoy.
    pub(super) async fn start(
        bootstrap: Bootstrap,
        pickers: usize,
        servers: usize,
        flags: &[&str],
    ) -> Self {
        let scratch = Scratch::new("route").unwrap();
        let mut running = Vec::new();
        for _ in 0..servers {
            running.push(Upstream::start().await);
        }
        let addresses: Vec<_> = running.iter().map(Upstream::address).collect();
        epp::list_endpoints(scratch.path(), &addresses).unwrap();
        let envoy = Envoy::start(bootstrap).await.unwrap();
        let endpoints: Vec<_> = addresses.into_iter().map(Endpoint::healthy).collect();
        envoy.set_model_servers(&endpoints).await.unwrap();
        let mut route = Self {
            envoy,
            pickers: Vec::new(),
            servers: running,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            started: 0,
            scratch,
        };
        for _ in 0..pickers {
            let picker = route.start_picker().await;
            route.pickers.push(picker);
        }
        route.publish().await;
        route
    }

    /// One picker over TLS and two servers, as Istio has it by default.
    pub(super) async fn default() -> Self {
        Self::start(Bootstrap::default(), 1, 2, &[]).await
    }

    /// One more picker, which Envoy does not know yet.
    pub(super) async fn start_picker(&mut self) -> Epp {
        self.started += 1;
        let launch = Launch {
            name: format!("epp-{}", self.started),
            directory: self.scratch.path().to_owned(),
            flags: self.flags.clone(),
        };
        Epp::start(&launch).await.unwrap()
    }

    /// Makes the pickers that are here the ones that Envoy knows.
    pub(super) async fn publish(&self) {
        let addresses: Vec<_> = self.pickers.iter().map(|picker| picker.ports().extproc).collect();
        self.envoy.set_pickers(&addresses).await.unwrap();
    }

    /// Makes `servers` the endpoints that the pickers' file lists.
    pub(super) fn list(&self, servers: &[SocketAddr]) {
        epp::list_endpoints(self.scratch.path(), servers).unwrap();
    }

    /// Sends `request` on a connection of its own and reads the whole answer.
    pub(super) async fn send(
        &self,
        protocol: Protocol,
        request: Request<Body>,
    ) -> Result<Whole, ClientError> {
        let answer = async {
            let mut connection = Connection::open(self.envoy.address(), protocol).await?;
            connection.send(request).await?.whole().await
        };
        timeout(ANSWER_WITHIN, answer).await.expect("an answer in time")
    }
}

/// A completion request that asks for `deed`.
pub(super) fn completion(deed: Deed, body: Body) -> Request<Body> {
    Request::post("/v1/completions")
        .header("x-do", deed.header())
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

/// The body of a completion request with a prompt of about so many bytes, which is not all alike.
pub(super) fn prompt(bytes: usize) -> bytes::Bytes {
    let words = (0..).map(|number: u32| format!("word-{number} "));
    let mut left_bytes = bytes;
    let words: String = words
        .take_while(|word| {
            let goes_on = left_bytes != 0;
            left_bytes = left_bytes.saturating_sub(word.len());
            goes_on
        })
        .collect();
    json!({"model": "m", "prompt": words, "max_tokens": 8}).to_string().into()
}

/// The end of a body: one trailer.
pub(super) fn trailers() -> Step {
    let (name, value) = (HeaderName::from_static("x-checksum"), HeaderValue::from_static("1"));
    Step::Trailers(HeaderMap::from_iter([(name, value)]))
}
