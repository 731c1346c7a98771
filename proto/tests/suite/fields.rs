//! Every field has the same name, type and place in our types and in those of `envoy-types`: each
//! message is written out once, compiled with either, and crosses.

use std::fmt::Debug;

use prost::Message;

/// Checks that `ours` and `theirs` are the same message.
#[track_caller]
fn same<O, T>(ours: &O, theirs: &T)
where
    O: Message + Default + PartialEq + Debug,
    T: Message + Default + PartialEq + Debug,
{
    assert_eq!(&O::decode(&theirs.encode_to_vec()[..]).unwrap(), ours);
    assert_eq!(&T::decode(&ours.encode_to_vec()[..]).unwrap(), theirs);
}

/// Compiles an expression with our types and with theirs, and compares the two messages. No `..` may
/// stand in it, so that neither side can have a field that the other has not.
macro_rules! same_fields {
    ($message:expr) => {{
        let ours = {
            #[allow(unused_imports, reason = "not every message needs every package")]
            use {
                convoy_proto::{base, ext_proc, filter, http_status},
                prost_types as google,
            };
            $message
        };
        #[allow(
            deprecated,
            reason = "fields that the schema has are compared, whatever their fate"
        )]
        let theirs = {
            #[allow(unused_imports, reason = "not every message needs every package")]
            use envoy_types::pb::{
                envoy::config::core::v3 as base,
                envoy::extensions::filters::http::ext_proc::v3 as filter,
                envoy::service::ext_proc::v3 as ext_proc, envoy::r#type::v3 as http_status,
                google::protobuf as google,
            };
            $message
        };
        same(&ours, &theirs);
    }};
}

#[test]
fn fields_beside_a_question_are_where_theirs_are() {
    same_fields!(ext_proc::ProcessingRequest {
        request: None,
        metadata_context: Some(base::Metadata {
            filter_metadata: [("a".into(), google::Struct { fields: [].into() })].into(),
            typed_filter_metadata: [(
                "b".into(),
                google::Any { type_url: "c".into(), value: "d".into() },
            )]
            .into(),
        }),
        attributes: [("e".into(), google::Struct { fields: [].into() })].into(),
        observability_mode: true,
        protocol_config: Some(ext_proc::ProtocolConfiguration {
            request_body_mode: filter::processing_mode::BodySendMode::FullDuplexStreamed.into(),
            response_body_mode: filter::processing_mode::BodySendMode::Grpc.into(),
            send_body_without_waiting_for_header_response: true,
        }),
        flow_control_init: Some(ext_proc::processing_request::FlowControlInit {
            initial_window_downstream_to_sidestream: 1,
            initial_window_sidestream_to_upstream: 2,
            initial_window_upstream_to_sidestream: 3,
            initial_window_sidestream_to_downstream: 4,
        }),
        client_window_update: Some(ext_proc::processing_request::ClientWindowUpdate {
            window_increment_sidestream_to_upstream: 5,
            window_increment_sidestream_to_downstream: 6,
        }),
    });
}

#[test]
fn headers_are_where_theirs_are() {
    same_fields!(ext_proc::HttpHeaders {
        headers: Some(base::HeaderMap {
            headers: vec![base::HeaderValue {
                key: "a".into(),
                value: "b".into(),
                raw_value: "c".into(),
            }],
        }),
        attributes: [("d".into(), google::Struct { fields: [].into() })].into(),
        end_of_stream: true,
    });
}

#[test]
fn bodies_are_where_theirs_are() {
    same_fields!(ext_proc::HttpBody {
        body: "a".into(),
        end_of_stream: true,
        end_of_stream_without_message: false,
        grpc_message_compressed: true,
        drain_complete: false,
    });
    same_fields!(ext_proc::StreamedBodyResponse {
        body: "a".into(),
        end_of_stream: false,
        end_of_stream_without_message: true,
        grpc_message_compressed: false,
        drain_complete: true,
    });
}

#[test]
fn each_question_is_where_theirs_is() {
    macro_rules! same_question {
        ($($kind:ident)*) => { $(
            same_fields!(ext_proc::ProcessingRequest {
                request: Some(ext_proc::processing_request::Request::$kind(Default::default())),
                ..Default::default()
            });
        )* };
    }
    same_question!(RequestHeaders ResponseHeaders RequestBody ResponseBody);
    same_question!(RequestTrailers ResponseTrailers);
}

#[test]
fn fields_beside_an_answer_are_where_theirs_are() {
    same_fields!(ext_proc::ProcessingResponse {
        response: None,
        dynamic_metadata: Some(google::Struct {
            fields: [("a".into(), google::Value { kind: None })].into(),
        }),
        typed_dynamic_metadata: [(
            "b".into(),
            google::Any { type_url: "c".into(), value: "d".into() },
        )]
        .into(),
        mode_override: Some(filter::ProcessingMode {
            request_header_mode: filter::processing_mode::HeaderSendMode::Send.into(),
            response_header_mode: filter::processing_mode::HeaderSendMode::Skip.into(),
            request_body_mode: filter::processing_mode::BodySendMode::Streamed.into(),
            response_body_mode: filter::processing_mode::BodySendMode::Buffered.into(),
            request_trailer_mode: filter::processing_mode::HeaderSendMode::Skip.into(),
            response_trailer_mode: filter::processing_mode::HeaderSendMode::Send.into(),
        }),
        request_drain: true,
        request_drain_requests: false,
        request_drain_responses: true,
        override_message_timeout: Some(google::Duration { seconds: 1, nanos: 2 }),
        server_window_update: Some(ext_proc::processing_response::ServerWindowUpdate {
            window_increment_downstream_to_sidestream: 3,
            window_increment_upstream_to_sidestream: 4,
        }),
    });
}

#[test]
fn each_answer_is_where_theirs_is() {
    macro_rules! same_answer {
        ($($kind:ident)*) => { $(
            same_fields!(ext_proc::ProcessingResponse {
                response: Some(ext_proc::processing_response::Response::$kind(Default::default())),
                ..Default::default()
            });
        )* };
    }
    same_answer!(RequestHeaders ResponseHeaders RequestBody ResponseBody);
    same_answer!(RequestTrailers ResponseTrailers ImmediateResponse StreamedImmediateResponse);
}

#[test]
fn what_becomes_of_headers_and_bodies_is_where_theirs_is() {
    same_fields!(ext_proc::CommonResponse {
        status: ext_proc::common_response::ResponseStatus::ContinueAndReplace.into(),
        header_mutation: Some(ext_proc::HeaderMutation {
            set_headers: vec![base::HeaderValueOption {
                header: Some(base::HeaderValue {
                    key: "a".into(),
                    value: "b".into(),
                    raw_value: "c".into(),
                }),
                append: Message::decode(&[8, 1][..]).ok(),
                append_action: base::header_value_option::HeaderAppendAction::OverwriteIfExists
                    .into(),
                keep_empty_value: true,
            }],
            remove_headers: vec!["d".into()],
        }),
        body_mutation: Some(ext_proc::BodyMutation {
            mutation: Some(ext_proc::body_mutation::Mutation::Body("e".into())),
        }),
        trailers: Some(base::HeaderMap { headers: vec![] }),
        clear_route_cache: true,
    });
    same_fields!(ext_proc::BodyMutation {
        mutation: Some(ext_proc::body_mutation::Mutation::ClearBody(true)),
    });
    same_fields!(ext_proc::BodyMutation {
        mutation: Some(ext_proc::body_mutation::Mutation::StreamedResponse(
            ext_proc::StreamedBodyResponse::default()
        )),
    });
}

#[test]
fn replies_of_ones_own_are_where_theirs_are() {
    same_fields!(ext_proc::ImmediateResponse {
        status: Some(http_status::HttpStatus {
            code: http_status::StatusCode::TooManyRequests.into(),
        }),
        headers: Some(ext_proc::HeaderMutation {
            set_headers: vec![],
            remove_headers: vec!["a".into()],
        }),
        body: "b".into(),
        grpc_status: Some(ext_proc::GrpcStatus { status: 14 }),
        details: "c".into(),
    });
    macro_rules! same_piece {
        ($($kind:ident)*) => { $(
            same_fields!(ext_proc::StreamedImmediateResponse {
                response: Some(
                    ext_proc::streamed_immediate_response::Response::$kind(Default::default())
                ),
            });
        )* };
    }
    same_piece!(HeadersResponse BodyResponse TrailersResponse);
}
