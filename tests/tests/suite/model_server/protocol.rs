//! HTTP: paths, methods, protocols, bounds, and clients that go away.

use bytes::Bytes;
use convoy_tests::body::Body;
use convoy_tests::client::{Connection, Protocol};
use convoy_tests::model_server::Settings;
use http::{Method, Request};
use serde_json::{Value, json};

use super::{Running, endless, instant};

fn post(path: &str, body: &Value) -> Request<Body> {
    let body = Body::whole(body.to_string());
    Request::builder().method(Method::POST).uri(path).body(body).unwrap()
}

#[tokio::test]
async fn one_port_speaks_both_versions_of_http() {
    let running = Running::start(instant()).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = Connection::open(running.server.address, protocol).await.unwrap();
        for _ in 0..2 {
            let request = post("/v1/completions", &json!({"prompt": "hi", "stream": true}));
            let whole = connection.send(request).await.unwrap().whole().await.unwrap();
            assert_eq!(whole.status, 200);
            assert!(whole.body.ends_with(b"data: [DONE]\n\n"));
        }
    }
}

#[tokio::test]
async fn errors_have_vllms_form_and_status() {
    let mut settings = Settings { body_bytes_max: 4000, ..instant() };
    settings.engine.sequence_tokens_max = 100;
    let running = Running::start(settings).await;
    let rows = [
        (Method::POST, "/v1/completions", "{", 400, "Bad Request"),
        (Method::POST, "/v1/completions", r#"{"prompt":[]}"#, 400, "BadRequestError"),
        (Method::POST, "/v1/chat/completions", r#"{"prompt":"a"}"#, 400, "Bad Request"),
        (Method::POST, "/v1/completions", r#"{"model":"x","prompt":"a"}"#, 404, "NotFoundError"),
        (Method::POST, "/v1/completions", r#"{"prompt":"a","max_tokens":100}"#, 400, "BadRequest"),
        (Method::GET, "/v1/completions", "", 405, "Method Not Allowed"),
        (Method::POST, "/v1/embeddings", "{}", 404, "Not Found"),
    ];
    for (method, path, body, status, kind) in rows {
        let whole = running.server.ask(method, path, body).await.unwrap();
        let error: Value = serde_json::from_slice(&whole.body).unwrap();
        let seen = (whole.status.as_u16(), error["error"]["code"].as_u64().unwrap());
        assert_eq!(seen, (status, u64::from(status)), "{path} {body}");
        assert!(error["error"]["type"].as_str().unwrap().starts_with(kind), "{path} {body}");
    }
    let large = running.server.ask(Method::POST, "/v1/completions", vec![b'a'; 4001]).await;
    assert_eq!(large.unwrap().status, 413);
    assert_eq!(running.server.statistics().await.unwrap().refused, 5);
}

#[tokio::test]
async fn what_a_router_and_an_operator_ask_for_is_answered() {
    let running = Running::start(instant()).await;
    for path in ["/health", "/ping", "/version", "/v1/models", "/metrics"] {
        let whole = running.server.ask(Method::GET, path, Bytes::new()).await.unwrap();
        assert_eq!(whole.status, 200, "{path}");
    }
    let models = running.server.ask(Method::GET, "/v1/models", Bytes::new()).await.unwrap();
    let models: Value = serde_json::from_slice(&models.body).unwrap();
    assert_eq!(models["data"][0]["id"], "sim/llama");
    assert_eq!(models["data"][0]["max_model_len"], 131_072);
}

#[tokio::test]
async fn a_request_id_comes_back_in_header_and_body() {
    let running = Running::start(instant()).await;
    let mut connection = Connection::open(running.server.address, Protocol::Http1).await.unwrap();
    let mut request = post("/v1/completions", &json!({"prompt": "hi"}));
    request.headers_mut().insert("x-request-id", "abc-1".parse().unwrap());
    let whole = connection.send(request).await.unwrap().whole().await.unwrap();
    assert_eq!(whole.header("x-request-id"), Some("abc-1"));
    let body: Value = serde_json::from_slice(&whole.body).unwrap();
    assert_eq!(body["id"], "cmpl-abc-1");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_request() {
    let running = Running::start(endless()).await;
    for (stream, protocol) in [
        (true, Protocol::Http1),
        (false, Protocol::Http1),
        (true, Protocol::Http2),
        (false, Protocol::Http2),
    ] {
        let before = running.server.statistics().await.unwrap().aborted;
        let mut connection = Connection::open(running.server.address, protocol).await.unwrap();
        let body = json!({"prompt": "hi", "max_tokens": 100_000, "stream": stream});
        let asked = connection.send(post("/v1/completions", &body));
        tokio::select! {
            answer = asked => assert!(stream, "{:?}", answer.unwrap()),
            _ = running.until("a request to run", |now| now.running == 1) => {}
        }
        drop(connection);
        let aborted = |now: &convoy_tests::model_server::Statistics| {
            (now.running, now.aborted) == (0, before + 1)
        };
        assert_eq!(running.until("its end", aborted).await.blocks_used, 0);
    }
}

#[tokio::test]
async fn more_requests_than_may_run_wait_and_are_counted() {
    let mut settings = endless();
    settings.engine.running_max = 2;
    let running = Running::start(settings).await;
    let mut connections = Vec::new();
    for _ in 0..5 {
        let address = running.server.address;
        let mut connection = Connection::open(address, Protocol::Http1).await.unwrap();
        let body = json!({"prompt": "hi", "max_tokens": 100_000, "stream": true});
        let answer = connection.send(post("/v1/completions", &body)).await.unwrap();
        connections.push((connection, answer));
    }
    let statistics = running.until("three to wait", |now| now.waiting == 3).await;
    assert_eq!((statistics.running, statistics.running_peak), (2, 2));
    let page = running.server.metrics_page().await.unwrap();
    let labels = "{engine=\"0\",model_name=\"sim/llama\"}";
    assert!(page.contains(&format!("vllm:num_requests_running{labels} 2.0\n")));
    assert!(page.contains(&format!("vllm:num_requests_waiting{labels} 3.0\n")));
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_to_be_accepted() {
    let running = Running::start(Settings { connections_max: 1, ..instant() }).await;
    let address = running.server.address;
    let mut first = Connection::open(address, Protocol::Http1).await.unwrap();
    let hi = || post("/v1/completions", &json!({"prompt": "hi"}));
    assert_eq!(first.send(hi()).await.unwrap().whole().await.unwrap().status, 200);
    let mut second = Connection::open(address, Protocol::Http1).await.unwrap();
    let mut late = std::pin::pin!(second.send(hi()));
    tokio::select! {
        biased;
        answer = &mut late => panic!("{answer:?}"),
        answer = first.send(hi()) => assert_eq!(answer.unwrap().status, 200),
    }
    drop(first);
    assert_eq!(late.await.unwrap().status, 200);
}

#[tokio::test]
async fn an_echo_tells_what_arrived() {
    let running = Running::start(instant()).await;
    let mut connection = Connection::open(running.server.address, Protocol::Http2).await.unwrap();
    let mut request = post("/control/echo", &json!({"a": 1}));
    request.headers_mut().insert("x-asked", "yes".parse().unwrap());
    let whole = connection.send(request).await.unwrap().whole().await.unwrap();
    let seen: Value = serde_json::from_slice(&whole.body).unwrap();
    assert_eq!((&seen["method"], &seen["body_bytes"]), (&json!("POST"), &json!(7)));
    assert!(seen["headers"].as_array().unwrap().contains(&json!(["x-asked", "yes"])));
}
