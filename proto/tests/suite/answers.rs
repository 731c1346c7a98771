//! Answers written by hand decode to what the generated types would have encoded.

use std::collections::BTreeMap;

use bytes::Bytes;
use convoy_proto::base::{HeaderValue, HeaderValueOption};
use convoy_proto::ext_proc::body_mutation::Mutation;
use convoy_proto::ext_proc::processing_response::Response;
use convoy_proto::ext_proc::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, ImmediateResponse,
    ProcessingResponse, StreamedBodyResponse, TrailersResponse,
};
use convoy_proto::hot::Direction;
use convoy_proto::hot::answer::{self, Changes, Picked, SetHeader};
use convoy_proto::http_status::HttpStatus;
use proptest::prelude::*;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use convoy_tests::property::check;

/// Lengths around those at which a length takes one byte more.
const BODY_BYTES: [usize; 14] =
    [0, 1, 2, 100, 120, 127, 128, 129, 16_300, 16_383, 16_384, 62_000, 2_097_151, 2_097_152];

fn directions() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Request), Just(Direction::Response)]
}

fn body_lengths() -> impl Strategy<Value = usize> {
    prop_oneof![proptest::sample::select(&BODY_BYTES[..]), 0..40_000_usize]
}

/// What [`Changes`] borrows.
#[derive(Clone, Debug)]
struct Edits {
    set: Vec<(String, Vec<u8>)>,
    remove: Vec<String>,
    clear_route_cache: bool,
    picked: Option<(String, BTreeMap<String, f64>)>,
}

fn edits() -> impl Strategy<Value = Edits> {
    let value = prop_oneof![9 => 0..40_usize, 1 => 100..20_000_usize].prop_map(body);
    let set = proptest::collection::vec(("[ -~äß🦀]{0,30}", value), 0..30);
    let remove = proptest::collection::vec("[a-z-]{0,20}", 0..4);
    let scores = proptest::collection::btree_map("[0-9.:]{0,20}", -1e9..1e9_f64, 0..200);
    let picked = proptest::option::of(("[0-9.:,]{0,200}", scores));
    (set, remove, any::<bool>(), picked).prop_map(|(set, remove, clear_route_cache, picked)| {
        Edits { set, remove, clear_route_cache, picked }
    })
}

impl Edits {
    fn with(&self, use_them: impl FnOnce(Vec<SetHeader<'_>>, &Changes<'_>)) {
        let remove: Vec<&str> = self.remove.iter().map(String::as_str).collect();
        let scores: Vec<(&str, f64)> = match &self.picked {
            Some((_, scores)) => {
                scores.iter().map(|(name, &score)| (name.as_str(), score)).collect()
            }
            None => Vec::new(),
        };
        let picked = self.picked.as_ref();
        let changes = Changes {
            remove_headers: &remove,
            clear_route_cache: self.clear_route_cache,
            picked: picked.map(|(endpoint, _)| Picked { endpoint, scores: &scores }),
        };
        let set = self.set.iter().map(|(name, value)| (name.as_bytes(), &value[..])).collect();
        use_them(set, &changes);
    }

    fn header_mutation(&self) -> Option<HeaderMutation> {
        if self.set.is_empty() && self.remove.is_empty() {
            return None;
        }
        let set_headers = self.set.iter().map(|(name, value)| set_header(name, value)).collect();
        Some(HeaderMutation { set_headers, remove_headers: self.remove.clone() })
    }

    fn common_response(&self, body: Option<Mutation>) -> CommonResponse {
        CommonResponse {
            header_mutation: self.header_mutation(),
            body_mutation: body.map(|mutation| BodyMutation { mutation: Some(mutation) }),
            clear_route_cache: self.clear_route_cache,
            ..CommonResponse::default()
        }
    }

    fn answer(&self, response: Response) -> ProcessingResponse {
        ProcessingResponse {
            response: Some(response),
            dynamic_metadata: self
                .picked
                .as_ref()
                .map(|(endpoint, scores)| metadata(endpoint, scores)),
            ..ProcessingResponse::default()
        }
    }
}

fn set_header(name: &str, value: &[u8]) -> HeaderValueOption {
    let raw_value = Bytes::copy_from_slice(value);
    let header = HeaderValue { key: name.into(), value: String::new(), raw_value };
    HeaderValueOption { header: Some(header), ..HeaderValueOption::default() }
}

fn metadata(endpoint: &str, scores: &BTreeMap<String, f64>) -> Struct {
    let destination = Value { kind: Some(Kind::StringValue(endpoint.into())) };
    let mut lb = vec![("x-gateway-destination-endpoint".to_owned(), destination)];
    if !scores.is_empty() {
        let number = |score| Value { kind: Some(Kind::NumberValue(score)) };
        let scores = scores.iter().map(|(name, &score)| (name.clone(), number(score)));
        lb.push(("x-gateway-destination-endpoint-scores".to_owned(), object(scores)));
    }
    Struct { fields: [("envoy.lb".to_owned(), object(lb))].into() }
}

fn object(fields: impl IntoIterator<Item = (String, Value)>) -> Value {
    let fields = fields.into_iter().collect();
    Value { kind: Some(Kind::StructValue(Struct { fields })) }
}

/// What `write` appended, checked to stand behind what was there, with a body put behind it.
fn answered(body: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> ProcessingResponse {
    let mut out = b"before".to_vec();
    write(&mut out);
    assert!(out.starts_with(b"before"));
    out.extend_from_slice(body);
    ProcessingResponse::decode(&out[6..]).unwrap()
}

fn body(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(length).collect()
}

#[test]
fn headers_are_answered_with_every_change() {
    check(&(directions(), edits()), |(direction, edits)| {
        let found = answered(b"", |out| {
            edits.with(|set, changes| answer::headers(direction, set, changes, out));
        });
        let headers = HeadersResponse { response: Some(edits.common_response(None)) };
        let expected = edits.answer(match direction {
            Direction::Request => Response::RequestHeaders(headers),
            Direction::Response => Response::ResponseHeaders(headers),
        });
        prop_assert_eq!(found, expected);
        Ok(())
    });
}

fn body_response(direction: Direction, response: CommonResponse) -> Response {
    let body = BodyResponse { response: Some(response) };
    match direction {
        Direction::Request => Response::RequestBody(body),
        Direction::Response => Response::ResponseBody(body),
    }
}

#[test]
fn a_body_passes_unchanged_with_every_other_change() {
    check(&(directions(), edits()), |(direction, edits)| {
        let found = answered(b"", |out| {
            edits.with(|set, changes| answer::body_unchanged(direction, set, changes, out));
        });
        let expected = edits.answer(body_response(direction, edits.common_response(None)));
        prop_assert_eq!(found, expected);
        Ok(())
    });
}

#[test]
fn a_replaced_body_stands_last() {
    check(&(directions(), edits(), body_lengths()), |(direction, edits, length)| {
        let body = body(length);
        let found = answered(&body, |out| {
            edits.with(|set, changes| answer::body_replaced(direction, set, changes, length, out));
        });
        let common = edits.common_response(Some(Mutation::Body(body.into())));
        prop_assert_eq!(found, edits.answer(body_response(direction, common)));
        Ok(())
    });
}

#[test]
fn a_streamed_chunk_stands_last() {
    check(&(directions(), body_lengths(), any::<bool>()), |(direction, length, end_of_stream)| {
        let body = body(length);
        let found = answered(&body, |out| {
            answer::streamed_body(direction, length, end_of_stream, out);
        });
        let body = body.into();
        let streamed = StreamedBodyResponse { body, end_of_stream, ..Default::default() };
        let mutation = Mutation::StreamedResponse(streamed);
        let common = CommonResponse {
            body_mutation: Some(BodyMutation { mutation: Some(mutation) }),
            ..CommonResponse::default()
        };
        let response = Some(body_response(direction, common));
        prop_assert_eq!(found, ProcessingResponse { response, ..ProcessingResponse::default() });
        Ok(())
    });
}

#[test]
fn trailers_pass_unchanged() {
    let found = |direction| answered(b"", |out| answer::trailers(direction, out)).response;
    let unchanged = TrailersResponse::default();
    assert_eq!(found(Direction::Request), Some(Response::RequestTrailers(unchanged.clone())));
    assert_eq!(found(Direction::Response), Some(Response::ResponseTrailers(unchanged)));
}

#[test]
fn a_reply_of_ones_own_has_status_headers_and_body() {
    let inputs = (0..600_u16, edits(), body_lengths());
    check(&inputs, |(status, edits, length)| {
        let Edits { set, .. } = edits;
        let body = body(length);
        let found = answered(b"", |out| {
            let set = set.iter().map(|(name, value)| (name.as_bytes(), &value[..]));
            answer::immediate(status, set, &body, out);
        });
        let edits = Edits { set, remove: vec![], clear_route_cache: false, picked: None };
        let reply = ImmediateResponse {
            status: Some(HttpStatus { code: status.into() }),
            headers: edits.header_mutation(),
            body: body.into(),
            ..ImmediateResponse::default()
        };
        prop_assert_eq!(found, edits.answer(Response::ImmediateResponse(reply)));
        Ok(())
    });
}
