//! Holds the picker's answers on one stream against what was sent.
//!
//! Pure, and written on the generated types alone: what judges a picker shares no code with one.

use std::net::SocketAddr;

use convoy_proto::base::HeaderValueOption;
use convoy_proto::ext_proc::body_mutation::Mutation;
use convoy_proto::ext_proc::processing_response::Response;
use convoy_proto::ext_proc::{
    BodyResponse, HeadersResponse, ImmediateResponse, ProcessingResponse, StreamedBodyResponse,
};
use prost_types::value::Kind;

use super::fault::{Fault, Part};
use super::workload::Pieces;

const DESTINATION: &str = "x-gateway-destination-endpoint";
const LB_NAMESPACE: &str = "envoy.lb";

/// How much of a refusal's text is kept.
const REFUSAL_BYTES_MAX: usize = 200;

/// What the picker has answered so far.
#[derive(Debug)]
pub(super) struct Checker<'a> {
    pick: Option<String>,
    request: Echo<'a>,
    answer_headers: bool,
    answer: Echo<'a>,
}

/// What a message brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// It was the answer to the request's headers.
    pub(super) picked: bool,
    /// So many chunks of the answer's body are back with it.
    pub(super) answer_chunks: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(request: Pieces<'a>, answer: Pieces<'a>) -> Self {
        Self {
            pick: None,
            request: Echo::new(Part::RequestBody, request),
            answer_headers: false,
            answer: Echo::new(Part::ResponseBody, answer),
        }
    }

    /// The endpoint that was picked.
    pub(super) fn pick(&self) -> Option<&str> {
        self.pick.as_deref()
    }

    /// The request's headers are answered and its body is back.
    pub(super) fn is_request_answered(&self) -> bool {
        self.pick.is_some() && self.request.is_whole()
    }

    /// Something of the answer is back.
    pub(super) fn has_answer_begun(&self) -> bool {
        self.answer_headers
    }

    /// All of the answer is back.
    pub(super) fn is_answer_answered(&self) -> bool {
        self.answer_headers && self.answer.is_whole()
    }

    /// Takes the next message.
    pub(super) fn hear(&mut self, message: ProcessingResponse) -> Result<Heard, Fault> {
        let metadata = message.dynamic_metadata;
        match message.response {
            Some(Response::RequestHeaders(headers)) => {
                if self.pick.is_some() {
                    return Err(out_of_order(Part::RequestHeaders, "came twice"));
                }
                self.pick = Some(picked(&headers, metadata.as_ref())?);
                Ok(Heard { picked: true, answer_chunks: 0 })
            }
            Some(Response::RequestBody(body)) => {
                if self.pick.is_none() {
                    return Err(out_of_order(Part::RequestBody, "came before that to the headers"));
                }
                self.request.take(body)?;
                Ok(Heard::default())
            }
            Some(Response::ResponseHeaders(_)) => {
                if !self.is_request_answered() {
                    return Err(out_of_order(Part::ResponseHeaders, "came amid the request"));
                }
                if self.answer_headers {
                    return Err(out_of_order(Part::ResponseHeaders, "came twice"));
                }
                self.answer_headers = true;
                Ok(Heard::default())
            }
            Some(Response::ResponseBody(body)) => {
                if !self.answer_headers {
                    return Err(out_of_order(
                        Part::ResponseBody,
                        "came before that to the headers",
                    ));
                }
                Ok(Heard { picked: false, answer_chunks: self.answer.take(body)? })
            }
            Some(Response::RequestTrailers(_)) => {
                Err(out_of_order(Part::RequestTrailers, "came, but none were sent"))
            }
            Some(Response::ResponseTrailers(_)) => {
                Err(out_of_order(Part::ResponseTrailers, "came, but none were sent"))
            }
            Some(Response::ImmediateResponse(refusal)) => Err(refused(&refusal)),
            Some(Response::StreamedImmediateResponse(_)) => {
                Err(Fault::Refused { status: 0, body: "in pieces".to_owned() })
            }
            None => Err(Fault::Unreadable { cause: "it answers nothing".to_owned() }),
        }
    }
}

fn out_of_order(answered: Part, when: &'static str) -> Fault {
    Fault::OutOfOrder { answered, when }
}

fn refused(refusal: &ImmediateResponse) -> Fault {
    let body = refusal.body.get(..REFUSAL_BYTES_MAX).unwrap_or(&refusal.body);
    Fault::Refused {
        status: refusal.status.as_ref().map_or(0, |status| status.code),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

/// The pick, which has to stand in the header, for most gateways, and in the metadata, for Istio.
fn picked(
    headers: &HeadersResponse,
    metadata: Option<&prost_types::Struct>,
) -> Result<String, Fault> {
    let mutation = headers.response.as_ref().and_then(|response| response.header_mutation.as_ref());
    let header = mutation
        .and_then(|mutation| mutation.set_headers.iter().find_map(destination))
        .ok_or(Fault::NoPickInHeader)?;
    let namespace = metadata.and_then(|metadata| metadata.fields.get(LB_NAMESPACE)?.kind.as_ref());
    let value = match namespace {
        Some(Kind::StructValue(fields)) => {
            fields.fields.get(DESTINATION).and_then(|value| value.kind.as_ref())
        }
        Some(_) | None => None,
    };
    let Some(Kind::StringValue(metadata)) = value else {
        return Err(Fault::NoPickInMetadata);
    };
    if header != metadata.as_bytes() {
        let header = String::from_utf8_lossy(header).into_owned();
        return Err(Fault::TwoPicks { header, metadata: metadata.clone() });
    }
    if metadata.split(',').any(|address| address.parse::<SocketAddr>().is_err()) {
        return Err(Fault::NoAddress { pick: metadata.clone() });
    }
    Ok(metadata.clone())
}

fn destination(option: &HeaderValueOption) -> Option<&[u8]> {
    let header = option.header.as_ref()?;
    if !header.key.eq_ignore_ascii_case(DESTINATION) {
        return None;
    }
    // As Envoy reads a header: one of the two is set.
    Some(if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value })
}

/// A body that comes back: the same bytes, cut in any way.
#[derive(Debug)]
struct Echo<'a> {
    part: Part,
    pieces: Pieces<'a>,
    /// The piece that is coming back, and how much of it is.
    nth: usize,
    offset: usize,
    /// Bytes before that piece.
    before: usize,
    ended: bool,
}

impl<'a> Echo<'a> {
    fn new(part: Part, pieces: Pieces<'a>) -> Self {
        Self { part, ended: pieces.len() == 0, pieces, nth: 0, offset: 0, before: 0 }
    }

    fn is_whole(&self) -> bool {
        self.ended
    }

    /// Returns how many pieces are whole with this.
    fn take(&mut self, answer: BodyResponse) -> Result<usize, Fault> {
        let chunk = streamed(answer).ok_or(Fault::NotStreamed { part: self.part })?;
        if self.ended {
            // Envoy takes a repeated end as long as it brings no bytes.
            return if chunk.body.is_empty() { Ok(0) } else { Err(self.wrong()) };
        }
        let mut whole = self.compare(&chunk.body)?;
        if chunk.end_of_stream {
            if self.pieces.get(self.nth).is_some_and(|piece| piece.body.is_empty()) {
                self.nth += 1;
                whole += 1;
            }
            if self.nth < self.pieces.len() {
                let at = self.before + self.offset;
                return Err(Fault::EndsEarly { part: self.part, at, length: self.length() });
            }
            self.ended = true;
        }
        Ok(whole)
    }

    fn compare(&mut self, mut bytes: &[u8]) -> Result<usize, Fault> {
        let mut whole = 0;
        while !bytes.is_empty() {
            let Some(piece) = self.pieces.get(self.nth) else { return Err(self.wrong()) };
            let left = piece.body.get(self.offset..).unwrap_or_default();
            let count = left.len().min(bytes.len());
            let (head, tail) = bytes.split_at(count);
            if left.get(..count) != Some(head) {
                return Err(self.wrong());
            }
            bytes = tail;
            if count < left.len() {
                self.offset += count;
                continue;
            }
            self.before += piece.body.len();
            self.offset = 0;
            self.nth += 1;
            whole += 1;
        }
        Ok(whole)
    }

    fn length(&self) -> usize {
        (0..).map_while(|nth| self.pieces.get(nth)).map(|piece| piece.body.len()).sum()
    }

    fn wrong(&self) -> Fault {
        Fault::WrongEcho { part: self.part, at: self.before + self.offset }
    }
}

fn streamed(answer: BodyResponse) -> Option<StreamedBodyResponse> {
    match answer.response?.body_mutation?.mutation? {
        Mutation::StreamedResponse(chunk) => Some(chunk),
        Mutation::Body(_) | Mutation::ClearBody(_) => None,
    }
}

#[cfg(test)]
mod tests;
