//! Gateways that pass bodies otherwise than in full duplex, and tell so.

use convoy_proto::filter::processing_mode::BodySendMode::{Buffered, None as NoBody};

use super::{
    messages::{
        END, MORE, picked, picked_in_body, refused, request_body, request_headers,
        request_headers_as_is, request_trailers, request_trailers_as_is, response_headers,
        response_headers_set, with_modes,
    },
    picker::{ENDPOINT, Picker},
};

const ID: (&str, &str) = ("x-request-id", "1");
const BODY: &str = r#"{"model":"m","prompt":"a"}"#;

#[tokio::test]
async fn a_buffered_request_is_picked_for_in_the_answer_to_its_body() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = request_headers(&[ID, ("hi", "mom")], MORE);
    let mut stream = gateway.ask([with_modes(headers, Buffered, NoBody)]);
    assert_eq!(stream.answer().await, request_headers_as_is());
    stream.say(request_body(BODY, END));
    assert_eq!(stream.answer().await, picked_in_body(ENDPOINT, &[], None));
    stream.say(response_headers(&[(":status", "200")], MORE));
    assert_eq!(stream.answer().await, response_headers_set(&[(":status", "200")]));
    stream.half_close();
    stream.ended_well().await;
}

#[tokio::test]
async fn a_buffered_request_that_is_rewritten_gets_a_new_body() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = request_headers(&[ID, ("x-llm-d-model-name-rewrite", "other")], MORE);
    let mut stream = gateway.ask([with_modes(headers, Buffered, NoBody), request_body(BODY, END)]);
    assert_eq!(stream.answer().await, request_headers_as_is());
    let body = r#"{"model":"other","prompt":"a"}"#;
    let expected = picked_in_body(ENDPOINT, &[("Content-Length", "30")], Some(body));
    assert_eq!(stream.answer().await, expected);
}

#[tokio::test]
async fn a_buffered_request_may_have_trailers_or_no_body() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut stream = gateway.ask([
        with_modes(request_headers(&[ID], MORE), Buffered, NoBody),
        request_body(BODY, MORE),
        request_trailers(),
    ]);
    assert_eq!(stream.answer().await, request_headers_as_is());
    assert_eq!(stream.answer().await, picked_in_body(ENDPOINT, &[], None));
    assert_eq!(stream.answer().await, request_trailers_as_is());
    let bodyless = with_modes(request_headers(&[ID], END), Buffered, NoBody);
    assert_eq!(gateway.ask([bodyless]).answer().await, picked(ENDPOINT, &[]));
}

#[tokio::test]
async fn a_buffered_request_is_refused_for_its_body() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = with_modes(request_headers(&[ID], MORE), Buffered, NoBody);
    let mut stream = gateway.ask([headers, request_body("{}", END)]);
    assert_eq!(stream.answer().await, request_headers_as_is());
    let text = "inference error: BadRequest - invalid completions request: must have prompt field";
    assert_eq!(stream.answer().await, refused(400, text, None));
    stream.ended_well().await;
}
