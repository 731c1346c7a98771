//! Keys and strings.

use super::{Gap, Kind, Lexer, Span, State, SyntaxError, Token, special};

/// What the next byte of a text is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    Plain,
    /// What follows a backslash.
    Escape,
    /// Digits of `\u` to come.
    Hex {
        missing: u8,
    },
}

impl Letter {
    /// What Go says about a byte that does not fit here.
    fn expects(self) -> &'static str {
        match self {
            Self::Plain => "in string literal",
            Self::Escape => "in string escape code",
            Self::Hex { .. } => "in \\u hexadecimal character escape",
        }
    }
}

impl Lexer {
    /// Starts a text at its opening quote.
    #[inline]
    pub(super) fn begin_text(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
        is_key: bool,
    ) -> Result<Option<Token>, SyntaxError> {
        *at += 1;
        self.start = self.offset(*at);
        self.key = is_key;
        self.escaped = false;
        self.cut.reset();
        self.text(Letter::Plain, chunk, at)
    }

    #[inline]
    pub(super) fn text(
        &mut self,
        mut letter: Letter,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Token>, SyntaxError> {
        loop {
            if letter == Letter::Plain {
                *at = special::find(chunk, *at);
            }
            let Some(&byte) = chunk.get(*at) else { break };
            letter = match (letter, byte) {
                (Letter::Plain, b'"') => return Ok(Some(self.end_text(chunk, at))),
                (Letter::Plain, b'\\') => {
                    self.escaped = true;
                    Letter::Escape
                }
                (Letter::Escape, b'n' | b'"' | b'\\' | b't' | b'/' | b'r' | b'b' | b'f') => {
                    Letter::Plain
                }
                (Letter::Escape, b'u') => Letter::Hex { missing: 4 },
                (Letter::Hex { missing }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    if missing == 1 { Letter::Plain } else { Letter::Hex { missing: missing - 1 } }
                }
                _ => return Err(SyntaxError::Invalid { byte, context: letter.expects() }),
            };
            *at += 1;
        }
        self.state = State::Text(letter);
        Ok(None)
    }

    #[inline]
    fn end_text(&mut self, chunk: &[u8], at: &mut usize) -> Token {
        let span = Span { start: self.start, end: self.offset(*at) };
        if self.start < self.base {
            self.cut.keep(chunk.get(..*at).unwrap_or_default(), self.start, self.base);
        }
        *at += 1;
        if self.key {
            self.state = State::Between(Gap::Colon);
            return Token { kind: Kind::Key, span };
        }
        self.state = self.after_value();
        Token { kind: Kind::String { escaped: self.escaped }, span }
    }
}
