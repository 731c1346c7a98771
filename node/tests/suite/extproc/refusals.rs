//! Refusals: code, text and the header that says why, and that the stream then ends.

use convoy_proto::ext_proc::ProcessingResponse;

use super::{
    messages::{END, MORE, picked, refused, request_body, request_headers},
    picker::{ENDPOINT, Picker, Setup},
};

/// Asks for `body` at `path`; nothing but `expected` must come.
async fn check(picker: &Picker, path: &str, body: Option<&str>, expected: &ProcessingResponse) {
    let gateway = picker.gateway().await;
    let mut stream = gateway.ask([request_headers(&[(":path", path)], body.is_none())]);
    if let Some(body) = body {
        stream.say(request_body(body.to_owned(), END));
    }
    assert_eq!(stream.answer().await, *expected, "{path} {body:?}");
    stream.ended_well().await;
}

const NO_PROMPT: &str = "invalid completions request: must have prompt field";
const NO_MESSAGES: &str = "invalid chat completions request: must have valid messages field";

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_in_the_words_of_the_reference() {
    let picker = Picker::with_flags(&[]).await;
    let (plain, chat) = ("/v1/completions", "/v1/chat/completions");
    let no_object = "error unmarshaling request bodyMap: json: cannot unmarshal array into Go value \
                     of type map[string]interface {}";
    let rows = [
        (
            plain,
            "not JSON",
            "error unmarshaling request bodyMap: invalid character 'o' in literal null (expecting 'u')",
        ),
        (plain, "", "error unmarshaling request bodyMap: unexpected end of JSON input"),
        (
            plain,
            r#"{"model":"m""#,
            "error unmarshaling request bodyMap: unexpected end of JSON input",
        ),
        (plain, "[]", no_object),
        (plain, r#"{"prompt":"a"}"#, "model not found in request body"),
        (plain, r#"{"model":7,"prompt":"a"}"#, "model not found in request body"),
        (plain, r#"{"model":"","prompt":"a"}"#, "model not found in request body"),
        (plain, r#"{"model":"m"}"#, NO_PROMPT),
        (plain, r#"{"model":"m","prompt":{}}"#, NO_PROMPT),
        (plain, r#"{"model":"m","prompt":["a",{}]}"#, NO_PROMPT),
        (plain, r#"{"model":"m","prompt":[]}"#, NO_PROMPT),
        // The payload is looked at before the model.
        (plain, "{}", NO_PROMPT),
        (chat, r#"{"model":"m"}"#, NO_MESSAGES),
        (chat, r#"{"model":"m","messages":[]}"#, NO_MESSAGES),
        (chat, r#"{"model":"m","messages":"a"}"#, NO_MESSAGES),
        (chat, r#"{"model":"m","messages":[7]}"#, NO_MESSAGES),
        ("/v1/responses", "{}", "invalid responses request: must have input field"),
        ("/v1/conversations", "{}", "invalid conversations request: must have items field"),
        ("/v1/embeddings", "{}", "invalid embeddings request: must have input field"),
        (
            "/v1/images/generations",
            "{}",
            "invalid images generations request: must have prompt field",
        ),
    ];
    for (path, body, text) in rows {
        let expected = refused(400, &format!("inference error: BadRequest - {text}"), None);
        check(&picker, path, Some(body), &expected).await;
    }
    let labels = ["error_code=\"BadRequest\""];
    picker.metric_becomes("llm_d_epp_request_error_total", &labels, 20.0).await;
    picker.metric_becomes("llm_d_epp_extproc_streams_total", &["code=\"OK\""], 20.0).await;
}

#[tokio::test]
async fn every_form_of_a_prompt_is_picked_for() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    for (path, payload) in [
        ("/v1/completions", r#""prompt":"a""#),
        ("/v1/completions", r#""prompt":["a","b"]"#),
        ("/v1/completions", r#""prompt":[1,2,3]"#),
        ("/v1/completions", r#""prompt":[[1,2],[3]]"#),
        ("/v1/chat/completions", r#""messages":[{"role":"user","content":"a"}]"#),
        (
            "/v1/chat/completions",
            r#""messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"tools":[{"type":"function"}]"#,
        ),
    ] {
        let body = format!(r#"{{"model":"m",{payload},"cache_salt":"s"}}"#);
        let length = body.len().to_string();
        let headers = [(":path", path), ("x-request-id", "1")];
        let mut stream = gateway.ask([request_headers(&headers, MORE), request_body(body, END)]);
        let set = [headers[0], headers[1], ("Content-Length", &*length)];
        assert_eq!(stream.answer().await, picked(ENDPOINT, &set), "{payload}");
    }
}

const NO_CANDIDATES: &str = "inference error: ServiceUnavailable - failed to find endpoint \
                             candidates for serving the request";

#[tokio::test]
async fn an_empty_pool_is_told_apart_for_requests_with_and_without_a_body() {
    let picker = Picker::start(Setup { endpoints: &[], ..Setup::default() }).await;
    let text = "inference error: Internal - no pods available in datastore";
    check(&picker, "/v1/models", None, &refused(500, text, None)).await;
    let body = Some(r#"{"model":"m","prompt":"a"}"#);
    let expected = refused(503, NO_CANDIDATES, Some("rejected-no-endpoints"));
    check(&picker, "/v1/completions", body, &expected).await;
    check(&picker, "/v1/audio/speech", Some("x"), &expected).await;
    let labels = ["error_code=\"Internal\""];
    picker.metric_becomes("llm_d_epp_request_error_total", &labels, 1.0).await;
    let labels = ["error_code=\"ServiceUnavailable\""];
    picker.metric_becomes("llm_d_epp_request_error_total", &labels, 2.0).await;
}

#[tokio::test]
async fn endpoints_that_are_not_ready_are_no_candidates() {
    let picker = Picker::start(Setup { ready: false, ..Setup::default() }).await;
    let text = "inference error: Internal - no pods available in datastore";
    check(&picker, "/v1/models", None, &refused(500, text, None)).await;
    let body = Some(r#"{"model":"m","prompt":"a"}"#);
    let expected = refused(503, NO_CANDIDATES, Some("rejected-no-endpoints"));
    check(&picker, "/v1/completions", body, &expected).await;
}

#[tokio::test]
async fn a_path_that_no_parser_claims_is_refused_if_parsers_are_named() {
    let parsers = &["openai-parser"];
    let picker = Picker::start(Setup { parsers, ..Setup::default() }).await;
    for (path, body) in [("/v1/audio/speech", "x"), ("/", ""), ("/v2/completion", "{}")] {
        let text = format!(
            "inference error: BadRequest - no parser registered matching path suffix for: {path}"
        );
        check(&picker, path, Some(body), &refused(400, &text, None)).await;
    }
}

/// A coordinator asks so for an early decode: where the prompt is not cached, it begins with the
/// prefill.
#[tokio::test]
async fn a_request_that_prefers_a_cache_is_refused_where_there_is_none() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let text = "inference error: PreconditionFailed - no decode worker has the requested KV cache";
    let not_cached = || refused(412, text, None);
    let body = |name: &str| format!(r#"{{"model":"m","prompt":"{}"}}"#, name.repeat(600));
    let ask = |prefer: &str, body: String| {
        let headers = request_headers(&[("x-request-id", "1"), ("prefer", prefer)], MORE);
        gateway.ask([headers, request_body(body, END)])
    };
    let length = body("a").len().to_string();
    let sent = |prefer| {
        let set = [("x-request-id", "1"), ("prefer", prefer), ("Content-Length", &*length)];
        picked(ENDPOINT, &set)
    };
    for prefer in ["if-available", "return=minimal, If-Available;q=1"] {
        let mut stream = ask(prefer, body("a"));
        assert_eq!(stream.answer().await, not_cached(), "{prefer}");
        stream.ended_well().await;
    }
    for prefer in ["return=minimal", "if-available-not", "if-available"] {
        assert_eq!(ask(prefer, body("a")).answer().await, sent(prefer), "{prefer}");
    }
    assert_eq!(ask("if-available", body("b")).answer().await, not_cached());
    // A prompt without a whole block is cached nowhere.
    let short = r#"{"model":"m","prompt":"a"}"#;
    assert_eq!(ask("if-available", short.to_owned()).answer().await, not_cached());
    let labels = ["error_code=\"PreconditionFailed\""];
    picker.metric_becomes("llm_d_epp_request_error_total", &labels, 4.0).await;
}

#[tokio::test]
async fn filters_that_leave_nobody_refuse_with_429() {
    let plugins = &["header-based-testing-filter", "random-picker"];
    let endpoints = &["192.168.1.1:8000", "192.168.1.2:8000", "192.168.1.3:8000"];
    let picker = Picker::start(Setup { endpoints, plugins, ..Setup::default() }).await;
    let gateway = picker.gateway().await;
    let body = r#"{"model":"m","prompt":"a"}"#;
    let text = "inference error: ResourceExhausted - no endpoints available for the given request";
    let expected = refused(429, text, Some("rejected-saturated"));
    check(&picker, "/v1/completions", Some(body), &expected).await;
    for (named, expected) in [
        ("10.0.0.1", None),
        ("192.168.1.2:8001", None),
        ("192.168.1.2", Some("192.168.1.2:8000")),
        ("192.168.1.3:8000,10.0.0.1", Some("192.168.1.3:8000")),
    ] {
        let headers = [("test-epp-endpoint-selection", named), ("x-request-id", "1")];
        let asked = [request_headers(&headers, MORE), request_body(body, END)];
        let mut stream = gateway.ask(asked);
        let expected = match expected {
            Some(endpoint) => {
                let set = [headers[0], headers[1], ("Content-Length", "26")];
                picked(endpoint, &set)
            }
            None => refused(429, text, Some("rejected-saturated")),
        };
        assert_eq!(stream.answer().await, expected, "{named}");
    }
}
