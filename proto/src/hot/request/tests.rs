//! What the decoder promises beside reading as the generated types do.

use super::*;
use crate::base::HeaderMap;
use crate::ext_proc::processing_request::Request as Part;
use crate::ext_proc::{HttpBody, HttpHeaders, HttpTrailers, ProcessingRequest};
use prost::Message as _;

fn encoded(part: Part) -> Bytes {
    let request = ProcessingRequest { request: Some(part), ..ProcessingRequest::default() };
    request.encode_to_vec().into()
}

fn body_of(question: Option<Question>) -> Bytes {
    match question {
        Some(Question::RequestBody(body) | Question::ResponseBody(body)) => body.body,
        other => panic!("{other:?} has no body"),
    }
}

#[test]
fn a_body_is_a_slice_of_its_message() {
    let body = Bytes::from(vec![7; 1 << 20]);
    let message = encoded(Part::RequestBody(HttpBody { body, ..HttpBody::default() }));
    let whole = message.as_ptr_range();
    let body = body_of(decode(message).unwrap().question);
    assert_eq!(body.len(), 1 << 20);
    assert!(whole.contains(&body.as_ptr()), "the body was copied");
}

#[test]
fn an_empty_message_asks_nothing() {
    let nothing = decode(Bytes::new()).unwrap();
    assert_eq!(nothing.question, None);
    assert_eq!(nothing.protocol_config, None);
    assert!(nothing.metadata.is_empty());
}

#[test]
fn an_empty_part_still_asks() {
    let trailers = Part::ResponseTrailers(HttpTrailers::default());
    let expected = Question::ResponseTrailers(HeaderList::default());
    assert_eq!(decode(encoded(trailers)).unwrap().question, Some(expected));
}

#[test]
fn the_last_of_two_questions_counts() {
    let mut message = encoded(Part::RequestHeaders(HttpHeaders::default())).to_vec();
    let body = HttpBody { body: "last".into(), ..HttpBody::default() };
    message.extend_from_slice(&encoded(Part::RequestBody(body)));
    let found = decode(message.into()).unwrap().question;
    assert_eq!(
        found,
        Some(Question::RequestBody(Body { body: "last".into(), end_of_stream: false }))
    );
}

#[test]
fn a_mode_that_nobody_knows_is_unknown() {
    let found = decode(Bytes::from_static(&[11 << 3 | 2, 4, 1 << 3, 4, 2 << 3, 99])).unwrap();
    let expected = ProtocolConfig {
        request_body_mode: Some(BodySendMode::FullDuplexStreamed),
        response_body_mode: None,
    };
    assert_eq!(found.protocol_config, Some(expected));
}

#[test]
fn prompts_and_header_values_are_not_shown() {
    let body = HttpBody { body: "a secret prompt".into(), ..HttpBody::default() };
    let shown = format!("{:?}", decode(encoded(Part::RequestBody(body))).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
    let headers: HeaderList = [("authorization", "a secret key")].into_iter().collect();
    let shown = format!("{headers:?}");
    assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
}

/// Two bytes each: a message of 4 MB would otherwise cost 60 MB and a good part of a second.
#[test]
fn more_headers_than_any_request_has_are_refused() {
    let headers = |count: usize| {
        let map = [0x0a, 0].repeat(count);
        let map = HeaderMap::decode(&*map).unwrap();
        encoded(Part::RequestHeaders(HttpHeaders { headers: Some(map), ..HttpHeaders::default() }))
    };
    decode(headers(HEADERS_MAX)).unwrap();
    let refusal = decode(headers(HEADERS_MAX + 1)).unwrap_err().to_string();
    assert!(refusal.ends_with("more than 4096 headers"), "{refusal}");
}

/// Rows are a message and what is said of it.
#[test]
fn a_refusal_says_what_is_wrong_and_where() {
    let rows: [(&[u8], &str); 12] = [
        (&[0x22, 5], "ProcessingRequest field 4 at byte 2: a length of 5 with 0 bytes left"),
        (&[0x22, 2, 0x0a, 9], "HttpBody field 1 at byte 4: a length of 9 with 0 bytes left"),
        (&[0x20, 1], "ProcessingRequest field 4 at byte 1: wire type 0 where 2 is due"),
        (&[0x48, 0], "ProcessingRequest field 9 at byte 1: wire type 0 where 2 is due"),
        (&[0x22, 2, 0x12, 0], "HttpBody field 2 at byte 3: wire type 2 where 0 is due"),
        (&[0x80], "ProcessingRequest at byte 0: the bytes end within the field"),
        (&[0], "ProcessingRequest at byte 1: 0x0 names no field"),
        (&[0x0f], "ProcessingRequest at byte 1: 0xf names no field"),
        (&[0xff; 11], "ProcessingRequest at byte 0: an integer does not fit 64 bits"),
        (&[0x0c], "ProcessingRequest field 1 at byte 1: a group ends that did not begin"),
        (
            &[0x12, 7, 0x0a, 5, 0x0a, 3, 0x0a, 1, 0xff],
            "HeaderValue field 1 at byte 9: a string is not UTF-8",
        ),
        (&[0x0d, 1, 2], "ProcessingRequest field 1 at byte 1: a length of 4 with 2 bytes left"),
    ];
    for (message, expected) in rows {
        let refusal = decode(Bytes::from_static(message)).unwrap_err().to_string();
        assert_eq!(refusal.replace(" is malformed", ""), expected);
    }
}
