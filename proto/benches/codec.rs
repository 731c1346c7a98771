//! What a message costs by hand and by the generated types: a token's event, the headers of a request,
//! and 64 KiB of body, each decoded and answered.

use std::hint::black_box;

use bytes::Bytes;
use convoy_proto::base::{HeaderMap, HeaderValue, HeaderValueOption, Metadata};
use convoy_proto::ext_proc::body_mutation::Mutation;
use convoy_proto::ext_proc::processing_request::Request as Part;
use convoy_proto::ext_proc::processing_response::Response;
use convoy_proto::ext_proc::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpBody,
    HttpHeaders, ProcessingRequest, ProcessingResponse, StreamedBodyResponse,
};
use convoy_proto::hot::answer::{self, Changes, Picked};
use convoy_proto::hot::{self, Direction, HeaderList, Question};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

const PICKED: &str = "10.244.17.203:8000";

/// One server-sent event of a chat completion.
const EVENT: &str = "data: {\"id\":\"chatcmpl-3f1c2a\",\"object\":\"chat.completion.chunk\",\
    \"created\":1790000000,\"model\":\"meta-llama/Llama-3.1-8B-Instruct\",\"choices\":[{\"index\":0,\
    \"delta\":{\"content\":\" the\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.into())) }
}

fn lb(key: &str) -> Struct {
    let lb = Struct { fields: [(key.to_owned(), text(PICKED))].into() };
    let value = Value { kind: Some(Kind::StructValue(lb)) };
    Struct { fields: [("envoy.lb".to_owned(), value)].into() }
}

/// A chunk of an answer, with the metadata that Envoy repeats in every message.
fn chunk(body: Bytes) -> Bytes {
    let served = Struct { fields: [(hot::DESTINATION_SERVED.to_owned(), text(PICKED))].into() };
    let metadata = Metadata {
        filter_metadata: [("envoy.lb".to_owned(), served)].into(),
        ..Metadata::default()
    };
    let request = ProcessingRequest {
        metadata_context: Some(metadata),
        request: Some(Part::ResponseBody(HttpBody { body, ..HttpBody::default() })),
        ..ProcessingRequest::default()
    };
    request.encode_to_vec().into()
}

/// The headers of a request through a gateway, 25 of them.
fn request_headers() -> Bytes {
    let header = |number: usize| HeaderValue {
        key: format!("x-header-of-usual-length-{number}"),
        raw_value: format!("a value of {number} or so many words").into(),
        ..HeaderValue::default()
    };
    let headers = HeaderMap { headers: (0..25).map(header).collect() };
    let headers = HttpHeaders { headers: Some(headers), ..HttpHeaders::default() };
    let part = Some(Part::RequestHeaders(headers));
    ProcessingRequest { request: part, ..ProcessingRequest::default() }.encode_to_vec().into()
}

fn decode(criterion: &mut Criterion) {
    let messages = [
        ("token", chunk(EVENT.into())),
        ("25 headers", request_headers()),
        ("64 KiB", chunk(vec![b'x'; 1 << 16].into())),
    ];
    for (name, message) in messages {
        let mut group = criterion.benchmark_group(format!("decode {name}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("hot", |bencher| {
            bencher.iter(|| hot::decode(black_box(message.clone())));
        });
        group.bench_function("generated", |bencher| {
            bencher.iter(|| ProcessingRequest::decode(black_box(message.clone())));
        });
        group.finish();
    }
}

fn answer_chunks(criterion: &mut Criterion) {
    for (name, body) in [("token", EVENT.into()), ("64 KiB", vec![b'x'; 1 << 16].into())] {
        let body: Bytes = body;
        let mut group = criterion.benchmark_group(format!("answer {name}"));
        group.throughput(Throughput::Elements(1));
        let mut out = Vec::with_capacity(1 << 17);
        group.bench_function("hot", |bencher| {
            bencher.iter(|| {
                out.clear();
                answer::streamed_body(Direction::Response, black_box(&body).len(), false, &mut out);
                out.len()
            });
        });
        group.bench_function("generated", |bencher| {
            bencher.iter(|| {
                out.clear();
                generated_chunk(black_box(&body)).encode(&mut out)
            });
        });
        group.finish();
    }
}

fn generated_chunk(body: &Bytes) -> ProcessingResponse {
    let streamed = StreamedBodyResponse { body: body.clone(), ..StreamedBodyResponse::default() };
    let mutation = BodyMutation { mutation: Some(Mutation::StreamedResponse(streamed)) };
    let common = CommonResponse { body_mutation: Some(mutation), ..CommonResponse::default() };
    let response = Response::ResponseBody(BodyResponse { response: Some(common) });
    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() }
}

fn answer_headers(criterion: &mut Criterion) {
    let Ok(hot::Request { question: Some(Question::RequestHeaders(question)), .. }) =
        hot::decode(request_headers())
    else {
        return;
    };
    let mut group = criterion.benchmark_group("answer 25 headers");
    group.throughput(Throughput::Elements(1));
    let mut out = Vec::with_capacity(1 << 17);
    group.bench_function("hot", |bencher| {
        bencher.iter(|| {
            out.clear();
            hot_headers(black_box(&question.headers), &mut out);
            out.len()
        });
    });
    group.bench_function("generated", |bencher| {
        bencher.iter(|| {
            out.clear();
            generated_headers(black_box(&question.headers)).encode(&mut out)
        });
    });
    group.finish();
}

fn hot_headers(headers: &HeaderList, out: &mut Vec<u8>) {
    let destination = (hot::DESTINATION.as_bytes(), PICKED.as_bytes());
    let changes = Changes {
        clear_route_cache: true,
        picked: Some(Picked { endpoint: PICKED, scores: &[] }),
        ..Changes::default()
    };
    let set = std::iter::once(destination).chain(headers.iter());
    answer::headers(Direction::Request, set, &changes, out);
}

fn generated_headers(headers: &HeaderList) -> ProcessingResponse {
    let set = |(name, value): (&[u8], &[u8])| HeaderValueOption {
        header: Some(HeaderValue {
            key: String::from_utf8_lossy(name).into_owned(),
            raw_value: Bytes::copy_from_slice(value),
            ..HeaderValue::default()
        }),
        ..HeaderValueOption::default()
    };
    let destination = (hot::DESTINATION.as_bytes(), PICKED.as_bytes());
    let set_headers = std::iter::once(destination).chain(headers.iter()).map(set).collect();
    let common = CommonResponse {
        header_mutation: Some(HeaderMutation { set_headers, remove_headers: vec![] }),
        clear_route_cache: true,
        ..CommonResponse::default()
    };
    ProcessingResponse {
        response: Some(Response::RequestHeaders(HeadersResponse { response: Some(common) })),
        dynamic_metadata: Some(lb(hot::DESTINATION)),
        ..ProcessingResponse::default()
    }
}

criterion_group!(benches, decode, answer_chunks, answer_headers);
criterion_main!(benches);
