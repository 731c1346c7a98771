//! `true`, `false` and `null`.

use super::{Kind, Lexer, Span, State, SyntaxError, Token};

/// One of the three words, with what Go says at each letter that is wrong.
#[derive(Debug)]
pub(super) struct Word {
    kind: Kind,
    letters: &'static [(u8, &'static str)],
}

pub(super) static TRUE: Word = Word {
    kind: Kind::True,
    letters: &[
        (b't', ""),
        (b'r', "in literal true (expecting 'r')"),
        (b'u', "in literal true (expecting 'u')"),
        (b'e', "in literal true (expecting 'e')"),
    ],
};

pub(super) static FALSE: Word = Word {
    kind: Kind::False,
    letters: &[
        (b'f', ""),
        (b'a', "in literal false (expecting 'a')"),
        (b'l', "in literal false (expecting 'l')"),
        (b's', "in literal false (expecting 's')"),
        (b'e', "in literal false (expecting 'e')"),
    ],
};

pub(super) static NULL: Word = Word {
    kind: Kind::Null,
    letters: &[
        (b'n', ""),
        (b'u', "in literal null (expecting 'u')"),
        (b'l', "in literal null (expecting 'l')"),
        (b'l', "in literal null (expecting 'l')"),
    ],
};

impl Lexer {
    /// Starts a word at its first letter.
    pub(super) fn begin_word(
        &mut self,
        word: &'static Word,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Token>, SyntaxError> {
        self.start = self.offset(*at);
        *at += 1;
        self.word(word, 1, chunk, at)
    }

    pub(super) fn word(
        &mut self,
        word: &'static Word,
        seen: usize,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Token>, SyntaxError> {
        let mut letters = word.letters.get(seen..).unwrap_or_default();
        while let [(letter, context), rest @ ..] = letters {
            let Some(&byte) = chunk.get(*at) else {
                self.state = State::Word { word, seen: word.letters.len() - letters.len() };
                return Ok(None);
            };
            if byte != *letter {
                return Err(SyntaxError::Invalid { byte, context });
            }
            *at += 1;
            letters = rest;
        }
        self.state = self.after_value();
        let span = Span { start: self.start, end: self.offset(*at) };
        Ok(Some(Token { kind: word.kind, span }))
    }
}
