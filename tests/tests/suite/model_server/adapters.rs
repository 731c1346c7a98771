//! Adapters that come and go.

use convoy_tests::model_server::{Settings, Statistics};
use http::Method;
use serde_json::{Value, json};

use super::{Running, endless, instant};

async fn models(running: &Running) -> Vec<String> {
    let whole = running.server.ask(Method::GET, "/v1/models", "").await.unwrap();
    let list: Value = serde_json::from_slice(&whole.body).unwrap();
    let cards = list["data"].as_array().unwrap().iter();
    cards.map(|card| card["id"].as_str().unwrap().to_owned()).collect()
}

async fn status(running: &Running, path: &str, body: Value) -> u16 {
    running.post(path, &body).await.status.as_u16()
}

#[tokio::test]
async fn an_adapter_can_be_used_from_its_loading_to_its_unloading() {
    let running = Running::start(instant()).await;
    let ask = json!({"model": "law", "prompt": "hi"});
    let adapter = json!({"lora_name": "law", "lora_path": "/adapters/law"});
    assert_eq!(status(&running, "/v1/completions", ask.clone()).await, 404);
    assert_eq!(status(&running, "/v1/load_lora_adapter", adapter.clone()).await, 200);
    assert_eq!(status(&running, "/v1/load_lora_adapter", adapter).await, 400);
    assert_eq!(models(&running).await, ["sim/llama", "law"]);
    let answer = running.post("/v1/completions", &ask).await;
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["model"], "law");
    let name = json!({"lora_name": "law"});
    assert_eq!(status(&running, "/v1/unload_lora_adapter", name.clone()).await, 200);
    assert_eq!(status(&running, "/v1/unload_lora_adapter", name).await, 404);
    assert_eq!(status(&running, "/v1/completions", ask).await, 404);
    assert_eq!(status(&running, "/v1/load_lora_adapter", json!({"lora_name": "x"})).await, 400);
}

#[tokio::test]
async fn the_page_tells_which_adapters_run_and_which_wait() {
    let mut settings = endless();
    settings.adapters = ["a", "b"].map(str::to_owned).to_vec();
    settings.engine.max_loras = 1;
    let running = Running::start(settings).await;
    let body = |model: &str| json!({"model": model, "prompt": "hi", "max_tokens": 100_000});
    let (first, second) = (body("a"), body("b"));
    let both = |now: &Statistics| (now.running, now.waiting) == (1, 1);
    tokio::select! {
        _ = async {
            tokio::join!(
                running.post("/v1/completions", &first),
                async {
                    running.until("the first to run", |now| now.running == 1).await;
                    running.post("/v1/completions", &second).await
                }
            )
        } => unreachable!("these answers are long"),
        statistics = running.until("the second to wait", both) => {
            assert_eq!(statistics.adapters_loaded, ["a"]);
        }
    }
    let page = running.server.metrics_page().await.unwrap();
    assert!(page.contains(
        "vllm:lora_requests_info{max_lora=\"1\",running_lora_adapters=\"a\",\
         waiting_lora_adapters=\"b\"} "
    ));
}

#[tokio::test]
async fn adapters_make_room_for_each_other() {
    let mut settings =
        Settings { adapters: ["a", "b", "c"].map(str::to_owned).into(), ..instant() };
    settings.engine.max_loras = 2;
    let running = Running::start(settings).await;
    for model in ["a", "b", "a", "c"] {
        running.complete(&json!({"model": model, "prompt": "hi"})).await;
    }
    let statistics = running.server.statistics().await.unwrap();
    assert_eq!(statistics.adapters_loaded, ["a", "c"]);
    assert_eq!(statistics.adapters_known, ["a", "b", "c"]);
}
