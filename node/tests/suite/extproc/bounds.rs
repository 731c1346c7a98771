//! Bounds on what gateways may make the picker hold, each with its refusal and its count.

use convoy_proto::{
    ext_proc::ProcessingRequest,
    filter::processing_mode::BodySendMode::{None as NoBody, Streamed},
};
use convoy_tests::processes::eventually;
use prost::Message as _;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};
use tonic::Code;

use super::{
    gateway::{Gateway, Stream},
    messages::{
        END, MORE, picked, refused, request_body, request_body_as_is, request_headers,
        request_piece, response_body, response_headers, response_headers_set, response_piece,
        with_modes,
    },
    picker::{ENDPOINT, Picker, SOON},
    raw::{PROCESS, Raw},
};

const PATH: (&str, &str) = (":path", "/upload");
const ID: (&str, &str) = ("x-request-id", "1");

/// A stream that has said headers and `bytes` of a body that goes on.
fn begun(gateway: &Gateway, bytes: usize) -> Stream {
    gateway.ask([request_headers(&[PATH, ID], MORE), request_body(vec![b'a'; bytes], MORE)])
}

/// Ends the body of a stream that has said `bytes`; all of it must come back.
async fn finish(stream: &mut Stream, bytes: usize) {
    stream.say(request_body("", END));
    let length = bytes.to_string();
    let set = [PATH, ID, ("Content-Length", &*length)];
    assert_eq!(stream.answer().await, picked(ENDPOINT, &set));
    assert_eq!(stream.answer().await, request_piece(vec![b'a'; bytes], END));
}

#[tokio::test]
async fn a_body_beyond_its_bound_is_refused_with_413() {
    let picker = Picker::with_flags(&["--body-bytes-max", "1000"]).await;
    let gateway = picker.gateway().await;
    finish(&mut begun(&gateway, 1000), 1000).await;
    let mut stream = begun(&gateway, 1000);
    stream.say(request_body("a", MORE));
    let text = "inference error: PayloadTooLarge - the request body is larger than 1000 bytes \
                (--body-bytes-max)";
    assert_eq!(stream.answer().await, refused(413, text, None));
    stream.ended_well().await;
    picker.metric_becomes("convoy_refused_total", &["bound=\"body_bytes\""], 1.0).await;
    picker.metric_becomes("convoy_bodies_held_bytes", &[], 0.0).await;
    let labels = ["error_code=\"PayloadTooLarge\""];
    picker.metric_becomes("llm_d_epp_request_error_total", &labels, 1.0).await;
}

#[tokio::test]
async fn all_bodies_together_beyond_their_bound_are_refused_with_503() {
    let flags = ["--body-bytes-max", "1000", "--bodies-bytes-max", "1500"];
    let picker = Picker::with_flags(&flags).await;
    let gateway = picker.gateway().await;
    let mut first = begun(&gateway, 1000);
    let mut second = begun(&gateway, 501);
    let text = "inference error: ServiceUnavailable - bodies in flight exceed 1500 bytes \
                (--bodies-bytes-max); retry later";
    assert_eq!(second.answer().await, refused(503, text, None));
    second.ended_well().await;
    picker.metric_becomes("convoy_bodies_held_bytes", &[], 1000.0).await;
    finish(&mut begun(&gateway, 500), 500).await;
    finish(&mut first, 1000).await;
    finish(&mut begun(&gateway, 1000), 1000).await;
    picker.metric_becomes("convoy_refused_total", &["bound=\"bodies_bytes\""], 1.0).await;
    picker.metric_becomes("convoy_bodies_held_bytes", &[], 0.0).await;
}

#[tokio::test]
async fn very_long_headers_count_as_bodies_do_until_somebody_was_picked() {
    let flags = ["--body-bytes-max", "1000", "--bodies-bytes-max", "90000"];
    let picker = Picker::with_flags(&flags).await;
    let gateway = picker.gateway().await;
    let long = "a".repeat(70_000);
    let headers = [PATH, ID, ("x-long", &*long)];
    let mut first = gateway.ask([request_headers(&headers, MORE)]);
    let held = eventually("headers that are held", SOON, async || {
        (70_000.0 < picker.metric("convoy_bodies_held_bytes", &[]).await).then_some(())
    });
    held.await.unwrap();
    let text = "inference error: ServiceUnavailable - bodies in flight exceed 90000 bytes \
                (--bodies-bytes-max); retry later";
    let mut second = gateway.ask([request_headers(&headers, MORE)]);
    assert_eq!(second.answer().await, refused(503, text, None));
    first.say(request_body("", END));
    assert_eq!(first.answer().await, picked(ENDPOINT, &headers));
    picker.metric_becomes("convoy_bodies_held_bytes", &[], 0.0).await;
}

#[tokio::test]
async fn a_response_that_finds_no_room_passes_as_it_comes() {
    let flags = ["--body-bytes-max", "1000", "--bodies-bytes-max", "1000"];
    let picker = Picker::with_flags(&flags).await;
    let gateway = picker.gateway().await;
    let mut waiting = begun(&gateway, 900);
    let mut stream = gateway.ask([response_headers(&[], MORE)]);
    assert_eq!(stream.answer().await, response_headers_set(&[]));
    stream.say(response_body(vec![b'b'; 101], MORE));
    assert_eq!(stream.answer().await, response_piece(vec![b'b'; 101], MORE));
    stream.say(response_body("", END));
    assert_eq!(stream.answer().await, response_piece("", END));
    stream.ended_well().await;
    finish(&mut waiting, 900).await;
}

#[tokio::test]
async fn streams_beyond_their_bound_are_refused_with_503() {
    let picker = Picker::with_flags(&["--streams-max", "2"]).await;
    let gateway = picker.gateway().await;
    let (mut first, second) = (begun(&gateway, 10), begun(&gateway, 10));
    let mut third = begun(&gateway, 10);
    let text = "inference error: ServiceUnavailable - more than 2 requests in flight \
                (--streams-max); retry later";
    assert_eq!(third.answer().await, refused(503, text, None));
    third.ended_well().await;
    picker.metric_becomes("convoy_refused_total", &["bound=\"streams\""], 1.0).await;
    picker.metric_becomes("llm_d_epp_extproc_streams_inflight", &[], 2.0).await;
    drop(second);
    picker.metric_becomes("llm_d_epp_extproc_streams_inflight", &[], 1.0).await;
    finish(&mut begun(&gateway, 10), 10).await;
    finish(&mut first, 10).await;
}

#[tokio::test]
async fn whatever_a_stream_beyond_the_bound_begins_with_is_refused() {
    let picker = Picker::with_flags(&["--streams-max", "1"]).await;
    let gateway = picker.gateway().await;
    let mut first = begun(&gateway, 10);
    let text = "inference error: ServiceUnavailable - more than 1 requests in flight \
                (--streams-max); retry later";
    let beginnings = [
        request_headers(&[PATH], END),
        request_body("a", END),
        response_headers(&[(":status", "200")], MORE),
        response_headers(&[(":status", "200")], END),
        response_body("a", END),
    ];
    let begins = beginnings.len();
    for beginning in beginnings {
        let mut beyond = gateway.ask([beginning]);
        assert_eq!(beyond.answer().await, refused(503, text, None));
        beyond.ended_well().await;
    }
    let observed = ProcessingRequest { observability_mode: true, ..response_headers(&[], MORE) };
    gateway.ask([observed]).ended_well().await;
    let refused = f64::from(u32::try_from(begins).unwrap() + 1);
    picker.metric_becomes("convoy_refused_total", &["bound=\"streams\""], refused).await;
    finish(&mut first, 10).await;
}

#[tokio::test]
async fn streams_that_wait_to_be_refused_are_bounded_too() {
    let picker = Picker::with_flags(&["--streams-max", "1"]).await;
    let gateway = Raw::to(picker.ports().extproc).await;
    let served = gateway.open(PROCESS).await.unwrap();
    let _silent = gateway.open(PROCESS).await.unwrap();
    let beyond = gateway.open(PROCESS).await.unwrap();
    let text = "too many streams are open; retry later";
    assert_eq!(beyond.end().await, ("8".to_owned(), text.to_owned()));
    drop(served);
    let room = eventually("room for a stream", SOON, async || {
        let mut call = gateway.open(PROCESS).await.unwrap();
        call.say(&request_headers(&[PATH, ID], END).encode_to_vec());
        call.say(&response_headers(&[], END).encode_to_vec());
        (call.end().await.0 == "0").then_some(())
    });
    room.await.unwrap();
    picker.metric_becomes("llm_d_epp_extproc_streams_inflight", &[], 1.0).await;
}

#[tokio::test]
async fn connections_beyond_their_bound_are_closed() {
    let picker = Picker::with_flags(&["--connections-max", "2"]).await;
    let first = picker.gateway().await;
    let second = Raw::to(picker.ports().extproc).await;
    picker.metric_becomes("convoy_connections", &[], 2.0).await;
    let mut third = TcpStream::connect(picker.ports().extproc).await.unwrap();
    let said = timeout(SOON, third.read_to_end(&mut Vec::new())).await.expect("an end in time");
    // Nothing, or a reset.
    assert!(matches!(said, Ok(0) | Err(_)), "{said:?}");
    picker.metric_becomes("convoy_refused_total", &["bound=\"connections\""], 1.0).await;
    finish(&mut begun(&first, 10), 10).await;
    drop(first);
    picker.metric_becomes("convoy_connections", &[], 1.0).await;
    finish(&mut begun(&picker.gateway().await, 10), 10).await;
    assert!(second.open(PROCESS).await.is_some());
}

#[tokio::test]
async fn messages_that_come_in_parts_are_bounded_over_all_connections() {
    let picker = Picker::with_flags(&["--transit-bytes-max", "1000"]).await;
    let first = Raw::to(picker.ports().extproc).await;
    let second = Raw::to(picker.ports().extproc).await;
    let part = |length: u16| [&[0, 0, 0][..], &length.to_be_bytes(), b"x"].concat();
    let mut waiting = first.open(PROCESS).await.unwrap();
    waiting.say_raw(&part(600));
    picker.metric_becomes("convoy_transit_bytes", &[], 600.0).await;
    let mut beyond = second.open(PROCESS).await.unwrap();
    beyond.say_raw(&part(600));
    let text = "a message of 600 bytes, and no room for it: other messages take all that there is";
    assert_eq!(beyond.end().await, ("8".to_owned(), text.to_owned()));
    picker.metric_becomes("convoy_refused_total", &["bound=\"arriving_bytes\""], 1.0).await;
    drop(first);
    picker.metric_becomes("convoy_transit_bytes", &[], 0.0).await;
}

#[tokio::test]
async fn a_request_that_is_not_whole_in_time_is_refused_with_504() {
    let picker = Picker::with_flags(&["--request-deadline", "100ms"]).await;
    let gateway = picker.gateway().await;
    let headers = with_modes(request_headers(&[PATH, ID], MORE), Streamed, NoBody);
    let mut passing = gateway.ask([headers]);
    assert_eq!(passing.answer().await, picked(ENDPOINT, &[PATH, ID]));
    for mut stream in [begun(&gateway, 10), gateway.open()] {
        let text = "inference error: DeadlineExceeded - the request did not arrive whole within \
                    100ms (--request-deadline)";
        assert_eq!(stream.answer().await, refused(504, text, None));
        stream.ended_well().await;
    }
    picker.metric_becomes("convoy_refused_total", &["bound=\"deadline\""], 2.0).await;
    picker.metric_becomes("convoy_bodies_held_bytes", &[], 0.0).await;
    // A body that passes after the pick may take as long as its client needs.
    passing.say(request_body("a", MORE));
    assert_eq!(passing.answer().await, request_body_as_is());
}

#[tokio::test]
async fn a_message_longer_than_its_bound_ends_its_stream() {
    let picker = Picker::with_flags(&["--grpc-max-recv-msg-size", "1000"]).await;
    let gateway = picker.gateway().await;
    let mut bystander = begun(&gateway, 10);
    let too_long = request_body(vec![b'a'; 1000], MORE);
    let text = format!("a message of {} bytes; at most 1000 are accepted", too_long.encoded_len());
    let mut stream = gateway.ask([request_headers(&[PATH], MORE), too_long]);
    let status = stream.ended().await;
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, &*text));
    finish(&mut bystander, 10).await;
    let code = ["code=\"ResourceExhausted\""];
    picker.metric_becomes("llm_d_epp_extproc_streams_total", &code, 1.0).await;
    picker.metric_becomes("convoy_refused_total", &["bound=\"message_bytes\""], 1.0).await;
}

/// Clients choose these names, and what is counted under a name is kept for ever.
#[tokio::test]
async fn long_names_are_counted_together() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let long = "a".repeat(100_000);
    let body = format!(r#"{{"model":"{long}","prompt":"a"}}"#);
    let headers = [("x-llm-d-inference-fairness-id", &*long)];
    for rewrite in [&[][..], &[("x-llm-d-model-name-rewrite", &*long)]] {
        let headers: Vec<_> = headers.iter().chain(rewrite).copied().collect();
        let asked = [request_headers(&headers, MORE), request_body(body.clone(), END)];
        gateway.ask(asked).answer().await;
    }
    let labels = ["model_name=\"other\"", "target_model_name=\"other\"", "fairness_id=\"other\""];
    picker.metric_becomes("llm_d_epp_request_total", &labels, 2.0).await;
    let page = picker.metrics_page().await;
    assert!(page.len() < 200_000, "a page of {} bytes", page.len());
}

#[tokio::test]
async fn as_many_headers_as_there_may_be_are_answered_and_more_close_the_stream() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let names: Vec<String> = (0..=4096).map(|number| format!("x{number}")).collect();
    let too_many: Vec<_> = names.iter().map(|name| (&**name, "")).collect();
    let headers = &too_many[1..];
    let body = r#"{"model":"m","prompt":"a"}"#;
    let mut stream = gateway.ask([request_headers(headers, MORE), request_body(body, END)]);
    stream.answer().await;
    assert_eq!(stream.answer().await, request_piece(body, END));
    stream.say(response_headers(headers, END));
    assert_eq!(stream.answer().await, response_headers_set(&[]));
    let status = gateway.ask([request_headers(&too_many, END)]).ended().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().ends_with("more than 4096 headers"), "{status:?}");
}

#[tokio::test]
async fn a_connection_that_grew_old_is_asked_to_go_and_finishes_what_is_open() {
    let picker = Picker::with_flags(&["--connection-age-max", "100ms"]).await;
    let mut raw = Raw::to(picker.ports().extproc).await;
    let mut call = raw.open(PROCESS).await.unwrap();
    call.say(&request_headers(&[PATH, ID], MORE).encode_to_vec());
    let goes = eventually("the connection to take no more", SOON, async || {
        raw.open(PROCESS).await.is_none().then_some(())
    });
    goes.await.unwrap();
    call.say(&request_body("a", END).encode_to_vec());
    call.say(&response_headers(&[], END).encode_to_vec());
    assert_eq!(call.end().await, ("0".to_owned(), String::new()));
    raw.closed().await;
}

#[tokio::test]
async fn what_is_not_ext_proc_is_refused_by_its_status() {
    let picker = Picker::with_flags(&[]).await;
    let raw = Raw::to(picker.ports().extproc).await;
    let owned = |status: &str, text: &str| (status.to_owned(), text.to_owned());
    let elsewhere = raw.call("/grpc.health.v1.Health/Check", &[b""]).await;
    let text = "/grpc.health.v1.Health/Check is not served here";
    assert_eq!(elsewhere, owned("12", text));
    let (status, text) = raw.call(PROCESS, &[b"\xff\xff\xff"]).await;
    assert_eq!(status, "3", "{text}");
    assert!(text.starts_with("the message is not a ProcessingRequest: "), "{text}");
    let mut compressed = raw.open(PROCESS).await.unwrap();
    compressed.say_raw(&[1, 0, 0, 0, 0]);
    let text = "a compressed message; only uncompressed ones (flag 0) are accepted, the flag is 1";
    assert_eq!(compressed.end().await, owned("12", text));
    picker.metric_becomes("llm_d_epp_extproc_streams_total", &["InvalidArgument"], 2.0).await;
    picker.metric_becomes("llm_d_epp_extproc_streams_inflight", &[], 0.0).await;
}
