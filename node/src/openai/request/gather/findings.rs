//! What was found in a body, once it is whole, or why it is refused.

use bytes::Bytes;

use super::{Gatherer, Root};
use crate::openai::{Api, Prompts, body, json::Span, request::Refusal};

/// What was found in a body that is not refused.
#[derive(Debug)]
pub(in crate::openai::request) struct Findings {
    pub(in crate::openai::request) model: Option<Span>,
    pub(in crate::openai::request) model_value: Option<Span>,
    pub(in crate::openai::request) members: u64,
    pub(in crate::openai::request) stream: bool,
    pub(in crate::openai::request) include_usage: bool,
    pub(in crate::openai::request) cache_salt: Option<Span>,
    pub(in crate::openai::request) prompts: Prompts,
}

/// Bytes of a number that is too large, as far as a refusal repeats them.
const LITERAL_BYTES_MAX: u64 = 1024;

impl Gatherer {
    /// Ends the body, which is known to be JSON.
    pub(in crate::openai::request) fn finish(
        mut self,
        chunks: &[Bytes],
    ) -> Result<Findings, Refusal> {
        let members = match self.root {
            Some(Root::Object { members }) => members,
            Some(Root::Null) | None => return Err(Refusal::Payload { api: self.api }),
            Some(Root::Other { found }) => return Err(Refusal::NotAnObject { found }),
        };
        if let Some(span) = self.too_large {
            return Err(Refusal::NumberTooLarge { literal: literal(chunks, span) });
        }
        let has_payload = match self.api {
            Api::Completions | Api::Embeddings => !self.pieces.kept.is_empty(),
            Api::Chat => 0 < self.chat.messages,
            Api::Responses => self.input.is_some(),
            Api::Conversations => 0 < self.items.count,
            Api::Images => self.items.has_image_prompt,
            Api::Passthrough => true,
        };
        if self.is_mistyped || !has_payload {
            return Err(Refusal::Payload { api: self.api });
        }
        match self.api {
            Api::Chat => self.put_tools_first(),
            Api::Responses => self.assemble_response(),
            Api::Completions
            | Api::Embeddings
            | Api::Conversations
            | Api::Images
            | Api::Passthrough => {}
        }
        let Self { model, model_value, stream, include_usage, cache_salt, .. } = self;
        let prompts = Prompts { pieces: self.pieces.kept, each: self.prompt.each };
        Ok(Findings { model, model_value, members, stream, include_usage, cache_salt, prompts })
    }
}

/// The text of a number, cut where it is too long to repeat.
fn literal(chunks: &[Bytes], Span { start, end }: Span) -> String {
    let mut literal = String::new();
    let span = Span { start, end: end.min(start + LITERAL_BYTES_MAX) };
    let _ = body::Reader::new(chunks).read(span, |raw| {
        literal.push_str(&String::from_utf8_lossy(raw));
        std::ops::ControlFlow::Continue(())
    });
    literal
}
