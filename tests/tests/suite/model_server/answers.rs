//! What is answered, and what it cost.

use std::time::Duration;

use convoy_tests::conversations::Usage;
use convoy_tests::model_server::{BODY_DIGEST, SERVED_BY, Settings, body_digest};
use serde_json::{Value, json};

use super::{Running, instant};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

#[tokio::test]
async fn each_form_of_a_prompt_gets_its_answers() {
    let running = Running::start(instant()).await;
    let rows = [
        (json!("abcdefgh"), 1, 2),
        (json!(["abcdefgh", "abcd", "x"]), 3, 4),
        (json!([5, 6, 7]), 1, 3),
        (json!([[5, 6, 7], [8]]), 2, 4),
    ];
    for (prompt, choices, prompt_tokens) in rows {
        let body = json!({"prompt": prompt, "max_tokens": 3});
        let whole = running.post(COMPLETIONS, &body).await;
        let answer: Value = serde_json::from_slice(&whole.body).unwrap();
        assert_eq!(answer["choices"].as_array().unwrap().len(), choices);
        assert_eq!(answer["usage"]["prompt_tokens"], prompt_tokens);
        assert_eq!(answer["usage"]["completion_tokens"], choices * 3);
        let last = answer["choices"].as_array().unwrap().last().unwrap();
        assert_eq!(last["index"], choices - 1);
        assert_eq!(last["text"].as_str().unwrap().len(), 12);
        assert_eq!(last["finish_reason"], "length");
    }
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let running = Running::start(instant()).await;
    let messages = json!([{"role": "user", "content": "hello there"}]);
    for (path, field, value) in [(CHAT, "messages", messages), (COMPLETIONS, "prompt", json!("hi"))]
    {
        let mut body = json!({ field: value, "max_tokens": 40 });
        let whole = running.answer(path, &body).await;
        body["stream"] = json!(true);
        let silent = running.answer(path, &body).await;
        assert_eq!((silent.usage, silent.is_complete), (None, true));
        body["stream_options"] = json!({"include_usage": true});
        let streamed = running.answer(path, &body).await;
        assert_eq!(whole.text.len(), 160);
        assert_eq!((&streamed.text, &silent.text), (&whole.text, &whole.text));
        assert_eq!(streamed.finish_reason.as_deref(), Some("length"));
        let (usage, whole) = (streamed.usage.unwrap(), whole.usage.unwrap());
        assert_eq!((usage.prompt, usage.completion), (whole.prompt, whole.completion));
    }
}

#[tokio::test]
async fn a_stream_has_an_event_for_each_token_with_vllms_fields() {
    let running = Running::start(instant()).await;
    let messages = json!([{"role": "user", "content": "hello"}]);
    let body = json!({"messages": messages, "max_tokens": 3, "stream": true, "model": "sim/llama"});
    let whole = running.post(CHAT, &body).await;
    assert_eq!(whole.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let text = std::str::from_utf8(&whole.body).unwrap();
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 5);
    assert_eq!(events[4], "data: [DONE]");
    let event = |index: usize| -> Value {
        serde_json::from_str(events[index].strip_prefix("data: ").unwrap()).unwrap()
    };
    assert_eq!(event(0)["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(event(1)["object"], "chat.completion.chunk");
    assert_eq!(event(1)["model"], "sim/llama");
    assert!(event(1)["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(event(2)["choices"][0]["finish_reason"], Value::Null);
    assert_eq!(event(3)["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_stream_tells_its_usage_all_along_if_asked_to() {
    let running = Running::start(instant()).await;
    let options = json!({"include_usage": true, "continuous_usage_stats": true});
    let body =
        json!({"prompt": "abcdefgh", "max_tokens": 3, "stream": true, "stream_options": options});
    let whole = running.post(COMPLETIONS, &body).await;
    let text = std::str::from_utf8(&whole.body).unwrap();
    let usages: Vec<_> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .map(|event| event["usage"].clone())
        .collect();
    let tokens = |usage: &Value| usage["completion_tokens"].as_u64().unwrap();
    assert_eq!(usages.iter().map(tokens).collect::<Vec<_>>(), [1, 2, 3, 3]);
    assert_eq!(usages[0], json!({"prompt_tokens": 2, "total_tokens": 3, "completion_tokens": 1}));
    assert_eq!(usages[3]["prompt_tokens_details"], json!({"cached_tokens": 0}));
}

#[tokio::test]
async fn several_choices_share_one_prompt() {
    let running = Running::start(instant()).await;
    let body = json!({"prompt": ["a".repeat(400), "b".repeat(400)], "n": 3, "max_tokens": 2});
    let whole = running.post(COMPLETIONS, &body).await;
    let answer: Value = serde_json::from_slice(&whole.body).unwrap();
    assert_eq!(answer["choices"].as_array().unwrap().len(), 6);
    assert_eq!(answer["usage"]["prompt_tokens"], 200);
    assert_eq!(answer["usage"]["completion_tokens"], 12);
    let statistics = running.server.statistics().await.unwrap();
    assert_eq!((statistics.requests, statistics.sequences, statistics.finished), (1, 6, 6));
    // The second and the third of each prompt find all but the last block.
    assert_eq!(statistics.cached_tokens, 4 * 96);
}

#[tokio::test]
async fn a_prompt_seen_before_is_cached_up_to_its_last_token() {
    let running = Running::start(instant()).await;
    let cached = async |text: &str| {
        let body = json!({"prompt": text, "max_tokens": 1});
        running.complete(&body).await.usage.unwrap().cached
    };
    let long = "abcd".repeat(100);
    assert_eq!(cached(&long).await, 0);
    assert_eq!(cached(&long).await, 96);
    assert_eq!(cached(&long[..4 * 64]).await, 48);
    assert_eq!(cached(&format!("{long}and more")).await, 96);
    assert_eq!(cached(&format!("x{long}")).await, 0);
}

#[tokio::test]
async fn the_next_turn_finds_the_answer_before_it_cached() {
    let running = Running::start(instant()).await;
    let mut messages = json!([{"role": "user", "content": "tell me a story".repeat(20)}]);
    let body = |messages: &Value| json!({"messages": messages, "max_tokens": 64});
    let first = running.answer(CHAT, &body(&messages)).await;
    let said = messages.as_array_mut().unwrap();
    said.push(json!({"role": "assistant", "content": first.text}));
    said.push(json!({"role": "user", "content": "go on"}));
    let second = running.answer(CHAT, &body(&messages)).await;
    let (first, second) = (first.usage.unwrap(), second.usage.unwrap());
    assert_eq!(first.cached, 0);
    // All computed tokens in full blocks: the answer's last token is not.
    let computed = first.prompt + 63;
    assert_eq!(second.cached, computed - computed % 16);
    assert!(first.prompt < second.cached);
}

#[tokio::test]
async fn salt_and_model_part_equal_prompts() {
    let running = Running::start(Settings { adapters: vec!["fin".into()], ..instant() }).await;
    let usage = async |fields: Value| -> Usage {
        let mut body = json!({"prompt": "z".repeat(400), "max_tokens": 1});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        running.complete(&body).await.usage.unwrap()
    };
    for fields in [json!({}), json!({"cache_salt": "s"}), json!({"model": "fin"})] {
        assert_eq!(usage(fields.clone()).await.cached, 0);
        assert_eq!(usage(fields).await.cached, 96);
    }
}

#[tokio::test]
async fn limits_that_are_not_named_are_chosen() {
    let running = Running::start(instant()).await;
    let completion = running.complete(&json!({"prompt": "hi"})).await;
    assert_eq!(completion.usage.unwrap().completion, 16);
    let messages = json!([{"role": "user", "content": "hi"}]);
    let chat = running.answer(CHAT, &json!({ "messages": messages })).await;
    assert_eq!(chat.finish_reason.as_deref(), Some("stop"));
    assert!((32..160).contains(&chat.usage.unwrap().completion));
}

#[tokio::test]
async fn an_answer_tells_who_gave_it_and_to_what() {
    let running = Running::start(instant()).await;
    let body = json!({"prompt": "hi"});
    let whole = running.post(COMPLETIONS, &body).await;
    let address = running.server.address.to_string();
    assert_eq!(whole.header(SERVED_BY.as_str()), Some(address.as_str()));
    let digest = body_digest(body.to_string().as_bytes());
    assert_eq!(whole.header(BODY_DIGEST.as_str()), Some(digest.as_str()));
}

#[tokio::test]
async fn uncached_tokens_take_time_and_cached_ones_do_not() {
    let mut settings = instant();
    settings.engine.timing.prefill_per_token = Duration::from_micros(500);
    let running = Running::start(settings).await;
    let body = json!({"prompt": "q".repeat(4 * 800), "max_tokens": 1});
    let cold = running.post(COMPLETIONS, &body).await.total;
    assert!(Duration::from_millis(400) <= cold, "{cold:?}");
    // The best of several, since the machine may have other things to do.
    let mut warm = cold;
    for _ in 0..3 {
        warm = warm.min(running.post(COMPLETIONS, &body).await.total);
    }
    assert!(warm < cold, "{warm:?}, {cold:?}");
}
