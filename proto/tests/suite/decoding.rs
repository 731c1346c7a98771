//! What the hand-written decoder reads is what the generated types read, on messages of any shape and
//! on damaged ones.

use bytes::Bytes;
use convoy_proto::base::{HeaderMap, Metadata};
use convoy_proto::ext_proc::processing_request::Request as Part;
use convoy_proto::ext_proc::{HttpBody, HttpHeaders, ProcessingRequest};
use convoy_proto::filter::processing_mode::BodySendMode;
use convoy_proto::hot::{
    self, Body, DecodeError, Fault, HeaderList, Headers, LB_NAMESPACE, MetadataError,
    ProtocolConfig, Question, SUBSET_NAMESPACE,
};
use proptest::prelude::*;
use prost::Message as _;
use prost_types::Struct;

use crate::messages::{Schema, Tape, delimited, key, tapes};
use convoy_tests::property::check;

const REQUEST: &str = ".envoy.service.ext_proc.v3.ProcessingRequest";

const METADATA: &str = ".envoy.config.core.v3.Metadata";

/// Fields of which the hand-written decoder looks at no more than the length.
const UNREAD: [&str; 5] = [
    "ProcessingRequest.metadata_context",
    "ProcessingRequest.attributes",
    "ProcessingRequest.flow_control_init",
    "ProcessingRequest.client_window_update",
    "HttpHeaders.attributes",
];

/// Checks that both decoders say the same of `message`.
#[track_caller]
fn compare(message: &[u8]) -> Result<(), TestCaseError> {
    let message = Bytes::copy_from_slice(message);
    let generated = ProcessingRequest::decode(message.clone());
    let found = hot::decode(message);
    match (generated, found) {
        (Ok(generated), Ok(found)) => {
            prop_assert_eq!(found.question, generated.request.map(question));
            prop_assert_eq!(found.observability_mode, generated.observability_mode);
            prop_assert_eq!(
                found.protocol_config,
                generated.protocol_config.map(|config| {
                    ProtocolConfig {
                        request_body_mode: BodySendMode::try_from(config.request_body_mode).ok(),
                        response_body_mode: BodySendMode::try_from(config.response_body_mode).ok(),
                    }
                })
            );
            compare_metadata(generated.metadata_context.as_ref(), &found.metadata)
        }
        (Err(_), Err(_)) => Ok(()),
        (Ok(_), Err(refusal)) => {
            prop_assert!(is_map_of_wrong_type(&refusal), "refused alone: {}", refusal);
            Ok(())
        }
        (Err(refusal), Ok(_)) => {
            let refusal = refusal.to_string();
            let unread = UNREAD.iter().any(|field| refusal.contains(field));
            prop_assert!(unread, "accepted alone: {}", refusal);
            Ok(())
        }
    }
}

/// The generated types do not look at the wire type of a map.
fn is_map_of_wrong_type(refusal: &DecodeError) -> bool {
    let maps = [("ProcessingRequest", 9), ("HttpHeaders", 2), ("Metadata", 1), ("Metadata", 2)];
    matches!(refusal.fault, Fault::WireType { .. })
        && maps.contains(&(refusal.message, refusal.field))
}

fn question(part: Part) -> Question {
    match part {
        Part::RequestHeaders(part) => Question::RequestHeaders(headers(part)),
        Part::ResponseHeaders(part) => Question::ResponseHeaders(headers(part)),
        Part::RequestBody(part) => Question::RequestBody(body(part)),
        Part::ResponseBody(part) => Question::ResponseBody(body(part)),
        Part::RequestTrailers(part) => Question::RequestTrailers(list(part.trailers)),
        Part::ResponseTrailers(part) => Question::ResponseTrailers(list(part.trailers)),
    }
}

fn headers(part: HttpHeaders) -> Headers {
    Headers { headers: list(part.headers), end_of_stream: part.end_of_stream }
}

fn body(part: HttpBody) -> Body {
    Body { body: part.body, end_of_stream: part.end_of_stream }
}

fn list(map: Option<HeaderMap>) -> HeaderList {
    let headers = map.unwrap_or_default().headers.into_iter();
    headers
        .map(|header| {
            let from_text = header.raw_value.is_empty();
            (header.key, if from_text { header.value.into() } else { header.raw_value })
        })
        .collect()
}

fn compare_metadata(
    generated: Option<&Metadata>,
    found: &hot::MetadataContext,
) -> Result<(), TestCaseError> {
    let found = match found.read() {
        Ok(found) => found,
        Err(MetadataError::Malformed { source }) if is_map_of_wrong_type(&source) => return Ok(()),
        Err(refusal) => return Err(TestCaseError::fail(format!("refused alone: {refusal:?}"))),
    };
    // Compared as bytes, because a damaged number may be one that does not equal itself.
    let encoded = |namespace: Option<&Struct>| namespace.map(Struct::encode_to_vec);
    let expected =
        |name| encoded(generated.and_then(|metadata| metadata.filter_metadata.get(name)));
    prop_assert_eq!(encoded(found.lb.as_ref()), expected(LB_NAMESPACE));
    prop_assert_eq!(encoded(found.subset_hint.as_ref()), expected(SUBSET_NAMESPACE));
    Ok(())
}

#[test]
fn messages_of_any_shape_are_read_as_the_generated_types_read_them() {
    let schema = Schema::ours();
    check(&tapes(), |tape| {
        let message = schema.encode(REQUEST, &mut Tape(&tape));
        prop_assert!(ProcessingRequest::decode(&message[..]).is_ok());
        compare(&message)
    });
}

#[test]
fn questions_alone_are_read_as_the_generated_types_read_them() {
    let schema = Schema::ours().without(&UNREAD);
    check(&tapes(), |tape| compare(&schema.encode(REQUEST, &mut Tape(&tape))));
}

/// One change to the bytes of a message.
#[derive(Clone, Debug)]
enum Damage {
    Set { at: usize, to: u8 },
    Insert { at: usize, byte: u8 },
    Remove { at: usize },
    Cut { at: usize },
    Repeat { from: usize, bytes: usize, at: usize },
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let at = 0..2_000_usize;
    let one = prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, to)| Damage::Set { at, to }),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert { at, byte }),
        at.clone().prop_map(|at| Damage::Remove { at }),
        at.clone().prop_map(|at| Damage::Cut { at }),
        (at.clone(), 0..40_usize, at).prop_map(|(from, bytes, at)| Damage::Repeat {
            from,
            bytes,
            at
        }),
    ];
    proptest::collection::vec(one, 1..5)
}

impl Damage {
    /// Positions count round and round, so that every one is somewhere in the message.
    fn apply(&self, message: &mut Vec<u8>) {
        let place = message.len() + 1;
        match *self {
            Self::Set { at, to } => {
                if let Some(byte) = message.get_mut(at % place) {
                    *byte = to;
                }
            }
            Self::Insert { at, byte } => message.insert(at % place, byte),
            Self::Remove { at } => drop(message.drain(at % place..).next()),
            Self::Cut { at } => message.truncate(at % place),
            Self::Repeat { from, bytes, at } => {
                let from = from % place;
                let piece = message[from..message.len().min(from + bytes)].to_vec();
                let at = at % place;
                message.splice(at..at, piece);
            }
        }
    }
}

#[test]
fn damaged_messages_are_refused_where_the_generated_types_refuse_them() {
    let schema = Schema::ours().without(&UNREAD);
    let short = proptest::collection::vec(any::<u8>(), 0..100);
    check(&(short, damages()), |(tape, damages)| {
        let mut message = schema.encode(REQUEST, &mut Tape(&tape));
        for damage in &damages {
            damage.apply(&mut message);
        }
        compare(&message)
    });
}

#[test]
fn flawed_messages_are_refused_where_the_generated_types_refuse_them() {
    let schema = Schema::ours().without(&UNREAD).flawed();
    check(&tapes(), |tape| compare(&schema.encode(REQUEST, &mut Tape(&tape))));
}

#[test]
fn metadata_is_read_as_the_generated_types_read_it() {
    let inside = |message: &[u8]| {
        let mut outside = Vec::new();
        delimited(8, message, &mut outside);
        compare(&outside)
    };
    let (sound, flawed) = (Schema::ours(), Schema::ours().flawed());
    check(&tapes(), |tape| inside(&sound.encode(METADATA, &mut Tape(&tape))));
    check(&tapes(), |tape| inside(&flawed.encode(METADATA, &mut Tape(&tape))));
}

#[test]
fn any_bytes_are_refused_or_read_as_the_generated_types_do() {
    check(&proptest::collection::vec(any::<u8>(), 0..200), |message| compare(&message));
}

/// A message with something of everything in it.
fn example() -> Vec<u8> {
    let mut header = Vec::new();
    delimited(1, b":path", &mut header);
    delimited(3, b"/v1/chat/completions", &mut header);
    let mut map = Vec::new();
    delimited(1, &header, &mut map);
    let mut headers = Vec::new();
    delimited(1, &map, &mut headers);
    headers.extend_from_slice(&[3 << 3, 1]);
    let mut entry = Vec::new();
    delimited(1, b"envoy.lb", &mut entry);
    delimited(2, b"", &mut entry);
    let mut metadata = Vec::new();
    delimited(1, &entry, &mut metadata);
    let mut message = Vec::new();
    delimited(11, &[1 << 3, 4, 2 << 3, 4], &mut message);
    delimited(2, &headers, &mut message);
    delimited(8, &metadata, &mut message);
    key(90, 3, &mut message);
    key(91, 5, &mut message);
    message.extend_from_slice(&[0; 4]);
    key(90, 4, &mut message);
    message
}

#[test]
fn a_message_cut_anywhere_is_read_as_the_generated_types_read_it() {
    let message = example();
    for cut in 0..=message.len() {
        compare(&message[..cut]).unwrap();
    }
}

#[test]
fn groups_nest_as_deep_as_the_generated_types_allow() {
    for depth in 0..=120 {
        let mut groups = Vec::new();
        for _ in 0..depth {
            key(100, 3, &mut groups);
        }
        key(101, 0, &mut groups);
        groups.push(1);
        for _ in 0..depth {
            key(100, 4, &mut groups);
        }
        let mut inside = Vec::new();
        delimited(4, &groups, &mut inside);
        assert_eq!(hot::decode(groups.clone().into()).is_ok(), depth < 100, "{depth} groups");
        assert_eq!(hot::decode(inside.clone().into()).is_ok(), depth < 99, "{depth} groups inside");
        compare(&groups).unwrap();
        compare(&inside).unwrap();
    }
}

#[test]
fn metadata_that_came_in_parts_is_merged() {
    let metadata = |name: &[u8]| {
        let mut entry = Vec::new();
        delimited(1, name, &mut entry);
        delimited(2, b"", &mut entry);
        let mut metadata = Vec::new();
        delimited(1, &entry, &mut metadata);
        metadata
    };
    let mut message = Vec::new();
    delimited(8, &metadata(b"envoy.lb"), &mut message);
    delimited(8, &metadata(b"other"), &mut message);
    delimited(8, &metadata(b"envoy.lb.subset_hint"), &mut message);
    let found = hot::decode(message.into()).unwrap().metadata.read().unwrap();
    assert_eq!((found.lb, found.subset_hint), (Some(Struct::default()), Some(Struct::default())));
}
