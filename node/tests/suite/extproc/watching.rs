//! What is learnt of responses that go by: who served, what it cost, and who went away.

use convoy_proto::ext_proc::ProcessingRequest;

use super::{
    gateway::{Gateway, Stream},
    messages::{
        END, MORE, request_body, request_headers, response_body, response_headers,
        response_headers_set, text, with_metadata,
    },
    picker::{ENDPOINT, Picker, Setup},
};

const SERVED: &str = "x-gateway-destination-endpoint-served";
const SSE: (&str, &str) = ("content-type", "text/event-stream");
const BODY: &str = r#"{"model":"m","prompt":"a","stream":true}"#;

/// A stream whose request was picked for and passed on.
async fn sent(gateway: &Gateway) -> Stream {
    let mut stream = gateway.ask([request_headers(&[], MORE), request_body(BODY, END)]);
    stream.answer().await;
    stream.answer().await;
    stream
}

fn served_by(endpoint: &str) -> ProcessingRequest {
    with_metadata(response_headers(&[], END), "envoy.lb", SERVED, text(endpoint))
}

#[tokio::test]
async fn who_served_is_told_to_conformance_tests() {
    let plugins = &["random-picker", "destination-endpoint-served-verifier"];
    let picker = Picker::start(Setup { plugins, ..Setup::default() }).await;
    let gateway = picker.gateway().await;
    let other_key = with_metadata(response_headers(&[], END), "envoy.lb", "a", text("b"));
    let elsewhere = with_metadata(response_headers(&[], END), "other", SERVED, text("b"));
    for (message, told) in [
        (served_by("10.0.0.1:3000"), "10.0.0.1:3000"),
        (response_headers(&[], END), "fail: missing envoy lb metadata"),
        (elsewhere, "fail: missing envoy lb metadata"),
        (other_key, "fail: missing destination endpoint served metadata"),
    ] {
        let mut stream = sent(&gateway).await;
        stream.say(message);
        let set = [("x-conformance-test-served-endpoint", told)];
        assert_eq!(stream.answer().await, response_headers_set(&set));
        stream.ended_well().await;
    }
}

#[tokio::test]
async fn a_pick_that_was_not_obeyed_is_counted_and_told_to_nobody_else() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    for (served, strayed) in [(ENDPOINT, 0.0), ("10.0.0.1:3000", 1.0), ("", 1.0)] {
        let mut stream = sent(&gateway).await;
        stream.say(served_by(served));
        assert_eq!(stream.answer().await, response_headers_set(&[]));
        stream.ended_well().await;
        picker.metric_becomes("convoy_picks_not_obeyed_total", &[], strayed).await;
        picker.metric_becomes("llm_d_epp_request_running", &[], 0.0).await;
    }
}

#[tokio::test]
async fn usage_is_read_off_events_wherever_they_are_cut() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let usage =
        r#"{"prompt_tokens":7,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":3}}"#;
    let events = format!(
        "data: {{\"choices\":[]}}\n\ndata: {{\"usage\":null}}\n\ndata: {{\"usage\":{usage}}}\n\ndata: [DONE]\n\n"
    );
    for (done, size) in (1_u8..).zip([1, 7, events.len()]) {
        let mut stream = sent(&gateway).await;
        stream.say(response_headers(&[SSE], MORE));
        for chunk in events.as_bytes().chunks(size) {
            stream.say(response_body(chunk.to_vec(), MORE));
        }
        stream.say(response_body("", END));
        stream.rest().await;
        for (metric, each) in [
            ("llm_d_epp_request_input_tokens_sum", 7.0),
            ("llm_d_epp_request_output_tokens_sum", 5.0),
            ("llm_d_epp_request_cached_tokens_sum", 3.0),
            ("llm_d_epp_request_duration_seconds_count", 1.0),
        ] {
            picker.metric_becomes(metric, &[], each * f64::from(done)).await;
        }
    }
}

#[tokio::test]
async fn a_gateway_that_goes_away_leaves_nothing_running() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut answering = sent(&gateway).await;
    answering.say(response_headers(&[SSE], MORE));
    answering.answer().await;
    let asked = sent(&gateway).await;
    let asking = gateway.ask([request_headers(&[], MORE), request_body("{", MORE)]);
    picker.metric_becomes("llm_d_epp_request_running", &[], 2.0).await;
    picker.metric_becomes("convoy_bodies_held_bytes", &[], 1.0).await;
    drop((answering, asked, asking));
    picker.metric_becomes("llm_d_epp_request_running", &[], 0.0).await;
    picker.metric_becomes("convoy_bodies_held_bytes", &[], 0.0).await;
    picker.metric_becomes("llm_d_epp_extproc_streams_inflight", &[], 0.0).await;
    // A response that did not end is none.
    picker.metric_becomes("llm_d_epp_request_duration_seconds_count", &[], 0.0).await;
}
