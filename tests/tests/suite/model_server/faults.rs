//! Servers that fail on command.

use std::io;

use bytes::Bytes;
use convoy_tests::body::Body;
use convoy_tests::client::{Answer, ClientError, Connection, Protocol};
use convoy_tests::conversations::read_answer;
use convoy_tests::model_server::Command;
use convoy_tests::model_server::control::{Page, Scope};
use http::{Method, Request};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Running, endless, instant};

/// A stream that is under way, with its connection.
async fn stream(running: &Running, max_tokens: u32) -> (Connection, Answer) {
    let address = running.server.address;
    let mut connection = Connection::open(address, Protocol::Http1).await.unwrap();
    let body = json!({"prompt": "hi", "max_tokens": max_tokens, "stream": true}).to_string();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/completions")
        .body(Body::whole(body))
        .unwrap();
    let answer = connection.send(request).await.unwrap();
    (connection, answer)
}

/// Reads to the end, or to what ended it.
async fn drain(mut answer: Answer) -> (Bytes, Result<(), ClientError>) {
    let mut body = Vec::new();
    loop {
        match answer.next().await {
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) => return (body.into(), Ok(())),
            Err(error) => return (body.into(), Err(error)),
        }
    }
}

async fn status(running: &Running, path: &str) -> u16 {
    running.server.ask(Method::GET, path, "").await.unwrap().status.as_u16()
}

#[tokio::test]
async fn a_hung_server_answers_metrics_and_nothing_else() {
    let running = Running::start(instant()).await;
    running.server.command(&Command::Hang { scope: Scope::Inference }).await.unwrap();
    let hi = json!({"prompt": "hi"});
    tokio::select! {
        answer = running.post("/v1/completions", &hi) => panic!("{answer:?}"),
        () = async {
            running.until("the request", |now| 2 <= now.connections).await;
            assert_eq!(status(&running, "/metrics").await, 200);
            assert_eq!(status(&running, "/health").await, 200);
        } => {}
    }
    running.server.command(&Command::Hang { scope: Scope::All }).await.unwrap();
    tokio::select! {
        answer = running.server.metrics_page() => panic!("{answer:?}"),
        _ = running.until("the scrape", |now| 2 <= now.connections) => {}
    }
    running.server.command(&Command::Heal {}).await.unwrap();
    assert_eq!(running.post("/v1/completions", &hi).await.status, 200);
}

#[tokio::test]
async fn errors_come_as_often_as_they_were_ordered() {
    let running = Running::start(instant()).await;
    running.server.command(&Command::Error { status: 503, times: Some(2) }).await.unwrap();
    let hi = json!({"prompt": "hi"});
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(running.post("/v1/completions", &hi).await.status.as_u16());
    }
    assert_eq!(seen, [503, 503, 200]);
    assert_eq!(running.server.statistics().await.unwrap().refused, 2);
}

#[tokio::test]
async fn a_stream_is_reset_after_its_tokens() {
    let running = Running::start(instant()).await;
    for after_tokens in [0, 3] {
        let reset = Command::Reset { after_tokens, times: Some(1) };
        running.server.command(&reset).await.unwrap();
        let (_connection, answer) = stream(&running, 10).await;
        let (body, end) = drain(answer).await;
        end.unwrap_err();
        let text = read_answer(&body).map_or(0, |answer| answer.text.len());
        assert_eq!(text, after_tokens * 4);
    }
    let (_connection, answer) = stream(&running, 10).await;
    drain(answer).await.1.unwrap();
}

#[tokio::test]
async fn a_reset_is_one_on_the_wire() {
    let running = Running::start(instant()).await;
    running.server.command(&Command::Reset { after_tokens: 2, times: None }).await.unwrap();
    for stream in [true, false] {
        let body = json!({"prompt": "hi", "max_tokens": 9, "stream": stream}).to_string();
        let mut socket = TcpStream::connect(running.server.address).await.unwrap();
        let length = body.len();
        let head = format!(
            "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let error = socket.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn a_restart_cuts_everything_and_begins_with_nothing() {
    let running = Running::start(endless()).await;
    let prompt = json!({"prompt": "r".repeat(400), "max_tokens": 1});
    running.complete(&prompt).await;
    let started = |page: &str| {
        let line = page.lines().find(|line| line.starts_with("process_start_time_seconds "));
        line.unwrap().rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let before = started(&running.server.metrics_page().await.unwrap());
    let (_connection, mut answer) = stream(&running, 100_000).await;
    assert!(answer.next().await.unwrap().is_some());
    running.server.command(&Command::RestartEmpty {}).await.unwrap();
    drain(answer).await.1.unwrap_err();
    let statistics = running.server.statistics().await.unwrap();
    assert_eq!((statistics.life, statistics.requests, statistics.running), (1, 0, 0));
    assert_eq!((statistics.blocks_used, statistics.blocks_cached), (0, 0));
    assert!(before < started(&running.server.metrics_page().await.unwrap()));
    assert_eq!(running.complete(&prompt).await.usage.unwrap().cached, 0);
}

#[tokio::test]
async fn a_restart_closes_idle_connections_and_fails_who_waits_for_a_whole_answer() {
    let running = Running::start(endless()).await;
    let address = running.server.address;
    let mut idle = Connection::open(address, Protocol::Http1).await.unwrap();
    let get = || Request::builder().uri("/health").body(Body::empty()).unwrap();
    idle.send(get()).await.unwrap().whole().await.unwrap();
    let body = json!({"prompt": "hi", "max_tokens": 100_000}).to_string();
    let asked = running.server.ask(Method::POST, "/v1/completions", body);
    let (answer, ()) = tokio::join!(asked, async {
        running.until("a request to run", |now| now.running == 1).await;
        running.server.command(&Command::RestartEmpty {}).await.unwrap();
    });
    answer.unwrap_err();
    assert!(idle.send(get()).await.is_err());
}

#[tokio::test]
async fn a_draining_server_finishes_what_runs_and_takes_nothing_new() {
    let running = Running::start(endless()).await;
    let (_connection, mut answer) = stream(&running, 20).await;
    answer.next().await.unwrap();
    running.server.command(&Command::Drain { refuse: true }).await.unwrap();
    assert_eq!(status(&running, "/health").await, 503);
    assert_eq!(running.post("/v1/completions", &json!({"prompt": "hi"})).await.status, 503);
    let (body, end) = drain(answer).await;
    end.unwrap();
    assert!(body.ends_with(b"data: [DONE]\n\n"));
    running.server.command(&Command::Heal {}).await.unwrap();
    assert_eq!(status(&running, "/health").await, 200);
}

#[tokio::test]
async fn a_slowly_starting_server_says_so_to_everyone() {
    let running = Running::start(instant()).await;
    running.server.command(&Command::SlowStart { seconds: 3600.0 }).await.unwrap();
    for path in ["/health", "/metrics", "/v1/models"] {
        assert_eq!(status(&running, path).await, 503, "{path}");
    }
    assert_eq!(running.post("/v1/completions", &json!({"prompt": "hi"})).await.status, 503);
    running.server.command(&Command::SlowStart { seconds: 0.0 }).await.unwrap();
    assert_eq!(status(&running, "/health").await, 200);
}

#[tokio::test]
async fn a_metrics_page_can_be_anything() {
    let running = Running::start(instant()).await;
    let page = async |page: Page| {
        running.server.command(&Command::Metrics { page }).await.unwrap();
        running.server.ask(Method::GET, "/metrics", "").await
    };
    let whole = page(Page::Normal).await.unwrap();
    assert!((32 << 10..64 << 10).contains(&whole.body.len()));
    assert!(whole.header("content-type").unwrap().starts_with("text/plain; version="));
    assert!(page(Page::Broken).await.unwrap().body.starts_with(b"<html>"));
    assert!(!page(Page::Empty).await.unwrap().body.starts_with(b"vllm:"));
    assert_eq!(page(Page::Error).await.unwrap().status, 500);
    page(Page::Truncated).await.unwrap_err();
    let huge = page(Page::Huge).await.unwrap().body;
    assert!(64 << 20 <= huge.len(), "{}", huge.len());
    running.server.command(&Command::Metrics { page: Page::Hang }).await.unwrap();
    tokio::select! {
        answer = running.server.metrics_page() => panic!("{answer:?}"),
        _ = running.until("the scrape", |now| 2 <= now.connections) => {}
    }
}

#[tokio::test]
async fn a_command_that_makes_no_sense_is_refused_with_a_reason() {
    let running = Running::start(instant()).await;
    for (method, path, body, status) in [
        (Method::POST, "/control/explode", "", 400),
        (Method::POST, "/control/error", r#"{"sttus": 503}"#, 400),
        (Method::GET, "/control/heal", "", 405),
    ] {
        let whole = running.server.ask(method, path, body).await.unwrap();
        assert_eq!(whole.status, status, "{path}");
    }
}
