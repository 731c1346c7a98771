//! What the made-up requests and answers look like to a picker.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

fn workload(input_tokens: Option<usize>, shared_prefix: f64, chunk_bytes: usize) -> Workload {
    let request = RequestShape {
        input_tokens,
        conversations: 2,
        shared_prefix,
        model: "sim/llama".to_owned(),
        client: Client::Http2,
        chunk_bytes,
    };
    let answer = AnswerShape {
        output_tokens: 20,
        token_gap: Duration::ZERO,
        time_to_first_token: Duration::ZERO,
    };
    Workload::new(&request, answer, 5)
}

fn decoded(message: &Bytes) -> ProcessingRequest {
    let (prefix, body) = message.split_at(PREFIX_BYTES);
    assert_eq!(prefix[0], 0);
    assert_eq!(prefix[1..], u32::try_from(body.len()).unwrap().to_be_bytes());
    ProcessingRequest::decode(body).unwrap()
}

fn pieces<'a>(pieces: &'a Pieces<'_>) -> Vec<&'a Piece> {
    (0..).map_while(|nth| pieces.get(nth)).collect()
}

fn body(all: &Pieces<'_>) -> Vec<u8> {
    pieces(all).iter().flat_map(|piece| piece.body.to_vec()).collect()
}

fn prompt(body: &[u8]) -> String {
    let request: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(request["stream"], true);
    request["messages"][1]["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_body_is_a_chat_request_of_the_asked_length_in_chunks() {
    for (tokens, chunk_bytes) in [(1, 1024), (200, 16_384), (10_000, 1024), (10_000, 16_384)] {
        let workload = workload(Some(tokens), 0.9, chunk_bytes);
        for nth in 0..20 {
            let question = workload.question(nth);
            let bytes = body(&question.body);
            let escapes = prompt(&bytes).matches('\n').count();
            assert_eq!(prompt(&bytes).len() + escapes, tokens * BYTES_PER_TOKEN);
            let pieces = pieces(&question.body);
            assert_eq!(pieces.len(), bytes.len().div_ceil(chunk_bytes));
            for (nth, piece) in pieces.iter().enumerate() {
                let Some(Part::RequestBody(sent)) = decoded(&piece.message).request else {
                    panic!("{piece:?}")
                };
                assert_eq!(sent.body, piece.body);
                assert_eq!(sent.end_of_stream, nth + 1 == pieces.len());
            }
        }
    }
}

#[test]
fn what_an_http1_client_sends_comes_whole_with_an_empty_end() {
    let request = RequestShape {
        input_tokens: Some(10_000),
        conversations: 1,
        shared_prefix: 0.9,
        model: "sim/llama".to_owned(),
        client: Client::Http1,
        chunk_bytes: Client::Http1.chunk_bytes(),
    };
    let answer = AnswerShape {
        output_tokens: 20,
        token_gap: Duration::ZERO,
        time_to_first_token: Duration::ZERO,
    };
    let workload = Workload::new(&request, answer, 5);
    let question = workload.question(0);
    let lengths: Vec<_> = pieces(&question.body).iter().map(|piece| piece.body.len()).collect();
    assert_eq!(lengths.len(), 2);
    assert!(40_000 < lengths[0] && lengths[1] == 0, "{lengths:?}");
}

#[test]
fn requests_of_a_conversation_share_as_much_as_asked() {
    for chunk_bytes in [1024, 1037, 16_384] {
        let workload = workload(Some(10_000), 0.75, chunk_bytes);
        let prompts: Vec<_> =
            (0..40).map(|nth| prompt(&body(&workload.question(nth).body))).collect();
        let mut conversations = BTreeSet::new();
        for one in &prompts {
            let common = |other: &String| {
                one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
            };
            let longest = prompts.iter().filter(|other| *other != one).map(common).max().unwrap();
            assert!((29_000..31_000).contains(&longest), "{longest} bytes with {chunk_bytes}");
            conversations.insert(&one[..1000]);
        }
        assert_eq!(conversations.len(), 2);
    }
}

#[test]
fn nothing_or_all_of_a_prompt_can_be_shared() {
    let same = workload(Some(1000), 1.0, 1024);
    let prompts: BTreeSet<_> = (0..20).map(|nth| body(&same.question(nth).body)).collect();
    assert_eq!(prompts.len(), 2, "one for each conversation");
    let apart = workload(Some(1000), 0.0, 1024);
    let starts: BTreeSet<_> =
        (0..20).map(|nth| prompt(&body(&apart.question(nth).body))[..16].to_owned()).collect();
    assert_eq!(starts.len(), 20);
}

#[test]
fn request_ids_differ_and_equal_seeds_give_equal_requests() {
    let (one, other) = (workload(Some(100), 0.5, 1024), workload(Some(100), 0.5, 1024));
    let mut ids = BTreeSet::new();
    for nth in 0..100 {
        let (question, same) = (one.question(nth), other.question(nth));
        assert_eq!(question.headers, same.headers);
        assert_eq!(body(&question.body), body(&same.body));
        let Some(Part::RequestHeaders(headers)) = decoded(&question.headers).request else {
            panic!("no headers")
        };
        assert!(!headers.end_of_stream);
        let headers = headers.headers.unwrap().headers;
        assert!((20..30).contains(&headers.len()));
        let length = headers.iter().find(|header| header.key == "content-length").unwrap();
        assert_eq!(length.raw_value, body(&question.body).len().to_string());
        let id = headers.iter().find(|header| header.key == "x-request-id").unwrap();
        assert_eq!((id.raw_value[14], id.raw_value.len()), (b'4', 36), "version 4");
        ids.insert(id.raw_value.clone());
    }
    assert_eq!(ids.len(), 100);
}

#[test]
fn a_request_without_body_ends_with_its_headers() {
    let workload = workload(None, 0.9, 1024);
    let question = workload.question(3);
    assert_eq!(question.body.len(), 0);
    let Some(Part::RequestHeaders(headers)) = decoded(&question.headers).request else {
        panic!("no headers")
    };
    assert!(headers.end_of_stream);
    assert_eq!(workload.answer().len(), 2, "the body and its end");
}

#[test]
fn the_first_message_says_how_bodies_travel_and_only_it_does() {
    let workload = workload(Some(10), 0.9, 1024);
    let question = workload.question(0);
    let config = decoded(&question.headers).protocol_config.unwrap();
    let full_duplex = i32::from(BodySendMode::FullDuplexStreamed);
    assert_eq!((config.request_body_mode, config.response_body_mode), (full_duplex, full_duplex));
    assert!(decoded(&question.body.get(0).unwrap().message).protocol_config.is_none());
}

#[test]
fn an_answer_is_one_event_for_each_token_one_with_the_usage_and_an_empty_end() {
    let workload = workload(Some(10), 0.9, 1024);
    let answer = workload.answer();
    let pieces = pieces(&answer);
    assert_eq!(pieces.len(), 22);
    for (nth, piece) in pieces.iter().enumerate() {
        let Some(Part::ResponseBody(sent)) = decoded(&piece.message).request else {
            panic!("{piece:?}")
        };
        assert_eq!(sent.end_of_stream, nth == 21);
        if sent.end_of_stream {
            assert!(sent.body.is_empty());
            continue;
        }
        let text = String::from_utf8(sent.body.to_vec()).unwrap();
        let event = text.strip_prefix("data: ").unwrap().split("\n\n").next().unwrap();
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        assert_eq!(event["usage"]["completion_tokens"].is_number(), nth == 20);
    }
}

#[test]
fn the_answers_headers_say_which_endpoint_was_picked_and_which_served() {
    let workload = workload(Some(10), 0.9, 1024);
    let message = decoded(&workload.answer_headers("10.0.0.1:8000,10.0.0.2:8000"));
    let metadata = message.metadata_context.unwrap().filter_metadata;
    let Some(Kind::StringValue(served)) = &metadata[LB_NAMESPACE].fields[DESTINATION_SERVED].kind
    else {
        panic!("{metadata:?}")
    };
    assert_eq!(served, "10.0.0.1:8000");
}
