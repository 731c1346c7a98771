//! Claims about how requests are read.

use serde_json::json;

use super::*;

fn completion(prompt: &Value) -> Vec<Tokens> {
    read(Api::Completions, json!({"prompt": prompt}).to_string().as_bytes()).unwrap().prompts
}

fn chat(body: &Value) -> Tokens {
    let mut prompts = read(Api::Chat, body.to_string().as_bytes()).unwrap().prompts;
    assert_eq!(prompts.len(), 1);
    prompts.remove(0)
}

#[track_caller]
fn refused(api: Api, body: &str, expected: &str) {
    let refusal = read(api, body.as_bytes()).unwrap_err();
    assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
    assert!(refusal.message.contains(expected), "{}", refusal.message);
}

#[test]
fn a_prompt_is_a_text_texts_ids_or_lists_of_ids() {
    assert_eq!(completion(&json!("abcdefgh")), [Tokens::of_text("abcdefgh")]);
    assert_eq!(completion(&json!(["ab", "cd"])), ["ab", "cd"].map(Tokens::of_text));
    assert_eq!(completion(&json!([1, 2, 3])), [Tokens::of_ids(&[1, 2, 3])]);
    assert_eq!(completion(&json!([[1, 2], [3]])), [&[1, 2][..], &[3]].map(Tokens::of_ids));
    assert_eq!(completion(&json!(["a"])), completion(&json!("a")));
}

#[test]
fn a_prompt_of_anything_else_is_refused() {
    refused(Api::Completions, r#"{"prompt": 7}"#, "prompt to be a string");
    refused(Api::Completions, r#"{"prompt": ["a", 7]}"#, "mixes");
    refused(Api::Completions, r#"{"prompt": [-1]}"#, "did not match");
    refused(Api::Completions, r#"{"prompt": []}"#, "empty");
    refused(Api::Completions, r#"{"prompt": ["a", ""]}"#, "empty");
    refused(Api::Completions, r#"{"model": "m"}"#, "prompt");
    refused(Api::Completions, "nonsense", "expected");
}

#[test]
fn a_content_in_parts_is_the_text_of_its_parts() {
    let parts = json!([{"type": "text", "text": "abcd"}, {"type": "text", "text": "efgh"}]);
    let whole = chat(&json!({"messages": [{"role": "user", "content": "abcdefgh"}]}));
    assert_eq!(chat(&json!({"messages": [{"role": "user", "content": parts}]})), whole);
}

#[test]
fn pictures_count_and_are_told_apart() {
    let message = |url: &str| {
        let part = json!({"type": "image_url", "image_url": {"url": url}});
        chat(&json!({"messages": [{"role": "user", "content": [part]}]}))
    };
    assert!(225 <= message("http://a").len());
    assert_ne!(message("http://a"), message("http://b"));
}

#[test]
fn tools_stand_before_messages_and_calls_in_their_place() {
    let messages = json!([{"role": "user", "content": "a"}]);
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let without = chat(&json!({"messages": messages}));
    let with = chat(&json!({"messages": messages, "tools": tools}));
    assert!(without.len() < with.len());
    let calls = json!([{"id": "c", "function": {"name": "f", "arguments": "{}"}}]);
    let called = json!([{"role": "assistant", "content": null, "tool_calls": calls}]);
    assert!(20 < chat(&json!({"messages": called})).len());
}

#[test]
fn a_longer_conversation_begins_with_the_shorter_one() {
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let short = json!([message("system", "be kind"), message("user", "hello")]);
    let mut long = short.clone();
    long.as_array_mut().unwrap().extend([message("assistant", "hi"), message("user", "bye")]);
    let chain = |messages: &Value| {
        let tokens = chat(&json!({"messages": messages}));
        super::super::tokens::Chain::new(&tokens, 1, 0).hashes().to_vec()
    };
    let (short, long) = (chain(&short), chain(&long));
    assert_eq!(long[..short.len()], short);
}

#[test]
fn limits_are_positive_and_the_newer_name_wins_in_a_chat() {
    let read = |api, fields: &str| {
        let body =
            format!(r#"{{"prompt":"a","messages":[{{"role":"u","content":"a"}}],{fields}}}"#);
        read(api, body.as_bytes()).map(|call| call.max_tokens).map_err(|refusal| refusal.message)
    };
    assert_eq!(read(Api::Completions, r#""max_tokens":7,"max_completion_tokens":9"#), Ok(Some(7)));
    assert_eq!(read(Api::Chat, r#""max_tokens":7,"max_completion_tokens":9"#), Ok(Some(9)));
    assert_eq!(read(Api::Chat, r#""max_tokens":null"#), Ok(None));
    let error = read(Api::Chat, r#""max_tokens":0"#).unwrap_err();
    assert_eq!(error, "max_tokens must be at least 1, got 0.");
    assert_eq!(read(Api::Chat, r#""n":-1"#).unwrap_err(), "n must be at least 1, got -1.");
}

#[test]
fn what_vllm_refuses_is_refused() {
    let options = r#"{"prompt": "a", "stream_options": {"include_usage": true}}"#;
    refused(Api::Completions, options, "`stream=True`");
    refused(Api::Completions, r#"{"prompt": "a", "cache_salt": ""}"#, "cache_salt");
    refused(Api::Chat, r#"{"messages": []}"#, "messages");
    refused(Api::Chat, r#"{"prompt": "a"}"#, "messages");
}

#[test]
fn a_refusal_has_the_form_of_vllms() {
    let body: Value = serde_json::from_str(&Refusal::no_model("x").json()).unwrap();
    let error = json!({
        "message": "The model `x` does not exist.", "type": "NotFoundError", "param": "model",
        "code": 404
    });
    assert_eq!(body, json!({ "error": error }));
}
