//! Messages of an ext_proc stream, written short: what a gateway asks, and what it is to be told.

use bytes::Bytes;
use convoy_proto::{
    base::{HeaderMap, HeaderValue, HeaderValueOption, Metadata},
    ext_proc::{
        BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpBody,
        HttpHeaders, HttpTrailers, ImmediateResponse, ProcessingRequest, ProcessingResponse,
        ProtocolConfiguration, StreamedBodyResponse, TrailersResponse, body_mutation::Mutation,
        processing_request::Request, processing_response::Response,
    },
    filter::processing_mode::BodySendMode,
    http_status::HttpStatus,
};
use prost_types::{ListValue, Struct, Value, value::Kind};

/// The header and the metadata key that carry the pick.
pub(super) const DESTINATION: &str = "x-gateway-destination-endpoint";

/// Names and values.
pub(super) type Headers<'a> = &'a [(&'a str, &'a str)];

/// More follows, or nothing does.
pub(super) const MORE: bool = false;
pub(super) const END: bool = true;

fn ask(request: Request) -> ProcessingRequest {
    ProcessingRequest { request: Some(request), ..ProcessingRequest::default() }
}

fn value((key, value): (&str, &str)) -> HeaderValue {
    let raw_value = Bytes::copy_from_slice(value.as_bytes());
    HeaderValue { key: key.to_owned(), raw_value, ..HeaderValue::default() }
}

fn map(headers: Headers<'_>) -> HeaderMap {
    HeaderMap { headers: headers.iter().copied().map(value).collect() }
}

fn http_headers(headers: Headers<'_>, end_of_stream: bool) -> HttpHeaders {
    HttpHeaders { headers: Some(map(headers)), end_of_stream, ..HttpHeaders::default() }
}

fn http_body(body: impl Into<Bytes>, end_of_stream: bool) -> HttpBody {
    HttpBody { body: body.into(), end_of_stream, ..HttpBody::default() }
}

fn http_trailers() -> HttpTrailers {
    HttpTrailers { trailers: Some(map(&[("x-checksum", "7")])) }
}

pub(super) fn request_headers(headers: Headers<'_>, end_of_stream: bool) -> ProcessingRequest {
    ask(Request::RequestHeaders(http_headers(headers, end_of_stream)))
}

/// Request headers whose values stand where text does, as some gateways send them, not bytes.
pub(super) fn request_headers_as_text(headers: Headers<'_>) -> ProcessingRequest {
    let text = |&(key, value): &(&str, &str)| HeaderValue {
        key: key.to_owned(),
        value: value.to_owned(),
        ..HeaderValue::default()
    };
    let headers = HeaderMap { headers: headers.iter().map(text).collect() };
    let headers = HttpHeaders { headers: Some(headers), ..HttpHeaders::default() };
    ask(Request::RequestHeaders(headers))
}

pub(super) fn request_body(body: impl Into<Bytes>, end_of_stream: bool) -> ProcessingRequest {
    ask(Request::RequestBody(http_body(body, end_of_stream)))
}

pub(super) fn request_trailers() -> ProcessingRequest {
    ask(Request::RequestTrailers(http_trailers()))
}

pub(super) fn response_headers(headers: Headers<'_>, end_of_stream: bool) -> ProcessingRequest {
    ask(Request::ResponseHeaders(http_headers(headers, end_of_stream)))
}

pub(super) fn response_body(body: impl Into<Bytes>, end_of_stream: bool) -> ProcessingRequest {
    ask(Request::ResponseBody(http_body(body, end_of_stream)))
}

pub(super) fn response_trailers() -> ProcessingRequest {
    ask(Request::ResponseTrailers(http_trailers()))
}

/// `message` as the first of a stream, of a gateway that tells how it passes bodies.
pub(super) fn with_modes(
    message: ProcessingRequest,
    request: BodySendMode,
    response: BodySendMode,
) -> ProcessingRequest {
    let config = ProtocolConfiguration {
        request_body_mode: request.into(),
        response_body_mode: response.into(),
        ..ProtocolConfiguration::default()
    };
    ProcessingRequest { protocol_config: Some(config), ..message }
}

/// `message` with `{namespace: {key: value}}` in its metadata.
pub(super) fn with_metadata(
    message: ProcessingRequest,
    namespace: &str,
    key: &str,
    value: Value,
) -> ProcessingRequest {
    let filter_metadata = [(namespace.to_owned(), one(key, value))].into();
    let metadata = Metadata { filter_metadata, ..Metadata::default() };
    ProcessingRequest { metadata_context: Some(metadata), ..message }
}

pub(super) fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

pub(super) fn list(values: impl IntoIterator<Item = Value>) -> Value {
    let values = values.into_iter().collect();
    Value { kind: Some(Kind::ListValue(ListValue { values })) }
}

fn one(key: &str, value: Value) -> Struct {
    Struct { fields: [(key.to_owned(), value)].into() }
}

fn tell(response: Response) -> ProcessingResponse {
    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() }
}

fn set(headers: Headers<'_>) -> HeaderMutation {
    let set = |header| HeaderValueOption { header: Some(header), ..HeaderValueOption::default() };
    let mut set_headers: Vec<_> = headers.iter().copied().map(value).map(set).collect();
    set_headers.sort_by(by_name);
    HeaderMutation { set_headers, remove_headers: Vec::new() }
}

fn by_name(a: &HeaderValueOption, b: &HeaderValueOption) -> std::cmp::Ordering {
    let name = |option: &HeaderValueOption| option.header.clone().map(|header| header.key);
    name(a).cmp(&name(b))
}

/// `answer` with its headers in order of name.
pub(super) fn sorted(mut answer: ProcessingResponse) -> ProcessingResponse {
    let common = match &mut answer.response {
        Some(Response::RequestHeaders(headers) | Response::ResponseHeaders(headers)) => {
            headers.response.as_mut()
        }
        Some(Response::RequestBody(body) | Response::ResponseBody(body)) => body.response.as_mut(),
        _ => None,
    };
    if let Some(set) = common.and_then(|common| common.header_mutation.as_mut()) {
        set.set_headers.sort_by(by_name);
    }
    answer
}

fn setting(headers: Headers<'_>, clear_route_cache: bool) -> CommonResponse {
    let header_mutation = Some(set(headers));
    CommonResponse { header_mutation, clear_route_cache, ..CommonResponse::default() }
}

fn destination(endpoint: &str) -> Struct {
    let lb = one(DESTINATION, text(endpoint));
    one("envoy.lb", Value { kind: Some(Kind::StructValue(lb)) })
}

/// The answer to request headers that picks `endpoint`, and sets `headers` beside.
pub(super) fn picked(endpoint: &str, headers: Headers<'_>) -> ProcessingResponse {
    let headers: Vec<_> = headers.iter().copied().chain([(DESTINATION, endpoint)]).collect();
    let response = Some(setting(&headers, true));
    ProcessingResponse {
        dynamic_metadata: Some(destination(endpoint)),
        ..tell(Response::RequestHeaders(HeadersResponse { response }))
    }
}

/// The answer to a buffered request body that picks `endpoint`, sets `headers` beside, and puts
/// another body in place of the one that came.
pub(super) fn picked_in_body(
    endpoint: &str,
    headers: Headers<'_>,
    body: Option<&str>,
) -> ProcessingResponse {
    let headers: Vec<_> = headers.iter().copied().chain([(DESTINATION, endpoint)]).collect();
    let body = body.map(|body| Mutation::Body(Bytes::copy_from_slice(body.as_bytes())));
    let body_mutation = body.map(|body| BodyMutation { mutation: Some(body) });
    let response = Some(CommonResponse { body_mutation, ..setting(&headers, true) });
    ProcessingResponse {
        dynamic_metadata: Some(destination(endpoint)),
        ..tell(Response::RequestBody(BodyResponse { response }))
    }
}

/// The answer to response headers; the mark of the picker is set beside `headers`.
pub(super) fn response_headers_set(headers: Headers<'_>) -> ProcessingResponse {
    let mark = [("x-went-into-resp-headers", "true")];
    let headers: Vec<_> = headers.iter().copied().chain(mark).collect();
    let response = Some(setting(&headers, false));
    tell(Response::ResponseHeaders(HeadersResponse { response }))
}

/// The answer to request headers that changes nothing.
pub(super) fn request_headers_as_is() -> ProcessingResponse {
    let response = Some(CommonResponse::default());
    tell(Response::RequestHeaders(HeadersResponse { response }))
}

fn streamed(body: impl Into<Bytes>, end_of_stream: bool) -> BodyResponse {
    let streamed = StreamedBodyResponse {
        body: body.into(),
        end_of_stream,
        ..StreamedBodyResponse::default()
    };
    let body = BodyMutation { mutation: Some(Mutation::StreamedResponse(streamed)) };
    let common = CommonResponse { body_mutation: Some(body), ..CommonResponse::default() };
    BodyResponse { response: Some(common) }
}

/// A piece of a full-duplex body.
pub(super) fn request_piece(body: impl Into<Bytes>, end_of_stream: bool) -> ProcessingResponse {
    tell(Response::RequestBody(streamed(body, end_of_stream)))
}

/// A piece of a full-duplex body.
pub(super) fn response_piece(body: impl Into<Bytes>, end_of_stream: bool) -> ProcessingResponse {
    tell(Response::ResponseBody(streamed(body, end_of_stream)))
}

/// The answer to a body message that passes as it is: BUFFERED and STREAMED modes.
pub(super) fn request_body_as_is() -> ProcessingResponse {
    tell(Response::RequestBody(BodyResponse { response: Some(CommonResponse::default()) }))
}

/// The same on the way back.
pub(super) fn response_body_as_is() -> ProcessingResponse {
    tell(Response::ResponseBody(BodyResponse { response: Some(CommonResponse::default()) }))
}

pub(super) fn request_trailers_as_is() -> ProcessingResponse {
    tell(Response::RequestTrailers(TrailersResponse::default()))
}

pub(super) fn response_trailers_as_is() -> ProcessingResponse {
    tell(Response::ResponseTrailers(TrailersResponse::default()))
}

/// A refusal, with the header that says why the request was dropped, if it has one.
pub(super) fn refused(status: i32, body: &str, dropped: Option<&str>) -> ProcessingResponse {
    let dropped = dropped.map(|reason| set(&[("x-llm-d-request-dropped-reason", reason)]));
    tell(Response::ImmediateResponse(ImmediateResponse {
        status: Some(HttpStatus { code: status }),
        headers: dropped,
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..ImmediateResponse::default()
    }))
}

/// The bytes of full-duplex pieces, in order, and whether only the last ends the body.
pub(super) fn joined(pieces: &[ProcessingResponse]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let mut ends = Vec::new();
    for piece in pieces {
        let Some(Response::RequestBody(part) | Response::ResponseBody(part)) = &piece.response
        else {
            unreachable!("no piece of a body: {piece:?}");
        };
        let common = part.response.as_ref().unwrap();
        let Some(Mutation::StreamedResponse(streamed)) =
            common.body_mutation.as_ref().and_then(|body| body.mutation.as_ref())
        else {
            unreachable!("no full-duplex piece: {piece:?}");
        };
        assert!(streamed.body.len() <= 62_000, "a piece of {} bytes", streamed.body.len());
        body.extend_from_slice(&streamed.body);
        ends.push(streamed.end_of_stream);
    }
    let last = ends.pop().unwrap_or(false);
    (body, last && !ends.contains(&true))
}
