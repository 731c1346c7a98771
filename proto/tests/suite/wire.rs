//! Messages cross between our types and `envoy-types`, in both directions, and are the same.

use std::fmt::Debug;

use convoy_proto::{base as our_base, ext_proc as ours, filter as our_filter, http_status};
use envoy_types::pb::envoy::config::core::v3 as their_base;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3 as their_filter;
use envoy_types::pb::envoy::service::ext_proc::v3 as theirs;
use envoy_types::pb::envoy::r#type::v3 as their_status;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use prost::{Message, Name};

use crate::descriptors::envoy_types;
use crate::messages::{Schema, Tape, tapes};
use convoy_tests::property::check;

/// Checks that both read `message` alike, and that each reads what the other writes.
fn cross<O, T>(message: &[u8]) -> TestCaseResult
where
    O: Message + Default + PartialEq + Debug,
    T: Message + Default + PartialEq + Debug,
{
    let reason = |refusal: prost::DecodeError| TestCaseError::fail(refusal.to_string());
    let ours = O::decode(message).map_err(reason)?;
    let theirs = T::decode(message).map_err(reason)?;
    prop_assert_eq!(&O::decode(&theirs.encode_to_vec()[..]).map_err(reason)?, &ours);
    prop_assert_eq!(&T::decode(&ours.encode_to_vec()[..]).map_err(reason)?, &theirs);
    prop_assert_eq!(ours.encoded_len(), theirs.encoded_len());
    Ok(())
}

/// Crosses random messages of one type, unknown fields among them.
#[track_caller]
fn cross_random<O, T>(schema: &Schema)
where
    O: Message + Default + PartialEq + Debug,
    T: Message + Name + Default + PartialEq + Debug,
{
    let name = format!(".{}", T::full_name());
    check(&tapes(), |tape| cross::<O, T>(&schema.encode(&name, &mut Tape(&tape))));
}

#[test]
fn whole_messages_cross() {
    let schema = Schema::of(&envoy_types());
    cross_random::<ours::ProcessingRequest, theirs::ProcessingRequest>(&schema);
    cross_random::<ours::ProcessingResponse, theirs::ProcessingResponse>(&schema);
}

/// Deep fields are rare in random messages, so every message is also crossed by itself.
#[test]
fn every_message_crosses_by_itself() {
    let schema = Schema::of(&envoy_types());
    cross_random::<ours::ProtocolConfiguration, theirs::ProtocolConfiguration>(&schema);
    cross_random::<ours::HttpHeaders, theirs::HttpHeaders>(&schema);
    cross_random::<ours::HttpBody, theirs::HttpBody>(&schema);
    cross_random::<ours::HttpTrailers, theirs::HttpTrailers>(&schema);
    cross_random::<ours::HeadersResponse, theirs::HeadersResponse>(&schema);
    cross_random::<ours::BodyResponse, theirs::BodyResponse>(&schema);
    cross_random::<ours::TrailersResponse, theirs::TrailersResponse>(&schema);
    cross_random::<ours::StreamedImmediateResponse, theirs::StreamedImmediateResponse>(&schema);
    cross_random::<ours::CommonResponse, theirs::CommonResponse>(&schema);
    cross_random::<ours::ImmediateResponse, theirs::ImmediateResponse>(&schema);
    cross_random::<ours::GrpcStatus, theirs::GrpcStatus>(&schema);
    cross_random::<ours::HeaderMutation, theirs::HeaderMutation>(&schema);
    cross_random::<ours::StreamedBodyResponse, theirs::StreamedBodyResponse>(&schema);
    cross_random::<ours::BodyMutation, theirs::BodyMutation>(&schema);
    cross_random::<our_base::Metadata, their_base::Metadata>(&schema);
    cross_random::<our_base::HeaderValue, their_base::HeaderValue>(&schema);
    cross_random::<our_base::HeaderValueOption, their_base::HeaderValueOption>(&schema);
    cross_random::<our_base::HeaderMap, their_base::HeaderMap>(&schema);
    cross_random::<our_filter::ProcessingMode, their_filter::ProcessingMode>(&schema);
    cross_random::<http_status::HttpStatus, their_status::HttpStatus>(&schema);
}

#[test]
fn messages_from_our_schema_cross() {
    let schema = Schema::ours();
    cross_random::<ours::ProcessingRequest, theirs::ProcessingRequest>(&schema);
    cross_random::<ours::ProcessingResponse, theirs::ProcessingResponse>(&schema);
}
