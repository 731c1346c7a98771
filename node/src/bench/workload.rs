//! The messages of a load, encoded once before it begins and sent again and again.
//!
//! Two things differ between the requests of a conversation: the request id, and a number in the prompt after
//! which nothing of it is known to the picker. Both have a fixed length and a known place, so that a request
//! copies two messages and refers to the rest.

use bytes::{Bytes, BytesMut};
use convoy_proto::base::{HeaderMap, HeaderValue, Metadata};
use convoy_proto::ext_proc::processing_request::Request as Part;
use convoy_proto::ext_proc::{HttpBody, HttpHeaders, ProcessingRequest, ProtocolConfiguration};
use convoy_proto::filter::processing_mode::BodySendMode;
use convoy_proto::hot::{DESTINATION, DESTINATION_SERVED, LB_NAMESPACE};
use fastrand::Rng;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::settings::{AnswerShape, Client, RequestShape};
use super::text;

/// A usual length of a token of English text.
pub(super) const BYTES_PER_TOKEN: usize = 4;

/// gRPC's flag and length before each message.
const PREFIX_BYTES: usize = 5;

/// What stands in the templates where each request puts its own number, in hexadecimal digits.
const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000000";
const NUMBER_BYTES: usize = 16;

/// The messages of all requests and answers of a run.
#[derive(Debug)]
pub(super) struct Workload {
    headers: Template,
    conversations: Vec<Conversation>,
    answer_headers: ProcessingRequest,
    answer: Vec<Piece>,
    seed: u64,
}

/// A body chunk as it is sent, and the part of it that comes back.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// With gRPC's prefix.
    pub(super) message: Bytes,
    pub(super) body: Bytes,
}

/// A message with a place that each request fills.
#[derive(Debug)]
struct Template {
    message: Bytes,
    at: usize,
}

#[derive(Debug)]
struct Conversation {
    pieces: Vec<Piece>,
    /// The piece that holds the request's number, and where in its body.
    number: Option<(usize, usize)>,
}

/// One request's messages.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) headers: Bytes,
    pub(super) body: Pieces<'a>,
}

/// The chunks of a body, one of which may be the request's own.
#[derive(Clone, Debug)]
pub(super) struct Pieces<'a> {
    shared: &'a [Piece],
    own: Option<(usize, Piece)>,
}

impl Pieces<'_> {
    pub(super) fn get(&self, nth: usize) -> Option<&Piece> {
        match &self.own {
            Some((at, own)) if *at == nth => Some(own),
            Some(_) | None => self.shared.get(nth),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shared.len()
    }
}

impl Workload {
    /// Makes the prompts and answers of a run; equal seeds give equal ones.
    pub(super) fn new(request: &RequestShape, answer: AnswerShape, seed: u64) -> Self {
        let conversations = if request.input_tokens.is_some() { request.conversations } else { 0 };
        let conversations: Vec<_> = (0..conversations)
            .map(|nth| Conversation::new(request, answer, &mut Rng::with_seed(mixed(seed, nth))))
            .collect();
        let body_bytes = conversations.first().map(Conversation::bytes);
        let answer = match request.input_tokens {
            Some(_) => text::answer(answer.output_tokens, &request.model),
            None => vec![text::model_list(&request.model)],
        };
        Self {
            headers: Template::request_headers(body_bytes),
            conversations,
            answer_headers: answer_headers(body_bytes.is_some()),
            // Model servers speak HTTP/1.1.
            answer: Piece::all(Part::ResponseBody, answer.iter().map(Vec::as_slice), Client::Http1),
            seed,
        }
    }

    /// The `nth` request of the run.
    pub(super) fn question(&self, nth: u64) -> Question<'_> {
        let number = mixed(self.seed, nth);
        let headers = self.headers.filled(&uuid(number));
        let conversations = u64::try_from(self.conversations.len()).unwrap_or(u64::MAX);
        let nth = usize::try_from(mixed(number, 2) % conversations.max(1)).unwrap_or(0);
        let body = match self.conversations.get(nth) {
            Some(conversation) => conversation.numbered(number),
            None => Pieces { shared: &[], own: None },
        };
        Question { headers, body }
    }

    /// The headers of an answer by the endpoint that was picked and that Envoy obeyed.
    pub(super) fn answer_headers(&self, pick: &str) -> Bytes {
        let mut message = self.answer_headers.clone();
        // Envoy tries the endpoints of a pick in turn; here the first one always answers.
        let served = pick.split(',').next().unwrap_or(pick);
        let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
        let fields =
            [(DESTINATION.to_owned(), text(pick)), (DESTINATION_SERVED.to_owned(), text(served))];
        let routing = Struct { fields: fields.into() };
        let metadata = Metadata {
            filter_metadata: [(LB_NAMESPACE.to_owned(), routing)].into(),
            ..Metadata::default()
        };
        message.metadata_context = Some(metadata);
        framed(&message)
    }

    /// The chunks of every answer.
    pub(super) fn answer(&self) -> Pieces<'_> {
        Pieces { shared: &self.answer, own: None }
    }
}

impl Conversation {
    fn new(request: &RequestShape, answer: AnswerShape, rng: &mut Rng) -> Self {
        let length = request.input_tokens.unwrap_or(0) * BYTES_PER_TOKEN;
        let (before, after) = text::chat_request(&request.model, answer.output_tokens);
        let number = number_at(before.len(), length, request);
        let mut body = before.into_bytes();
        let prompt_end = body.len() + length;
        if let Some(at) = number {
            text::push_words(&mut body, at, rng);
            body.extend_from_slice(&[b'0'; NUMBER_BYTES]);
        }
        text::push_words(&mut body, prompt_end, rng);
        body.extend_from_slice(after.as_bytes());
        let chunks = body.chunks(request.chunk_bytes);
        let pieces = Piece::all(Part::RequestBody, chunks, request.client);
        let number = number.map(|at| (at / request.chunk_bytes, at % request.chunk_bytes));
        Self { pieces, number }
    }

    fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.body.len()).sum()
    }

    fn numbered(&self, number: u64) -> Pieces<'_> {
        let own = self.number.and_then(|(nth, at)| {
            let digits = format!("{number:0NUMBER_BYTES$x}");
            Some((nth, self.pieces.get(nth)?.overwritten(at, digits.as_bytes())))
        });
        Pieces { shared: &self.pieces, own }
    }
}

/// Where in the body the number of a request stands: after the shared part of the prompt, within one chunk.
/// None if all of the prompt is shared, or if it is too short for a number.
fn number_at(prompt_at: usize, prompt_bytes: usize, request: &RequestShape) -> Option<usize> {
    let unshared = (1.0 - request.shared_prefix) * text::float(prompt_bytes);
    if unshared <= 0.0 {
        return None;
    }
    let room = prompt_bytes.checked_sub(NUMBER_BYTES)?;
    let shared = text::whole(request.shared_prefix * text::float(prompt_bytes)).min(room);
    let at = prompt_at + shared;
    let left_in_chunk = request.chunk_bytes - at % request.chunk_bytes;
    if NUMBER_BYTES <= left_in_chunk {
        return Some(at);
    }
    // At the begin of the next chunk if the prompt goes on that far, else at the end of this one.
    let next = at + left_in_chunk;
    if next <= prompt_at + room { Some(next) } else { Some(at + left_in_chunk - NUMBER_BYTES) }
}

impl Piece {
    /// The messages of a body, with an end as Envoy makes it of what the other side speaks.
    fn all<'a>(
        part: fn(HttpBody) -> Part,
        bodies: impl Iterator<Item = &'a [u8]>,
        speaks: Client,
    ) -> Vec<Self> {
        let end: Option<&[u8]> = match speaks {
            Client::Http1 => Some(&[]),
            Client::Http2 => None,
        };
        let mut bodies = bodies.chain(end).peekable();
        let mut pieces = Vec::new();
        while let Some(body) = bodies.next() {
            pieces.push(Self::new(part, body, bodies.peek().is_none()));
        }
        pieces
    }

    fn new(part: fn(HttpBody) -> Part, body: &[u8], end_of_stream: bool) -> Self {
        let body = Bytes::copy_from_slice(body);
        let length = body.len();
        let message = framed(&ProcessingRequest {
            request: Some(part(HttpBody { body, end_of_stream, ..HttpBody::default() })),
            ..ProcessingRequest::default()
        });
        // Only the flag, two bytes, follows the body.
        let end = message.len() - if end_of_stream { 2 } else { 0 };
        let body = message.slice(end - length..end);
        Self { message, body }
    }

    /// The same with other bytes at `at` of its body.
    fn overwritten(&self, at: usize, with: &[u8]) -> Self {
        let body_at = self.body.as_ptr().addr() - self.message.as_ptr().addr();
        let message = overwritten(&self.message, body_at + at, with);
        let body = message.slice(body_at..body_at + self.body.len());
        Self { message, body }
    }
}

impl Template {
    fn request_headers(body_bytes: Option<usize>) -> Self {
        let part = Part::RequestHeaders(HttpHeaders {
            headers: Some(header_map(&text::request_headers(body_bytes, REQUEST_ID))),
            end_of_stream: body_bytes.is_none(),
            ..HttpHeaders::default()
        });
        let mode = BodySendMode::FullDuplexStreamed.into();
        let message = framed(&ProcessingRequest {
            request: Some(part),
            // Istio lets Envoy forward a namespace that is empty here.
            metadata_context: Some(Metadata::default()),
            protocol_config: Some(ProtocolConfiguration {
                request_body_mode: mode,
                response_body_mode: mode,
                ..ProtocolConfiguration::default()
            }),
            ..ProcessingRequest::default()
        });
        let at = memchr::memmem::find(&message, REQUEST_ID.as_bytes())
            .expect("the headers were made with this id");
        Self { message, at }
    }

    fn filled(&self, text: &str) -> Bytes {
        overwritten(&self.message, self.at, text.as_bytes())
    }
}

fn overwritten(message: &Bytes, at: usize, with: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(message.as_ref());
    if let Some(place) = bytes.get_mut(at..at + with.len()) {
        place.copy_from_slice(with);
    }
    bytes.freeze()
}

fn answer_headers(streamed: bool) -> ProcessingRequest {
    let part = Part::ResponseHeaders(HttpHeaders {
        headers: Some(header_map(&text::answer_headers(streamed))),
        ..HttpHeaders::default()
    });
    ProcessingRequest { request: Some(part), ..ProcessingRequest::default() }
}

/// As Envoy writes headers: values in `raw_value`.
fn header_map(headers: &[(&str, String)]) -> HeaderMap {
    let header = |(key, value): &(&str, String)| HeaderValue {
        key: (*key).to_owned(),
        raw_value: Bytes::copy_from_slice(value.as_bytes()),
        ..HeaderValue::default()
    };
    HeaderMap { headers: headers.iter().map(header).collect() }
}

fn framed(message: &ProcessingRequest) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.extend_from_slice(&[0]);
    // A chunk is at most 1 MiB.
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    message.encode(&mut bytes).expect("the buffer grows");
    bytes.freeze()
}

/// A request id as Envoy makes them.
fn uuid(number: u64) -> String {
    const VERSION_4: u128 = 4 << 76;
    const VARIANT_1: u128 = 2 << 62;
    let random = u128::from(mixed(number, 0)) << 64 | u128::from(mixed(number, 1));
    let bits = random & !(0xf << 76 | 3 << 62) | VERSION_4 | VARIANT_1;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 64 & 0xffff,
        bits >> 48 & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}

/// Numbers that look random, one for each pair (the finaliser of `SplitMix64`).
pub(super) fn mixed(seed: u64, nth: impl TryInto<u64>) -> u64 {
    let nth = nth.try_into().unwrap_or(0);
    let mut z = seed.wrapping_add(nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
