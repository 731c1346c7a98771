//! Messages in an order that the protocol does not know: the stream ends, saying why, and touches
//! nothing else.

use convoy_proto::ext_proc::ProcessingRequest;
use tonic::Code;

use super::{
    messages::{END, MORE, picked, request_body, request_headers},
    picker::{ENDPOINT, Picker},
};

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
