//! What counts as a right answer, and what each wrong one is called.

use bytes::Bytes;
use convoy_proto::base::HeaderValue;
use convoy_proto::ext_proc::{BodyMutation, CommonResponse, HeaderMutation, TrailersResponse};
use convoy_proto::http_status::HttpStatus;
use prost_types::{Struct, Value};

use super::*;
use crate::bench::settings::{AnswerShape, Client, RequestShape};
use crate::bench::workload::Workload;

const PICK: &str = "10.0.0.1:8000";

fn workload() -> Workload {
    let request = RequestShape {
        input_tokens: Some(1000),
        conversations: 1,
        shared_prefix: 0.5,
        model: "m".to_owned(),
        client: Client::Http2,
        chunk_bytes: 1024,
    };
    let answer = AnswerShape {
        output_tokens: 3,
        token_gap: std::time::Duration::ZERO,
        time_to_first_token: std::time::Duration::ZERO,
    };
    Workload::new(&request, answer, 1)
}

fn bytes_of(pieces: &Pieces<'_>) -> Vec<u8> {
    (0..).map_while(|nth| pieces.get(nth)).flat_map(|piece| piece.body.to_vec()).collect()
}

fn message(response: Response) -> ProcessingResponse {
    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() }
}

fn picked_by(header: Option<&str>, metadata: Option<&str>) -> ProcessingResponse {
    let set_headers = header.map(|pick| HeaderValueOption {
        header: Some(HeaderValue {
            key: DESTINATION.to_owned(),
            raw_value: Bytes::copy_from_slice(pick.as_bytes()),
            ..HeaderValue::default()
        }),
        ..HeaderValueOption::default()
    });
    let response = CommonResponse {
        header_mutation: Some(HeaderMutation {
            set_headers: set_headers.into_iter().collect(),
            remove_headers: Vec::new(),
        }),
        ..CommonResponse::default()
    };
    let structure =
        |key: &str, kind| Struct { fields: [(key.to_owned(), Value { kind: Some(kind) })].into() };
    ProcessingResponse {
        dynamic_metadata: metadata.map(|pick| {
            let fields = structure(DESTINATION, Kind::StringValue(pick.to_owned()));
            structure(LB_NAMESPACE, Kind::StructValue(fields))
        }),
        ..message(Response::RequestHeaders(HeadersResponse { response: Some(response) }))
    }
}

fn pick() -> ProcessingResponse {
    picked_by(Some(PICK), Some(PICK))
}

fn body(bytes: &[u8], end_of_stream: bool) -> BodyResponse {
    let chunk = StreamedBodyResponse {
        body: Bytes::copy_from_slice(bytes),
        end_of_stream,
        ..StreamedBodyResponse::default()
    };
    let mutation = BodyMutation { mutation: Some(Mutation::StreamedResponse(chunk)) };
    BodyResponse {
        response: Some(CommonResponse {
            body_mutation: Some(mutation),
            ..CommonResponse::default()
        }),
    }
}

fn request_body(bytes: &[u8], end_of_stream: bool) -> ProcessingResponse {
    message(Response::RequestBody(body(bytes, end_of_stream)))
}

fn answer_body(bytes: &[u8], end_of_stream: bool) -> ProcessingResponse {
    message(Response::ResponseBody(body(bytes, end_of_stream)))
}

fn answer_headers() -> ProcessingResponse {
    message(Response::ResponseHeaders(HeadersResponse { response: None }))
}

/// The fault that the last of `messages` brings.
fn fault(workload: &Workload, messages: Vec<ProcessingResponse>) -> Fault {
    let question = workload.question(0);
    let mut checker = Checker::new(question.body, workload.answer());
    let mut messages = messages.into_iter().peekable();
    while let Some(message) = messages.next() {
        match (checker.hear(message), messages.peek()) {
            (Ok(_), Some(_)) => {}
            (Err(fault), None) => return fault,
            (heard, _) => panic!("{heard:?}"),
        }
    }
    panic!("no message")
}

#[test]
fn an_echo_is_right_however_it_is_cut() {
    let workload = workload();
    let question = workload.question(0);
    let asked = bytes_of(&question.body);
    let answered = bytes_of(&workload.answer());
    for size in [1, 7, 1023, 1024, 1025, 62_000] {
        let mut checker = Checker::new(question.body.clone(), workload.answer());
        assert!(checker.hear(pick()).unwrap().picked);
        for part in asked.chunks(size) {
            checker.hear(request_body(part, false)).unwrap();
        }
        assert!(!checker.is_request_answered());
        checker.hear(request_body(b"", true)).unwrap();
        assert!(checker.is_request_answered());
        checker.hear(answer_headers()).unwrap();
        let chunks: usize = answered
            .chunks(size)
            .map(|part| checker.hear(answer_body(part, false)).unwrap().answer_chunks)
            .sum();
        assert_eq!(chunks, workload.answer().len() - 1);
        assert_eq!(checker.hear(answer_body(b"", true)).unwrap().answer_chunks, 1);
        assert!(checker.is_answer_answered());
        assert_eq!(checker.pick(), Some(PICK));
    }
}

#[test]
fn an_end_of_stream_may_be_repeated() {
    let workload = workload();
    let asked = bytes_of(&workload.question(0).body);
    let mut checker = Checker::new(workload.question(0).body, workload.answer());
    for message in [pick(), request_body(&asked, true), request_body(b"", true)] {
        checker.hear(message).unwrap();
    }
}

#[test]
fn a_pick_has_to_be_in_header_and_metadata_alike() {
    let workload = workload();
    let fault = |header, metadata| fault(&workload, vec![picked_by(header, metadata)]).kind();
    assert_eq!(fault(None, Some(PICK)), "no_pick_in_header");
    assert_eq!(fault(Some(PICK), None), "no_pick_in_metadata");
    assert_eq!(fault(Some(PICK), Some("10.0.0.2:8000")), "two_picks");
    assert_eq!(fault(Some("pod-1"), Some("pod-1")), "no_address");
    let list = "10.0.0.1:8000,[fd00::1]:8000";
    let mut checker = Checker::new(workload.question(0).body, workload.answer());
    assert!(checker.hear(picked_by(Some(list), Some(list))).is_ok());
}

#[test]
fn a_changed_body_is_named_with_its_place() {
    let workload = workload();
    let mut asked = bytes_of(&workload.question(0).body);
    asked[1500] ^= 1;
    let found = fault(&workload, vec![pick(), request_body(&asked, true)]);
    let Fault::WrongEcho { part: Part::RequestBody, at } = found else { panic!("{found:?}") };
    assert!((1024..=1500).contains(&at), "{at}");
}

#[test]
fn too_much_and_too_little_of_a_body_are_faults() {
    let workload = workload();
    let asked = bytes_of(&workload.question(0).body);
    let long = [&asked, b"x".as_slice()].concat();
    let kind = |messages| fault(&workload, messages).kind();
    assert_eq!(kind(vec![pick(), request_body(&long, true)]), "wrong_echo");
    assert_eq!(
        kind(vec![pick(), request_body(&asked, true), request_body(b"x", false)]),
        "wrong_echo"
    );
    assert_eq!(kind(vec![pick(), request_body(&asked[..2000], true)]), "ends_early");
}

#[test]
fn answers_out_of_order_are_faults() {
    let workload = workload();
    let asked = bytes_of(&workload.question(0).body);
    let trailers = message(Response::RequestTrailers(TrailersResponse { header_mutation: None }));
    let rows = [
        vec![request_body(b"", false)],
        vec![pick(), pick()],
        vec![pick(), answer_headers()],
        vec![pick(), request_body(&asked, true), answer_body(b"", false)],
        vec![pick(), request_body(&asked, true), answer_headers(), answer_headers()],
        vec![pick(), trailers],
    ];
    for messages in rows {
        assert_eq!(fault(&workload, messages).kind(), "out_of_order");
    }
}

#[test]
fn a_body_that_is_only_let_through_is_not_an_echo() {
    let workload = workload();
    let through = message(Response::RequestBody(BodyResponse { response: None }));
    assert_eq!(fault(&workload, vec![pick(), through]).kind(), "not_streamed");
}

#[test]
fn a_refusal_is_counted_by_its_status_and_kept_short() {
    let workload = workload();
    let refusal = message(Response::ImmediateResponse(ImmediateResponse {
        status: Some(HttpStatus { code: 503 }),
        body: Bytes::from(vec![b'x'; 5000]),
        ..ImmediateResponse::default()
    }));
    let found = fault(&workload, vec![refusal]);
    assert_eq!(found.kind(), "refused_503");
    assert!(found.to_string().len() < 300);
}
