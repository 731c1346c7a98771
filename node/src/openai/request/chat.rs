//! Messages of a chat: roles, and contents that are a string or a list of parts.

use super::{
    gather::{Gatherer, Interest, Place, Slot},
    names::{Key, Name},
};
use crate::openai::{
    canonical::{Form, Medium, Piece, Seam},
    json::{Kind, Span, Token},
};

/// The chat as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Chat {
    pub(super) messages: u64,
    /// Where the pieces of the message being read begin: the first is kept for its role.
    start: usize,
    role: Option<Piece>,
    part: Part,
}

/// One part of a message's content.
#[derive(Debug, Default)]
struct Part {
    kind: Option<Name>,
    text: Option<Piece>,
    image: Span,
    video: Span,
    audio: Span,
}

impl Gatherer {
    pub(super) fn chat_member(&mut self, name: Name, token: Token) -> Interest {
        match name {
            Name::Messages => {
                self.pieces.clear();
                self.chat.messages = 0;
                if self.is_container(token, Kind::ArrayStart) {
                    return Interest::Enter(Place::Messages);
                }
            }
            Name::Tools => {
                self.keep(Slot::Tools, None);
                if self.is_container(token, Kind::ArrayStart) {
                    return Interest::Keep(Slot::Tools);
                }
            }
            Name::Documents => {
                self.is_container(token, Kind::ArrayStart);
            }
            Name::ChatTemplateKwargs => {
                self.is_container(token, Kind::ObjectStart);
            }
            Name::ChatTemplate => {
                self.is_string(token);
            }
            Name::ReturnAssistantTokensMask
            | Name::ContinueFinalMessage
            | Name::AddGenerationPrompt => {
                let is_bool = matches!(token.kind, Kind::True | Kind::False | Kind::Null);
                self.is_mistyped |= !is_bool;
            }
            _ => {}
        }
        Interest::None
    }

    /// An element of `messages`.
    #[inline]
    pub(super) fn message(&mut self, token: Token) -> Interest {
        self.chat.messages += 1;
        if !self.is_container(token, Kind::ObjectStart) {
            return Interest::None;
        }
        self.chat.start = self.pieces.kept.len();
        self.chat.role = None;
        self.pieces.push(Piece::fixed(Seam::Empty));
        Interest::Enter(Place::Message)
    }

    #[inline]
    pub(super) fn message_member(&mut self, name: Name, token: Token) -> Interest {
        match (name, token.kind) {
            (Name::Role, Kind::String { escaped }) => {
                let role = Piece::text(token.span, escaped);
                self.chat.role = (!token.span.is_empty()).then_some(role);
            }
            (Name::Role, _) => {
                self.is_string(token);
            }
            (Name::Content, kind) => {
                self.pieces.kept.truncate(self.chat.start + 1);
                match kind {
                    Kind::String { escaped } if !token.span.is_empty() => {
                        self.pieces.push(Piece::text(token.span, escaped));
                    }
                    Kind::String { .. } | Kind::Null => {}
                    Kind::ArrayStart => return Interest::Enter(Place::Parts),
                    _ => self.is_mistyped = true,
                }
            }
            (Name::ToolCalls, _) => {
                self.is_container(token, Kind::ArrayStart);
            }
            _ => {}
        }
        Interest::None
    }

    #[inline]
    pub(super) fn end_message(&mut self) {
        let start = self.chat.start;
        match (self.chat.role.take(), self.pieces.kept.get_mut(start)) {
            (Some(role), Some(place)) => *place = role,
            (None, Some(_)) => {
                self.pieces.kept.remove(start);
            }
            (_, None) => {}
        }
    }

    /// An element of `content`.
    pub(super) fn part(&mut self, token: Token) -> Interest {
        if !self.is_container(token, Kind::ObjectStart) {
            return Interest::None;
        }
        self.chat.part = Part::default();
        Interest::Enter(Place::Part)
    }

    pub(super) fn part_member<'a>(
        &mut self,
        name: Name,
        token: Token,
        short: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Interest {
        match (name, token.kind) {
            (Name::Type, Kind::String { .. }) => {
                let key = short().map_or(Key::UNKNOWN, Key::read);
                self.chat.part.kind = key.exact.then_some(key.name);
            }
            (Name::Text, Kind::String { escaped }) => {
                let text = Piece::text(token.span, escaped);
                self.chat.part.text = (!token.span.is_empty()).then_some(text);
            }
            (Name::Type | Name::Text, _) => {
                self.is_string(token);
            }
            (Name::ImageUrl | Name::VideoUrl | Name::InputAudio, _) => {
                let is_object = self.is_container(token, Kind::ObjectStart);
                if is_object {
                    return Interest::Enter(Place::Medium(name));
                }
            }
            (Name::AudioUrl, Kind::ObjectStart) => {
                return Interest::Enter(Place::Medium(name));
            }
            _ => {}
        }
        Interest::None
    }

    /// A member of the object that `medium` names.
    pub(super) fn medium_member(&mut self, medium: Name, name: Name, token: Token) -> Interest {
        let (is_known, is_source) = match (medium, name) {
            (Name::ImageUrl | Name::VideoUrl, Name::Url) | (Name::InputAudio, Name::Data) => {
                (true, true)
            }
            (Name::InputAudio, Name::Format) => (true, false),
            // The other picker does not read it, and so does not refuse it either.
            (Name::AudioUrl, Name::Url) => (false, matches!(token.kind, Kind::String { .. })),
            _ => (false, false),
        };
        if is_known && !self.is_string(token) || !is_source {
            return Interest::None;
        }
        let part = &mut self.chat.part;
        match medium {
            Name::ImageUrl => part.image = token.span,
            Name::VideoUrl => part.video = token.span,
            _ => part.audio = token.span,
        }
        Interest::None
    }

    pub(super) fn end_part(&mut self) {
        let part = &self.chat.part;
        let medium = |medium, span| Some(Piece { form: Form::Medium(medium), span });
        let piece = match part.kind {
            Some(Name::Text) => part.text,
            Some(Name::ImageUrl) => medium(Medium::Image, part.image),
            Some(Name::VideoUrl) => medium(Medium::Video, part.video),
            Some(Name::InputAudio | Name::AudioUrl) => medium(Medium::Audio, part.audio),
            _ => None,
        };
        if let Some(piece) = piece {
            self.pieces.push(piece);
        }
    }

    /// Tools come first in the text, wherever they stand in the body.
    pub(super) fn put_tools_first(&mut self) {
        if let Some(tools) = self.tools {
            self.pieces.kept.insert(0, Piece::json(tools));
        }
    }
}
