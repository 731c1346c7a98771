//! Headers that say something to the picker, and how they may be written.

use convoy_proto::ext_proc::{HeadersResponse, processing_response::Response};
use prost_types::value::Kind;

use super::{
    gateway::Gateway,
    messages::{
        DESTINATION, END, Headers, MORE, picked, request_body, request_headers,
        request_headers_as_text, request_piece,
    },
    picker::{ENDPOINT, Picker, Setup},
};

const ID: (&str, &str) = ("x-request-id", "test-request-id");
const REWRITE: &str = "x-llm-d-model-name-rewrite";
const BODY: &str = r#"{"model":"m","prompt":"a"}"#;

#[tokio::test]
async fn a_value_may_stand_as_text_or_as_bytes() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = [ID, ("hi", "mom"), (REWRITE, "n")];
    for headers in [request_headers(&headers, MORE), request_headers_as_text(&headers)] {
        let mut stream = gateway.ask([headers, request_body(BODY, END)]);
        let set = [ID, ("hi", "mom"), ("Content-Length", "26")];
        assert_eq!(stream.answer().await, picked(ENDPOINT, &set));
        let body = r#"{"model":"n","prompt":"a"}"#;
        assert_eq!(stream.answer().await, request_piece(body, END));
    }
}

#[tokio::test]
async fn of_a_header_that_came_twice_the_last_is_heeded() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = request_headers(&[ID, (REWRITE, "one"), (REWRITE, "two")], MORE);
    let mut stream = gateway.ask([headers, request_body(BODY, END)]);
    assert_eq!(stream.answer().await, picked(ENDPOINT, &[ID, ("Content-Length", "28")]));
    let body = r#"{"model":"two","prompt":"a"}"#;
    assert_eq!(stream.answer().await, request_piece(body, END));
}

#[tokio::test]
async fn a_body_that_is_not_read_is_not_rewritten() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = [ID, (":path", "/v1/audio/speech"), (REWRITE, "n")];
    let mut stream = gateway.ask([request_headers(&headers, MORE), request_body(BODY, END)]);
    let set = [headers[0], headers[1], ("Content-Length", "26")];
    assert_eq!(stream.answer().await, picked(ENDPOINT, &set));
    assert_eq!(stream.answer().await, request_piece(BODY, END));
    let labels = ["model_name=\"\"", "target_model_name=\"\""];
    picker.metric_becomes("llm_d_epp_request_total", &labels, 1.0).await;
}

/// Asks with `headers`, and waits until the answer has begun.
async fn ask(gateway: &Gateway, headers: Headers<'_>) {
    gateway.ask([request_headers(headers, MORE), request_body(BODY, END)]).answer().await;
}

#[tokio::test]
async fn a_tenant_is_named_by_either_header_and_the_newer_one_wins() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let (older, newer) = ("x-gateway-inference-fairness-id", "x-llm-d-inference-fairness-id");
    for (headers, tenant) in [
        (&[][..], "default-flow"),
        (&[(older, "a")], "a"),
        (&[(newer, "b")], "b"),
        (&[(older, "a"), (newer, "c")], "c"),
    ] {
        ask(&gateway, headers).await;
        let tenant = format!("fairness_id=\"{tenant}\"");
        picker.metric_becomes("llm_d_epp_request_total", &[&tenant], 1.0).await;
    }
}

#[tokio::test]
async fn a_request_without_a_body_is_not_counted_among_requests() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    gateway.ask([request_headers(&[ID], END)]).answer().await;
    ask(&gateway, &[]).await;
    for metric in ["llm_d_epp_request_total", "inference_objective_request_total"] {
        picker.metric_becomes(metric, &[], 1.0).await;
    }
}

/// The pick that an answer carries, in its header and in its metadata, which must be the same.
fn destination(answer: &convoy_proto::ext_proc::ProcessingResponse) -> String {
    let Some(Response::RequestHeaders(HeadersResponse { response: Some(common) })) =
        &answer.response
    else {
        unreachable!("no answer to headers: {answer:?}");
    };
    let set = &common.header_mutation.as_ref().unwrap().set_headers;
    let mut headers = set.iter().filter_map(|set| set.header.as_ref());
    let header = headers.find(|header| header.key == DESTINATION).unwrap();
    let header = String::from_utf8(header.raw_value.to_vec()).unwrap();
    let metadata = answer.dynamic_metadata.as_ref().unwrap();
    let Some(Kind::StructValue(lb)) = &metadata.fields["envoy.lb"].kind else {
        unreachable!("{metadata:?}");
    };
    assert_eq!(lb.fields[DESTINATION].kind, Some(Kind::StringValue(header.clone())));
    header
}

#[tokio::test]
async fn several_endpoints_are_told_with_the_best_first() {
    let endpoints = &["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"];
    let plugins = &["prefix-cache-scorer", "max-score-picker"];
    let parameters = &[("max-score-picker", r#"{"maxNumOfEndpoints": 2}"#)];
    let picker = Picker::start(Setup { endpoints, plugins, parameters, ..Setup::default() }).await;
    let gateway = picker.gateway().await;
    let body = format!(r#"{{"model":"m","prompt":"{}"}}"#, "many words ".repeat(100));
    let mut first = None;
    for _ in 0..10 {
        let asked = [request_headers(&[ID], MORE), request_body(body.clone(), END)];
        let told = destination(&gateway.ask(asked).answer().await);
        let (best, next) = told.split_once(',').unwrap();
        assert!(endpoints.contains(&best) && endpoints.contains(&next) && best != next, "{told}");
        // Only the first is believed to hold the prompt from then on.
        let first = first.get_or_insert_with(|| best.to_owned());
        assert_eq!(best, first);
    }
}
