//! A resumable JSON lexer: bytes in as they arrive, tokens out, nothing copied and nothing built.
//!
//! It accepts exactly what Go's `encoding/json` accepts and refuses in the same words, because
//! clients of the picker that this one replaces see those words in a 400. State is bounded: one
//! bit per open container, at most [`DEPTH_MAX`] of them, and [`SHORT_BYTES_MAX`] bytes of a token
//! that the end of a chunk has cut. A literal of any length costs nothing.

mod containers;
mod cut;
mod error;
mod number;
pub(super) mod special;
mod text;
mod word;

use containers::Containers;
use cut::Cut;
pub(super) use number::whole;
use number::{Digits, Magnitude};
use text::Letter;
use word::Word;

pub use error::SyntaxError;

/// Open containers at most; one more is an error, as in Go.
const DEPTH_MAX: usize = 10_000;

/// A key, string or number of more bytes than this is handed out as a span only.
///
/// The longest name that anybody looks for has 28 letters, and each may be written `\u0061`.
pub(super) const SHORT_BYTES_MAX: usize = 192;

/// A run of bytes of the body, counted from its first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u64,
    pub end: u64,
}

impl Span {
    /// Bytes in the run.
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Key,
    /// `escaped` says that the text between the quotes holds at least one backslash.
    String {
        escaped: bool,
    },
    Number(Number),
    True,
    False,
    Null,
}

/// What is known of a number without looking at its digits again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// Written with digits alone.
    Whole(u32),
    Other,
    /// Beyond the range of an `f64`.
    TooLarge,
}

/// One token. The span of a key or string lies between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// What may come next between two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Value,
    FirstElement,
    FirstKey,
    NextKey,
    Colon,
    AfterValue,
    /// The one value of the body is complete.
    End,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Between(Gap),
    Text(Letter),
    Number(Digits),
    Word { word: &'static Word, seen: usize },
}

/// The lexer. Give it each chunk with [`Lexer::next`] until that answers `None`.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    /// Where the current chunk begins in the body.
    base: u64,
    /// Where the token being read begins.
    start: u64,
    /// Whether the text being read is a key.
    key: bool,
    escaped: bool,
    open: Containers,
    magnitude: Magnitude,
    cut: Cut,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Self {
            state: State::Between(Gap::Value),
            base: 0,
            start: 0,
            key: false,
            escaped: false,
            open: Containers::default(),
            magnitude: Magnitude::default(),
            cut: Cut::default(),
        }
    }

    /// The next token that ends in `chunk` at or after `at`, or `None` when the chunk is used up
    /// and the next one is wanted.
    #[inline]
    pub(super) fn next(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Token>, SyntaxError> {
        while *at < chunk.len() {
            let token = match self.state {
                State::Between(gap) => self.between(gap, chunk, at)?,
                State::Text(letter) => self.text(letter, chunk, at)?,
                State::Number(digits) => self.number(digits, chunk, at)?,
                State::Word { word, seen } => self.word(word, seen, chunk, at)?,
            };
            if token.is_some() {
                return Ok(token);
            }
        }
        if matches!(self.state, State::Text(_) | State::Number(_)) {
            self.cut.keep(chunk, self.start, self.base);
        }
        self.base += chunk.len() as u64;
        Ok(None)
    }

    /// Ends the body. A number at its very end is complete only here.
    pub(super) fn finish(&mut self) -> Result<Option<Token>, SyntaxError> {
        // Go feeds one space to learn whether the last value was complete, and complains about
        // that space where none may stand.
        let token = self.next(b" ", &mut 0)?;
        if self.is_complete() { Ok(token) } else { Err(SyntaxError::UnexpectedEnd) }
    }

    /// Whether the one value of the body is complete.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Between(Gap::End))
    }

    /// The bytes of a token that [`Lexer::next`] just returned, unless it is longer than
    /// [`SHORT_BYTES_MAX`]. The answer does not depend on how the body was cut into chunks.
    #[inline]
    pub(super) fn short<'a>(&'a self, chunk: &'a [u8], token: Token) -> Option<&'a [u8]> {
        let length = usize::try_from(token.span.len()).ok().filter(|&n| n <= SHORT_BYTES_MAX)?;
        let Some(start) = token.span.start.checked_sub(self.base) else {
            return self.cut.get(length);
        };
        let start = usize::try_from(start).ok()?;
        chunk.get(start..start + length)
    }

    fn offset(&self, at: usize) -> u64 {
        self.base + at as u64
    }

    /// Reads what stands between two tokens, and the next token as far as the chunk goes.
    #[inline]
    fn between(
        &mut self,
        mut gap: Gap,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Token>, SyntaxError> {
        let in_object = self.open.innermost_is_object();
        while let Some(&byte) = chunk.get(*at) {
            gap = match (byte, gap) {
                (b' ' | b'\n' | b'\r' | b'\t', _) => gap,
                (b'"', Gap::FirstKey | Gap::NextKey) => return self.begin_text(chunk, at, true),
                (b']', Gap::FirstElement) => return Ok(Some(self.close(Kind::ArrayEnd, at))),
                (_, Gap::Value | Gap::FirstElement) => return self.begin_value(byte, chunk, at),
                (b',', Gap::AfterValue) if in_object => Gap::NextKey,
                (b',', Gap::AfterValue) | (b':', Gap::Colon) => Gap::Value,
                (b'}', Gap::FirstKey) => return Ok(Some(self.close(Kind::ObjectEnd, at))),
                (b'}', Gap::AfterValue) if in_object => {
                    return Ok(Some(self.close(Kind::ObjectEnd, at)));
                }
                (b']', Gap::AfterValue) if !in_object => {
                    return Ok(Some(self.close(Kind::ArrayEnd, at)));
                }
                _ => return Err(SyntaxError::Invalid { byte, context: gap.expects(in_object) }),
            };
            *at += 1;
        }
        self.state = State::Between(gap);
        Ok(None)
    }

    #[inline]
    fn begin_value(
        &mut self,
        byte: u8,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Token>, SyntaxError> {
        match byte {
            b'"' => self.begin_text(chunk, at, false),
            b'{' => self.open(Kind::ObjectStart, at).map(Some),
            b'[' => self.open(Kind::ArrayStart, at).map(Some),
            b'-' | b'0'..=b'9' => self.begin_number(byte, chunk, at),
            b't' => self.begin_word(&word::TRUE, chunk, at),
            b'f' => self.begin_word(&word::FALSE, chunk, at),
            b'n' => self.begin_word(&word::NULL, chunk, at),
            _ => Err(SyntaxError::Invalid { byte, context: Gap::Value.expects(false) }),
        }
    }

    #[inline]
    fn open(&mut self, kind: Kind, at: &mut usize) -> Result<Token, SyntaxError> {
        let is_object = kind == Kind::ObjectStart;
        if !self.open.push(is_object) {
            let byte = if is_object { b'{' } else { b'[' };
            return Err(SyntaxError::Invalid { byte, context: "exceeded max depth" });
        }
        self.state = State::Between(if is_object { Gap::FirstKey } else { Gap::FirstElement });
        Ok(self.bracket(kind, at))
    }

    #[inline]
    fn close(&mut self, kind: Kind, at: &mut usize) -> Token {
        self.open.pop();
        self.state = self.after_value();
        self.bracket(kind, at)
    }

    #[inline]
    fn bracket(&self, kind: Kind, at: &mut usize) -> Token {
        let start = self.offset(*at);
        *at += 1;
        Token { kind, span: Span { start, end: start + 1 } }
    }

    #[inline]
    fn after_value(&self) -> State {
        State::Between(if self.open.is_empty() { Gap::End } else { Gap::AfterValue })
    }
}

impl Gap {
    /// What Go says about a byte that does not fit here.
    fn expects(self, in_object: bool) -> &'static str {
        match self {
            Self::Value | Self::FirstElement => "looking for beginning of value",
            Self::FirstKey | Self::NextKey => "looking for beginning of object key string",
            Self::Colon => "after object key",
            Self::AfterValue if in_object => "after object key:value pair",
            Self::AfterValue => "after array element",
            Self::End => "after top-level value",
        }
    }
}
