//! Conversations with simulated model servers.

use std::path::Path;

use convoy_tests::model_server::ModelServers;
use convoy_tests::scratch::Scratch;
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_repeated_prompt_is_cached_up_to_its_last_full_block() {
    let binary = Path::new(env!("CARGO_BIN_EXE_model-server"));
    let logs = Scratch::new("model-server").unwrap();
    let flags = ["--listen", "127.0.0.1:0"];
    let servers = ModelServers::start(binary, flags, logs.path()).await.unwrap();
    let server = servers.servers()[0];
    let request = json!({"prompt": "a".repeat(400), "max_tokens": 2}).to_string();
    let mut cached = Vec::new();
    for _ in 0..2 {
        let answer = server.ask(Method::POST, "/v1/completions", request.clone()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["usage"]["prompt_tokens"], 100);
        cached.push(answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap());
    }
    assert_eq!(cached, [0, 96]);
    let statistics = server.statistics().await.unwrap();
    assert_eq!((statistics.requests, statistics.cached_tokens), (2, 96));
}
