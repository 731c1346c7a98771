//! Conversations, and what image generation asks for.

use super::{
    gather::{Gatherer, Interest, Place},
    names::Name,
};
use crate::openai::{
    canonical::Piece,
    json::{Kind, Span, Token},
};

/// What of these bodies was read.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) count: u64,
    start: u64,
    pub(super) has_image_prompt: bool,
}

impl Gatherer {
    pub(super) fn conversations_member(&mut self, name: Name, token: Token) -> Interest {
        match name {
            Name::Items => {
                self.pieces.clear();
                self.items.count = 0;
                self.items.start = token.span.start;
                if self.is_container(token, Kind::ArrayStart) {
                    return Interest::Enter(Place::Items);
                }
            }
            Name::Metadata => {
                self.is_container(token, Kind::ObjectStart);
            }
            _ => {}
        }
        Interest::None
    }

    /// An element of `items`.
    pub(super) fn item(&mut self, token: Token) -> Interest {
        self.items.count += 1;
        if self.is_container(token, Kind::ObjectStart) {
            return Interest::Enter(Place::Item);
        }
        Interest::None
    }

    pub(super) fn item_member(&mut self, name: Name, token: Token) -> Interest {
        if matches!(name, Name::Type | Name::Role) {
            self.is_string(token);
        }
        Interest::None
    }

    pub(super) fn end_items(&mut self, end: Span) {
        self.pieces.push(Piece::json(Span { start: self.items.start, end: end.end }));
    }

    pub(super) fn images_member<'a>(
        &mut self,
        name: Name,
        token: Token,
        short: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Interest {
        match name {
            Name::Prompt => {
                let is_string = self.is_string(token);
                if is_string {
                    self.items.has_image_prompt = !token.span.is_empty();
                }
            }
            Name::Size => {
                self.is_string(token);
            }
            Name::Count | Name::InferenceSteps => {
                let is_whole = matches!(token.kind, Kind::Number(_))
                    && short().is_some_and(|raw| {
                        str::from_utf8(raw).is_ok_and(|text| text.parse::<i64>().is_ok())
                    });
                self.is_mistyped |= !is_whole && token.kind != Kind::Null;
            }
            _ => {}
        }
        Interest::None
    }
}
