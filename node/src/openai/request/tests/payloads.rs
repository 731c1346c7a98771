//! Which payloads an API takes, and what a refusal says. Rows agree with the picker that this one
//! replaces, but for nested token ids, which it refuses.

use super::*;

#[track_caller]
fn accepted(api: Api, bodies: &[&str]) {
    for body in bodies {
        assert_eq!(scan(api, body.as_bytes()).err(), None, "{body}");
    }
}

#[track_caller]
fn refused(api: Api, words: &str, bodies: &[&str]) {
    for body in bodies {
        let refusal = scan(api, body.as_bytes()).expect_err(body);
        assert_eq!(refusal, Refusal::Payload { api }, "{body}");
        assert_eq!(refusal.to_string(), words, "{body}");
    }
}

#[test]
fn a_completion_needs_a_prompt() {
    accepted(
        Api::Completions,
        &[
            r#"{"prompt":"x"}"#,
            r#"{"prompt":["x","y"]}"#,
            r#"{"prompt":[""]}"#,
            r#"{"prompt":[1,2,3]}"#,
            r#"{"prompt":[1.0,2e2,-0,4294967295]}"#,
            r#"{"prompt":[[1,2],[3]]}"#,
            r#"{"prompt":[[]]}"#,
            r#"{"PROMPT":"x"}"#,
            r#"{"\u0070rompt":"x"}"#,
            r#"{"prompt":"x","cache_salt":null}"#,
            r#"{"prompt":"x","messages":5,"tools":7}"#,
        ],
    );
    refused(
        Api::Completions,
        "invalid completions request: must have prompt field",
        &[
            "null",
            "{}",
            r#"{"model":"m"}"#,
            r#"{"prompt":null}"#,
            r#"{"prompt":""}"#,
            r#"{"prompt":[]}"#,
            r#"{"prompt":5}"#,
            r#"{"prompt":true}"#,
            r#"{"prompt":{"text":"x"}}"#,
            r#"{"prompt":["x",1]}"#,
            r#"{"prompt":[1,"x"]}"#,
            r#"{"prompt":[null]}"#,
            r#"{"prompt":[{}]}"#,
            r#"{"prompt":[1.5]}"#,
            r#"{"prompt":[-1]}"#,
            r#"{"prompt":[4294967296]}"#,
            r#"{"prompt":[[1,2],3]}"#,
            r#"{"prompt":[1,[2]]}"#,
            r#"{"prompt":[["x"]]}"#,
            r#"{"prompt":[[[1]]]}"#,
            r#"{"prompt":"x","cache_salt":5}"#,
            r#"{"input":"x"}"#,
            r#"{"x":{"prompt":"x"}}"#,
        ],
    );
}

#[test]
fn a_chat_needs_messages() {
    accepted(
        Api::Chat,
        &[
            r#"{"messages":[{"role":"user","content":"x"}]}"#,
            r#"{"messages":[{}]}"#,
            r#"{"MESSAGES":[{}]}"#,
            r#"{"me\u017fſages":[{}]}"#,
            r#"{"messages":[null]}"#,
            r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}]}"#,
            r#"{"messages":[{"role":"tool","content":"x","tool_call_id":"1"}]}"#,
            r#"{"messages":[{"content":[{"type":"text","text":"x"},null,{"type":"odd","x":[1]}]}]}"#,
            r#"{"messages":[{"content":[]}],"tools":null,"documents":null,"chat_template":null}"#,
            r#"{"messages":[{}],"tools":[5],"chat_template_kwargs":{"a":1}}"#,
            r#"{"messages":[{}],"add_generation_prompt":true,"continue_final_message":null}"#,
            r#"{"messages":[{"content":[{"type":"audio_url","audio_url":"x"}]}]}"#,
            r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":null,"d":5}}]}]}"#,
        ],
    );
    refused(
        Api::Chat,
        "invalid chat completions request: must have valid messages field",
        &[
            "null",
            "{}",
            r#"{"prompt":"x"}"#,
            r#"{"messages":null}"#,
            r#"{"messages":[]}"#,
            r#"{"messages":"x"}"#,
            r#"{"messages":{"role":"user"}}"#,
            r#"{"messages":["x"]}"#,
            r#"{"messages":[[]]}"#,
            r#"{"messages":[{"role":5}]}"#,
            r#"{"messages":[{"content":5}]}"#,
            r#"{"messages":[{"content":{}}]}"#,
            r#"{"messages":[{"content":["x"]}]}"#,
            r#"{"messages":[{"content":[[]]}]}"#,
            r#"{"messages":[{"content":[{"type":5}]}]}"#,
            r#"{"messages":[{"content":[{"text":5}]}]}"#,
            r#"{"messages":[{"content":[{"image_url":"x"}]}]}"#,
            r#"{"messages":[{"content":[{"image_url":{"url":5}}]}]}"#,
            r#"{"messages":[{"content":[{"input_audio":{"data":5}}]}]}"#,
            r#"{"messages":[{"content":[{"input_audio":{"format":5}}]}]}"#,
            r#"{"messages":[{"content":[{"video_url":[]}]}]}"#,
            r#"{"messages":[{"tool_calls":{}}]}"#,
            r#"{"messages":[{}],"tools":{}}"#,
            r#"{"messages":[{}],"documents":"x"}"#,
            r#"{"messages":[{}],"chat_template":5}"#,
            r#"{"messages":[{}],"chat_template_kwargs":[]}"#,
            r#"{"messages":[{}],"add_generation_prompt":"yes"}"#,
            r#"{"messages":[{}],"continue_final_message":1}"#,
            r#"{"messages":[{}],"return_assistant_tokens_mask":{}}"#,
            r#"{"messages":[{}],"cache_salt":[]}"#,
        ],
    );
}

#[test]
fn an_embedding_needs_an_input() {
    accepted(Api::Embeddings, &[r#"{"input":"x"}"#, r#"{"input":["x"]}"#, r#"{"input":[1]}"#]);
    refused(
        Api::Embeddings,
        "invalid embeddings request: must have input field",
        &["{}", r#"{"input":null}"#, r#"{"input":""}"#, r#"{"input":[]}"#, r#"{"prompt":"x"}"#],
    );
}

#[test]
fn a_response_needs_an_input_of_any_kind() {
    accepted(
        Api::Responses,
        &[r#"{"input":"x"}"#, r#"{"input":""}"#, r#"{"input":[{"a":1}]}"#, r#"{"input":0}"#],
    );
    refused(
        Api::Responses,
        "invalid responses request: must have input field",
        &["{}", r#"{"input":null}"#, r#"{"instructions":"x"}"#, r#"{"input":1,"cache_salt":1}"#],
    );
}

#[test]
fn a_conversation_needs_items() {
    accepted(
        Api::Conversations,
        &[
            r#"{"items":[{}]}"#,
            r#"{"items":[null],"metadata":{"a":1}}"#,
            r#"{"items":[{"type":"message","role":"user","content":[1]}],"metadata":null}"#,
        ],
    );
    refused(
        Api::Conversations,
        "invalid conversations request: must have items field",
        &[
            "{}",
            r#"{"items":[]}"#,
            r#"{"items":null}"#,
            r#"{"items":"x"}"#,
            r#"{"items":["x"]}"#,
            r#"{"items":[{"type":5}]}"#,
            r#"{"items":[{"role":5}]}"#,
            r#"{"items":[{}],"metadata":[]}"#,
        ],
    );
}

#[test]
fn a_picture_needs_a_prompt() {
    accepted(
        Api::Images,
        &[
            r#"{"prompt":"x"}"#,
            r#"{"prompt":"x","n":2,"size":"1x1","num_inference_steps":null,"cache_salt":5}"#,
        ],
    );
    refused(
        Api::Images,
        "invalid images generations request: must have prompt field",
        &[
            "{}",
            r#"{"prompt":""}"#,
            r#"{"prompt":null}"#,
            r#"{"prompt":["x"]}"#,
            r#"{"prompt":"x","n":1.5}"#,
            r#"{"prompt":"x","n":"1"}"#,
            r#"{"prompt":"x","size":5}"#,
            r#"{"prompt":"x","num_inference_steps":1e2}"#,
        ],
    );
}

#[test]
fn a_wrong_type_stays_wrong_when_the_key_comes_again() {
    let words = "invalid completions request: must have prompt field";
    refused(Api::Completions, words, &[r#"{"prompt":5,"prompt":"x"}"#]);
}

#[test]
fn bad_json_is_said_before_a_bad_payload() {
    let refusal = scan(Api::Completions, br#"{"prompt":5,"#).expect_err("refused");
    assert_eq!(refusal, Refusal::Syntax(SyntaxError::UnexpectedEnd));
}

#[test]
fn a_body_that_passes_through_is_not_read() {
    let request = scan(Api::Passthrough, b"not json").expect("accepted");
    assert_eq!(request.model, Model::default());
    assert_eq!(request.prompts.count(), 0);
}
