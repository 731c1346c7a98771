//! The canonical text of a prompt: what the index hashes, handed out in pieces.
//!
//! Two requests that an engine would answer from one cache have equal canonical texts, as far as a
//! body can tell: JSON escapes are decoded and layout does not count. Which bytes make up the text
//! of which API is that of the picker that this one replaces, with these differences:
//!
//! - tools and other JSON lose their layout but keep the order of their keys;
//! - an image, video or recording is represented by as many bytes as an engine would need tokens
//!   for it, times four, filled with a digest of its address or data. The sizes are the defaults
//!   of the other picker; pictures are not decoded to learn theirs;
//! - token ids count as their little-endian `u32`s;
//! - bytes that are not UTF-8 count as they are: engines refuse such bodies.

mod compact;
mod ids;
mod standin;
pub(super) mod unescape;

use std::ops::ControlFlow;

use bytes::Bytes;

use self::{compact::Compactor, ids::Ids, standin::StandIn, unescape::Unescaper};
use super::{body::Reader, json::Span};
pub(super) use ids::token_id;
pub(super) use standin::Medium;

/// Pieces of prompt kept for one request. A message has two, for its role and its text, and one
/// more for each further part; a list of prompts has one for each. What comes after is not part of
/// the canonical text: such a prompt matches by its beginning. Bounds the memory of a request made
/// of tiny messages to 384 KiB.
pub const PIECES_MAX: usize = 16_384;

/// What a span of the body contributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The inside of a string without escapes.
    Text,
    /// The inside of a string with escapes.
    Escaped,
    /// A JSON value.
    Json,
    /// The inside of an array of token ids.
    Ids,
    /// The inside of a string that is or names a picture, film or recording.
    Medium(Medium),
    /// A fixed text; the span is empty.
    Fixed(Seam),
}

/// Texts that stand around those of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seam {
    /// The place of a role that is not known yet.
    Empty,
    ListStart,
    ListNext,
    ListEnd,
    Instructions,
    Tools,
    Input,
}

impl Seam {
    fn text(self) -> &'static str {
        match self {
            Self::Empty => "",
            Self::ListStart => "[",
            Self::ListNext => "},",
            Self::ListEnd => "}]",
            Self::Instructions => "{\"instructions\":",
            Self::Tools => "{\"tools\":",
            Self::Input => "{\"input\":",
        }
    }
}

/// One run of the canonical text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) form: Form,
    pub(super) span: Span,
}

impl Piece {
    pub(super) fn text(span: Span, escaped: bool) -> Self {
        Self { form: if escaped { Form::Escaped } else { Form::Text }, span }
    }

    pub(super) fn json(span: Span) -> Self {
        Self { form: Form::Json, span }
    }

    pub(super) fn fixed(seam: Seam) -> Self {
        Self { form: Form::Fixed(seam), span: Span::default() }
    }
}

/// The prompts of a request, as places in its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    pub(super) pieces: Vec<Piece>,
    /// Each piece is a prompt of its own; otherwise all are one prompt.
    pub(super) each: bool,
}

impl Prompts {
    /// How many prompts there are: each string or token-id list of a list is one.
    pub fn count(&self) -> usize {
        if self.each { self.pieces.len() } else { usize::from(!self.pieces.is_empty()) }
    }

    /// Hands the canonical text to `sink`, in order and in pieces of any size, each with the
    /// number of the prompt it belongs to. `chunks` are those that the scanner was fed. When
    /// `sink` breaks it is not asked about the rest of that prompt; an empty prompt has no pieces.
    ///
    /// Reading allocates nothing and copies no text but what escapes, layout and token ids need.
    pub fn read(&self, chunks: &[Bytes], mut sink: impl FnMut(usize, &[u8]) -> ControlFlow<()>) {
        let mut body = Reader::new(chunks);
        for (number, piece) in self.pieces.iter().enumerate() {
            let number = if self.each { number } else { 0 };
            let enough = piece.read(&mut body, &mut |bytes| sink(number, bytes));
            if enough.is_break() && !self.each {
                break;
            }
        }
    }
}

impl Piece {
    fn read(
        &self,
        body: &mut Reader<'_>,
        sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.form {
            Form::Text => body.read(self.span, sink),
            Form::Escaped => {
                let mut text = Unescaper::default();
                body.read(self.span, |raw| text.feed(raw, sink))?;
                text.finish(sink)
            }
            Form::Json => {
                let mut json = Compactor::default();
                body.read(self.span, |raw| json.feed(raw, sink))
            }
            Form::Ids => {
                let mut ids = Ids::default();
                body.read(self.span, |raw| ids.feed(raw, sink))?;
                ids.finish(sink)
            }
            Form::Medium(medium) => {
                let mut standin = StandIn::new(medium, self.span);
                let _ = body.read(self.span, |raw| {
                    standin.feed(raw);
                    ControlFlow::Continue(())
                });
                standin.finish(sink)
            }
            Form::Fixed(seam) => sink(seam.text().as_bytes()),
        }
    }
}
