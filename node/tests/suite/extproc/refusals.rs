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
        (plain, r#"{"model":"m"}"#, "invalid completions request: must have prompt field"),
        // The payload is looked at before the model.
        (plain, "{}", "invalid completions request: must have prompt field"),
        (
            chat,
            r#"{"model":"m"}"#,
            "invalid chat completions request: must have valid messages field",
        ),
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
    picker.metric_becomes("llm_d_epp_request_error_total", &labels, 14.0).await;
    picker.metric_becomes("llm_d_epp_extproc_streams_total", &["code=\"OK\""], 14.0).await;
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
