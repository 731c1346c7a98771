//! What a stream keeps while it waits: every message is a slice of what was read from the socket, so
//! one that is kept without need keeps 64 KB.

use bytes::Bytes;
use convoy_node::{
    clock,
    extproc::{Desk, Exchange},
};
use convoy_proto::ext_proc::ProcessingRequest;
use prost::Message as _;

use super::{
    inside::desk,
    messages::{END, MORE, request_body, request_headers, response_body, response_headers},
};

/// Says `message`; returns what it was read from.
fn say(exchange: &mut Exchange, desk: &mut Desk, message: &ProcessingRequest) -> Bytes {
    let read = Bytes::from(message.encode_to_vec());
    exchange.on_message(read.clone(), desk, clock::now()).unwrap();
    desk.outbox.clear();
    read
}

#[test]
fn a_stream_that_waits_for_its_response_keeps_nothing_of_its_request() {
    let desk = &mut desk();
    let exchange = &mut Exchange::open(desk, clock::now()).unwrap();
    let headers = say(exchange, desk, &request_headers(&[("hi", "mom")], MORE));
    assert!(!headers.is_unique(), "headers are needed until somebody is picked");
    let body = say(exchange, desk, &request_body(r#"{"model":"m","prompt":"a"}"#, END));
    assert!(headers.is_unique() && body.is_unique());
}

#[test]
fn a_stream_whose_response_passes_keeps_nothing_of_its_headers() {
    let desk = &mut desk();
    let exchange = &mut Exchange::open(desk, clock::now()).unwrap();
    say(exchange, desk, &request_headers(&[], END));
    let sse = [("content-type", "text/event-stream")];
    let headers = say(exchange, desk, &response_headers(&sse, MORE));
    assert!(headers.is_unique());
    let chunk = say(exchange, desk, &response_body("data: a\n\n", MORE));
    assert!(chunk.is_unique());
}
