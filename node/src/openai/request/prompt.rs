//! Prompts of completions and inputs of embeddings: a string, or a list of strings, of token ids,
//! or of lists of token ids.

use super::{
    gather::{Gatherer, Interest, Place},
    names::Name,
};
use crate::openai::{
    Api,
    canonical::{Form, Piece, token_id},
    json::{Kind, Number, Span, Token},
};

/// What a list holds, told from its first element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shape {
    #[default]
    Empty,
    Strings,
    Ids,
    Lists,
}

/// The prompt as far as it was read.
#[derive(Debug, Default)]
pub(super) struct PromptList {
    shape: Shape,
    start: u64,
    ids_start: u64,
    /// Each piece is a prompt of its own.
    pub(super) each: bool,
}

impl PromptList {
    /// Whether it is known to be one list of token ids.
    pub(super) fn is_ids(&self) -> bool {
        self.shape == Shape::Ids
    }
}

impl Gatherer {
    pub(super) fn completions_member(&mut self, name: Name, token: Token) -> Interest {
        let wanted = if self.api() == Api::Embeddings { Name::Input } else { Name::Prompt };
        if name != wanted {
            return Interest::None;
        }
        self.pieces.clear();
        self.prompt = PromptList { start: token.span.end, ..PromptList::default() };
        match token.kind {
            Kind::String { escaped } if !token.span.is_empty() => {
                self.pieces.push(Piece::text(token.span, escaped));
                Interest::None
            }
            Kind::String { .. } => Interest::None,
            Kind::ArrayStart => Interest::Enter(Place::Prompt),
            _ => self.mistyped(),
        }
    }

    #[inline]
    pub(super) fn prompt_element<'a>(
        &mut self,
        token: Token,
        short: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Interest {
        let shape = match token.kind {
            Kind::String { .. } => Shape::Strings,
            Kind::Number(_) => Shape::Ids,
            Kind::ArrayStart => Shape::Lists,
            _ => return self.mistyped(),
        };
        if self.prompt.shape == Shape::Empty {
            self.prompt.shape = shape;
        }
        if self.prompt.shape != shape {
            return self.mistyped();
        }
        match token.kind {
            Kind::String { escaped } => self.pieces.push(Piece::text(token.span, escaped)),
            Kind::ArrayStart => {
                self.prompt.ids_start = token.span.end;
                return Interest::Enter(Place::PromptIds);
            }
            _ => return self.prompt_id(token, short),
        }
        Interest::None
    }

    #[inline]
    pub(super) fn prompt_id<'a>(
        &mut self,
        token: Token,
        short: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Interest {
        match token.kind {
            Kind::Number(Number::Whole(_)) => Interest::None,
            Kind::Number(_) if short().and_then(token_id).is_some() => Interest::None,
            _ => self.mistyped(),
        }
    }

    pub(super) fn end_prompt_ids(&mut self, end: Span) {
        let span = Span { start: self.prompt.ids_start, end: end.start };
        self.pieces.push(Piece { form: Form::Ids, span });
    }

    pub(super) fn end_prompt_list(&mut self, end: Span) {
        match self.prompt.shape {
            Shape::Empty => {}
            Shape::Strings | Shape::Lists => self.prompt.each = true,
            Shape::Ids => {
                let span = Span { start: self.prompt.start, end: end.start };
                self.pieces.push(Piece { form: Form::Ids, span });
            }
        }
    }

    fn mistyped(&mut self) -> Interest {
        self.is_mistyped = true;
        Interest::None
    }
}
