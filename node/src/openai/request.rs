//! A request's body, read as it arrives.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a key that means nothing in a place is skipped there, and so is a value of another kind"
)]

mod chat;
mod gather;
mod items;
mod names;
mod prompt;
mod refusal;
mod responses;

use std::ops::ControlFlow;

use bytes::Bytes;

use self::gather::{Findings, Gatherer};
pub use self::refusal::Refusal;
use super::{
    Api, Prompts,
    body::Reader,
    canonical::unescape::Unescaper,
    json::{Kind, Lexer, Number, Span, SyntaxError},
};

/// What a pick needs to know of a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub api: Api,
    pub model: Model,
    /// `"stream": true`
    pub stream: bool,
    /// `"stream_options": {"include_usage": true}`
    pub include_usage: bool,
    /// What keeps the caches of different users apart; empty if the body has none.
    pub cache_salt: String,
    pub prompts: Prompts,
}

/// The model that a body asks for, and where it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Empty if the body names none.
    pub name: String,
    /// The whole value of the last `model` key, quotes included, whatever its type.
    value: Option<Span>,
    /// Where a `model` key may be inserted: right after the opening brace.
    members: u64,
}

impl Model {
    /// The same body for `model`: the value is replaced, everything else is the same bytes, and
    /// `chunks` are shared. Length grows by that of the new value less that of the old.
    pub fn rewrite(&self, chunks: &[Bytes], model: &str) -> Vec<Bytes> {
        let quoted = serde_json::Value::from(model).to_string();
        let (cut, written) = if let Some(value) = self.value {
            (value, quoted)
        } else {
            let cut = Span { start: self.members, end: self.members };
            (cut, format!("\"model\":{quoted},"))
        };
        let mut written = Some(Bytes::from(written));
        let mut rewritten = Vec::with_capacity(chunks.len() + 2);
        let mut base = 0;
        for chunk in chunks {
            let offset = |at: u64| {
                let inside = at.saturating_sub(base);
                usize::try_from(inside).unwrap_or(usize::MAX).min(chunk.len())
            };
            let (before, after) = (offset(cut.start), offset(cut.end));
            base += chunk.len() as u64;
            rewritten.push(chunk.slice(..before));
            if cut.start <= base {
                rewritten.extend(written.take());
            }
            rewritten.push(chunk.slice(after..));
        }
        rewritten.retain(|chunk| !chunk.is_empty());
        rewritten
    }
}

/// Reads one body, in chunks cut anywhere.
///
/// Memory does not depend on the length of the body: it is that of [`super::PIECES_MAX`] places
/// in it, and a bit for each level of nesting. Of two equal keys the last counts.
#[derive(Debug)]
pub struct Scanner {
    lexer: Lexer,
    gatherer: Gatherer,
    wrong: Option<SyntaxError>,
}

impl Scanner {
    pub fn new(api: Api) -> Self {
        Self { lexer: Lexer::new(), gatherer: Gatherer::new(api), wrong: None }
    }

    /// Takes the next chunk of the body. The caller keeps it: the request will point into it.
    pub fn feed(&mut self, chunk: &[u8]) {
        if self.wrong.is_some() || self.gatherer.api() == Api::Passthrough {
            return;
        }
        let mut at = 0;
        loop {
            match self.lexer.next(chunk, &mut at) {
                Ok(Some(token)) => {
                    self.gatherer.take(token, || self.lexer.short(chunk, token));
                    let is_whole = matches!(token.kind, Kind::Number(Number::Whole(_)));
                    if is_whole && self.gatherer.takes_more_wholes() {
                        self.lexer.skip_wholes(chunk, &mut at);
                    }
                }
                Ok(None) => return,
                Err(wrong) => {
                    self.wrong = Some(wrong);
                    return;
                }
            }
        }
    }

    /// Whether the body is already known to be refused, so that the rest of it need not be kept.
    pub fn is_hopeless(&self) -> bool {
        self.wrong.is_some()
    }

    /// Ends the body, which consists of `chunks`.
    pub fn finish(mut self, chunks: &[Bytes]) -> Result<Request, Refusal> {
        let api = self.gatherer.api();
        if api == Api::Passthrough {
            return Ok(Request {
                api,
                model: Model::default(),
                stream: false,
                include_usage: false,
                cache_salt: String::new(),
                prompts: Prompts::default(),
            });
        }
        if let Some(wrong) = self.wrong {
            return Err(Refusal::Syntax(wrong));
        }
        if let Some(token) = self.lexer.finish().map_err(Refusal::Syntax)? {
            self.gatherer.take(token, || None);
        }
        let Findings { model, model_value, members, stream, include_usage, cache_salt, prompts } =
            self.gatherer.finish(chunks)?;
        let mut body = Reader::new(chunks);
        let model = Model {
            name: model.map(|span| decode(&mut body, span)).unwrap_or_default(),
            value: model_value,
            members,
        };
        let cache_salt = cache_salt.map(|span| decode(&mut body, span)).unwrap_or_default();
        Ok(Request { api, model, stream, include_usage, cache_salt, prompts })
    }
}

/// The text between two quotes, as Go decodes it.
fn decode(body: &mut Reader<'_>, span: Span) -> String {
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    let mut text = Unescaper::default();
    let _ = body.read(span, |raw| text.feed(raw, &mut sink));
    let _ = text.finish(&mut sink);
    let mut decoded = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        decoded.push_str(chunk.valid());
        // One for each byte, where Rust's own lossy decoding has one for each run.
        decoded.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    decoded
}

#[cfg(test)]
mod tests;
