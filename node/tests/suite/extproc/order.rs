//! Messages in an order that the protocol does not know: the stream ends, saying why, and touches
//! nothing else.

use convoy_proto::{
    ext_proc::ProcessingRequest,
    filter::processing_mode::BodySendMode::{Buffered, Streamed},
};
use tonic::Code;

use super::{
    messages::{
        END, MORE, picked, request_body, request_headers, request_trailers, response_body,
        response_headers, response_trailers, with_modes,
    },
    picker::{ENDPOINT, Picker},
};

const BODY: &str = r#"{"model":"m","prompt":"a"}"#;

/// Rows are what is said, the last of it out of order, and what is told of it.
fn rows() -> Vec<(Vec<ProcessingRequest>, &'static str)> {
    let (headers, rest) = (|| request_headers(&[], MORE), || request_body(BODY, END));
    let ok = || response_headers(&[], MORE);
    vec![
        (vec![rest()], "a request body chunk came before any headers"),
        (vec![request_trailers()], "request trailers came before any headers"),
        (vec![response_body("a", MORE)], "a response body chunk came before any headers"),
        (vec![response_trailers()], "response trailers came before any headers"),
        (vec![headers(), headers()], "request headers came while the request body was expected"),
        (
            vec![headers(), request_body("{", MORE), response_body("a", MORE)],
            "a response body chunk came while the request body was expected",
        ),
        (
            vec![request_headers(&[], END), response_trailers()],
            "response trailers came after the request ended and before response headers",
        ),
        (
            vec![headers(), rest(), request_body("more", END)],
            "a request body chunk came after the request ended and before response headers",
        ),
        (
            vec![headers(), rest(), request_trailers()],
            "request trailers came after the request ended and before response headers",
        ),
        (vec![headers(), rest(), ok(), ok()], "response headers came after response headers"),
        (vec![ok(), headers()], "request headers came after response headers"),
        (
            vec![with_modes(headers(), Buffered, Buffered), request_trailers()],
            "request trailers came while the buffered request body was expected",
        ),
        (
            vec![with_modes(headers(), Buffered, Buffered), request_body(BODY, MORE), rest()],
            "a request body chunk came while request trailers were expected",
        ),
        (
            vec![with_modes(headers(), Streamed, Streamed), response_trailers()],
            "response trailers came while request body chunks were expected",
        ),
    ]
}

#[tokio::test]
async fn what_is_out_of_order_ends_its_stream_alone_and_says_why() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    for (said, told) in rows() {
        let mut bystander = gateway.ask([request_headers(&[("x-request-id", "1")], MORE)]);
        let mut stream = gateway.ask(said);
        let (_, status) = stream.rest().await;
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, told));
        bystander.say(request_body(BODY, END));
        let set = [("x-request-id", "1"), ("Content-Length", "26")];
        assert_eq!(bystander.answer().await, picked(ENDPOINT, &set), "{told}");
    }
    let invalid = ["code=\"InvalidArgument\""];
    picker.metric_becomes("llm_d_epp_extproc_streams_total", &invalid, 14.0).await;
}

#[tokio::test]
async fn a_message_that_asks_nothing_is_passed_over() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let told = ProcessingRequest {
        observability_mode: true,
        ..request_headers(&[("x-request-id", "2")], END)
    };
    let asked =
        [ProcessingRequest::default(), told, request_headers(&[("x-request-id", "1")], END)];
    let mut stream = gateway.ask(asked);
    assert_eq!(stream.answer().await, picked(ENDPOINT, &[]));
    stream.half_close();
    stream.ended_well().await;
}

#[tokio::test]
async fn a_half_closed_stream_ends_well_unless_an_answer_is_owed() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut silent = gateway.open();
    silent.half_close();
    silent.ended_well().await;
    let mut cut = gateway.ask([request_headers(&[], MORE), request_body("{", MORE)]);
    cut.half_close();
    let status = cut.ended().await;
    let text = "the stream was half-closed before the request was whole";
    assert_eq!((status.code(), status.message()), (Code::Cancelled, text));
}
