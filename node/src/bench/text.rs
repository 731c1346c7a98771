//! What clients and model servers write, made up: chat requests, their answers as events, and the headers that a
//! picker sees of both.

use fastrand::Rng;

/// The body of a chat request before and after its prompt.
pub(super) fn chat_request(model: &str, output_tokens: usize) -> (String, String) {
    let model = serde_json::Value::from(model);
    let before = format!(
        "{{\"model\":{model},\"messages\":[{{\"role\":\"system\",\"content\":\"You are a helpful \
         assistant.\"}},{{\"role\":\"user\",\"content\":\""
    );
    let after = format!(
        "\"}}],\"max_tokens\":{},\"temperature\":0.7,\"stream\":true,\"stream_options\":\
         {{\"include_usage\":true}}}}",
        output_tokens.max(1)
    );
    (before, after)
}

/// Appends words until `body` is `end` bytes long, with a line break now and then: what stands within a JSON
/// string.
pub(super) fn push_words(body: &mut Vec<u8>, end: usize, rng: &mut Rng) {
    while body.len() < end {
        for _ in 0..rng.usize(1..=9) {
            body.push(rng.u8(b'a'..=b'z'));
        }
        body.extend_from_slice(if rng.u8(0..16) == 0 { b".\\n" } else { b" " });
    }
    body.truncate(end);
    // An escape that was cut in two would end the string.
    if let Some(last) = body.last_mut().filter(|last| **last == b'\\') {
        *last = b' ';
    }
}

/// The events of an answer: one for each token, then one with the usage and the end.
pub(super) fn answer(output_tokens: usize, model: &str) -> Vec<Vec<u8>> {
    let model = serde_json::Value::from(model);
    let head = format!(
        "data: {{\"id\":\"chatcmpl-3f1c0d6a5b7e4f0e9d2c1b0a99887766\",\"object\":\
         \"chat.completion.chunk\",\"created\":1760000000,\"model\":{model},\"choices\":["
    );
    let mut events: Vec<Vec<u8>> = (0..output_tokens)
        .map(|nth| {
            let word = format!(" {:03x}", nth % 0xfff);
            format!(
                "{head}{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\"logprobs\":null,\
                 \"finish_reason\":null}}]}}\n\n"
            )
            .into_bytes()
        })
        .collect();
    events.push(
        format!(
            "{head}],\"usage\":{{\"prompt_tokens\":{output_tokens},\"total_tokens\":{},\
             \"completion_tokens\":{output_tokens},\"prompt_tokens_details\":{{\"cached_tokens\":0}}}}}}\
             \n\ndata: [DONE]\n\n",
            2 * output_tokens
        )
        .into_bytes(),
    );
    events
}

/// The answer to a GET.
pub(super) fn model_list(model: &str) -> Vec<u8> {
    let list = serde_json::json!({
        "object": "list",
        "data": [{"id": model, "object": "model", "created": 1_760_000_000, "owned_by": "vllm"}],
    });
    list.to_string().into_bytes()
}

/// What Envoy shows a picker of a request that an SDK sent through Istio's gateway. None: a GET.
pub(super) fn request_headers(
    body_bytes: Option<usize>,
    request_id: &str,
) -> Vec<(&'static str, String)> {
    let (method, path) = match body_bytes {
        Some(_) => ("POST", "/v1/chat/completions"),
        None => ("GET", "/v1/models"),
    };
    let mut headers = vec![
        (":authority", "inference.example.com"),
        (":path", path),
        (":method", method),
        (":scheme", "https"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate"),
        ("user-agent", "OpenAI/Python 1.109.1"),
        ("authorization", "Bearer sk-0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("x-stainless-lang", "python"),
        ("x-stainless-package-version", "1.109.1"),
        ("x-stainless-os", "Linux"),
        ("x-stainless-arch", "x64"),
        ("x-stainless-runtime", "CPython"),
        ("x-stainless-runtime-version", "3.12.7"),
        ("x-stainless-async", "async:asyncio"),
        ("x-stainless-retry-count", "0"),
        ("x-stainless-read-timeout", "600"),
        ("x-forwarded-for", "10.244.1.17"),
        ("x-forwarded-proto", "https"),
        ("x-envoy-internal", "true"),
        ("x-envoy-attempt-count", "1"),
        ("x-request-id", request_id),
    ];
    if body_bytes.is_some() {
        headers.push(("content-type", "application/json"));
    }
    let length = body_bytes.map(|bytes| ("content-length", bytes.to_string()));
    headers.into_iter().map(|(key, value)| (key, value.to_owned())).chain(length).collect()
}

/// What Envoy shows a picker of vLLM's answer.
pub(super) fn answer_headers(streamed: bool) -> Vec<(&'static str, String)> {
    let (content_type, framing) = if streamed {
        ("text/event-stream; charset=utf-8", ("transfer-encoding", "chunked"))
    } else {
        ("application/json", ("vary", "accept-encoding"))
    };
    let headers = [
        (":status", "200"),
        ("date", "Sat, 21 Nov 2026 09:00:00 GMT"),
        ("server", "uvicorn"),
        ("content-type", content_type),
        framing,
        ("x-envoy-upstream-service-time", "42"),
    ];
    headers.into_iter().map(|(key, value)| (key, value.to_owned())).collect()
}

/// Sizes here are far below the 2^53 up to which this is exact.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub(super) fn float(count: usize) -> f64 {
    count as f64
}

/// The whole part of a number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller's numbers are small and not negative; the cast saturates"
)]
pub(super) fn whole(number: f64) -> usize {
    number as usize
}
