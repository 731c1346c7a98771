//! Decodes what Envoy asks.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::headers::{Header, HeaderList};
use super::metadata::MetadataContext;
use super::reader::{DecodeError, Fault, HEADERS_MAX, Key, Reader};
use crate::filter::processing_mode::BodySendMode;

/// Headers that a list has room for at once. Requests through a gateway carry 15 to 30.
const HEADERS_EXPECTED: usize = 32;

/// What a picker reads of a `ProcessingRequest`.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `None` in a message that asks nothing, which Envoy may send for flow control.
    pub question: Option<Question>,
    /// Only in the first message of a stream, from Envoys that know it.
    pub protocol_config: Option<ProtocolConfig>,
    /// Envoy is only telling, and would ignore an answer.
    pub observability_mode: bool,
    pub metadata: MetadataContext,
}

/// The part of the exchange that Envoy asks about.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    RequestHeaders(Headers),
    RequestBody(Body),
    RequestTrailers(HeaderList),
    ResponseHeaders(Headers),
    ResponseBody(Body),
    ResponseTrailers(HeaderList),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers {
    pub headers: HeaderList,
    /// Neither body nor trailers follow.
    pub end_of_stream: bool,
}

#[derive(Clone, Default, PartialEq)]
pub struct Body {
    /// A slice of the message.
    pub body: Bytes,
    /// Neither body nor trailers follow.
    pub end_of_stream: bool,
}

/// Shows the length of the body: prompts belong in no log.
impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = out.debug_struct("Body");
        shown.field("bytes", &self.body.len()).field("end_of_stream", &self.end_of_stream).finish()
    }
}

/// How bodies travel on a stream. A mode is `None` if its number is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolConfig {
    pub request_body_mode: Option<BodySendMode>,
    pub response_body_mode: Option<BodySendMode>,
}

/// Decodes a `ProcessingRequest`; bodies and headers stay slices of `message`.
///
/// Reads as the generated type does: unknown fields and groups are passed over, a repeated field
/// replaces or merges with the one before it, and a field of the wrong wire type is refused. Of the
/// fields that a picker does not read (attributes, flow control) and of the metadata, only the
/// outermost length is looked at. One thing the generated type lets pass is refused: a map of the
/// wrong wire type, which it reads as if the type were right. So is a list of more headers than
/// [`HEADERS_MAX`].
pub fn decode(message: Bytes) -> Result<Request, DecodeError> {
    let mut reader = Reader::new(&message, "ProcessingRequest");
    if u32::try_from(message.len()).is_err() {
        return Err(reader.error(Fault::TooLong { length: message.len() }));
    }
    let mut found = Found::default();
    let mut metadata = Parts::default();
    let mut protocol_config = None;
    let mut observability_mode = false;
    while let Some(key) = reader.key()? {
        match key.number {
            2..=7 => found.read(key, &mut reader)?,
            8 => metadata.push(reader.bytes(key)?, &message),
            9 | 12 | 13 => {
                reader.bytes(key)?;
            }
            10 => observability_mode = reader.boolean(key)?,
            11 => {
                let modes = protocol_config.get_or_insert((0, 0));
                read_protocol_config(reader.nested(key, "ProtocolConfiguration")?, modes)?;
            }
            _ => reader.skip(key)?,
        }
    }
    let metadata = metadata.join(&message);
    let protocol_config = protocol_config.map(|(request, response)| ProtocolConfig {
        request_body_mode: BodySendMode::try_from(request).ok(),
        response_body_mode: BodySendMode::try_from(response).ok(),
    });
    Ok(Request { question: found.finish(message), protocol_config, observability_mode, metadata })
}

fn read_protocol_config(
    mut config: Reader<'_>,
    (request, response): &mut (i32, i32),
) -> Result<(), DecodeError> {
    while let Some(key) = config.key()? {
        match key.number {
            1 => *request = config.int32(key)?,
            2 => *response = config.int32(key)?,
            3 => {
                config.boolean(key)?;
            }
            _ => config.skip(key)?,
        }
    }
    Ok(())
}

/// The question as far as it has been read.
#[derive(Default)]
struct Found {
    /// The number of the `oneof`'s field that counts, or zero.
    number: u32,
    headers: Vec<Header>,
    body: Range<usize>,
    end_of_stream: bool,
}

impl Found {
    /// Reads a field of the `oneof`: the same as the last one merges, another replaces it.
    fn read(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        if self.number != key.number {
            *self = Self { number: key.number, ..Self::default() };
        }
        match key.number {
            2 | 3 => self.read_headers(reader.nested(key, "HttpHeaders")?),
            4 | 5 => self.read_body(reader.nested(key, "HttpBody")?),
            _ => self.read_trailers(reader.nested(key, "HttpTrailers")?),
        }
    }

    fn read_headers(&mut self, mut headers: Reader<'_>) -> Result<(), DecodeError> {
        while let Some(key) = headers.key()? {
            match key.number {
                1 => self.read_header_map(headers.nested(key, "HeaderMap")?)?,
                2 => {
                    headers.bytes(key)?;
                }
                3 => self.end_of_stream = headers.boolean(key)?,
                _ => headers.skip(key)?,
            }
        }
        Ok(())
    }

    fn read_body(&mut self, mut body: Reader<'_>) -> Result<(), DecodeError> {
        while let Some(key) = body.key()? {
            match key.number {
                1 => self.body = body.bytes(key)?,
                2 => self.end_of_stream = body.boolean(key)?,
                // These three are for modes and drains that a picker does not take part in.
                3..=5 => {
                    body.boolean(key)?;
                }
                _ => body.skip(key)?,
            }
        }
        Ok(())
    }

    fn read_trailers(&mut self, mut trailers: Reader<'_>) -> Result<(), DecodeError> {
        while let Some(key) = trailers.key()? {
            match key.number {
                1 => self.read_header_map(trailers.nested(key, "HeaderMap")?)?,
                _ => trailers.skip(key)?,
            }
        }
        Ok(())
    }

    fn read_header_map(&mut self, mut map: Reader<'_>) -> Result<(), DecodeError> {
        while let Some(key) = map.key()? {
            match key.number {
                1 => {
                    let header = read_header(map.nested(key, "HeaderValue")?)?;
                    if self.headers.capacity() == 0 {
                        self.headers.reserve(HEADERS_EXPECTED);
                    }
                    if self.headers.len() == HEADERS_MAX {
                        return Err(map.error(Fault::TooManyHeaders));
                    }
                    self.headers.push(header);
                }
                _ => map.skip(key)?,
            }
        }
        Ok(())
    }

    fn finish(self, message: Bytes) -> Option<Question> {
        let Self { number, headers, body, end_of_stream } = self;
        let list = |message, headers| HeaderList::new(message, headers);
        Some(match number {
            2 => {
                Question::RequestHeaders(Headers { headers: list(message, headers), end_of_stream })
            }
            3 => Question::ResponseHeaders(Headers {
                headers: list(message, headers),
                end_of_stream,
            }),
            4 => Question::RequestBody(Body { body: message.slice(body), end_of_stream }),
            5 => Question::ResponseBody(Body { body: message.slice(body), end_of_stream }),
            6 => Question::RequestTrailers(list(message, headers)),
            7 => Question::ResponseTrailers(list(message, headers)),
            _ => return None,
        })
    }
}

/// Envoy sets `raw_value`; `value` counts where that is empty.
fn read_header(mut header: Reader<'_>) -> Result<Header, DecodeError> {
    let mut found = Header::default();
    let (mut value, mut raw_value) = (0..0, 0..0);
    while let Some(key) = header.key()? {
        match key.number {
            1 => found.set_name(&header.string(key)?),
            2 => value = header.string(key)?,
            3 => raw_value = header.bytes(key)?,
            _ => header.skip(key)?,
        }
    }
    found.set_value(if raw_value.is_empty() { &value } else { &raw_value });
    Ok(found)
}

/// Where the parts of one embedded message lie. As a rule there is one; several merge, which for
/// encoded messages is to stand one after the other.
#[derive(Default)]
struct Parts {
    first: Option<Range<usize>>,
    joined: Vec<u8>,
}

impl Parts {
    fn push(&mut self, part: Range<usize>, message: &[u8]) {
        let Some(first) = self.first.clone() else {
            self.first = Some(part);
            return;
        };
        if self.joined.is_empty() {
            self.joined.extend_from_slice(message.get(first).unwrap_or_default());
        }
        self.joined.extend_from_slice(message.get(part).unwrap_or_default());
    }

    fn join(self, message: &Bytes) -> MetadataContext {
        MetadataContext::new(match self.first {
            Some(first) if self.joined.is_empty() => message.slice(first),
            Some(_) => Bytes::from(self.joined),
            None => Bytes::new(),
        })
    }
}

#[cfg(test)]
mod tests;
