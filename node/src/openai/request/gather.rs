//! Gathers what a pick needs from the tokens of a body, whichever order they come in.

mod findings;

pub(super) use findings::Findings;
use smallvec::SmallVec;

use super::{
    chat::Chat,
    items,
    names::{Key, Name},
    prompt::PromptList,
};
use crate::openai::{
    Api, PIECES_MAX,
    canonical::Piece,
    json::{Kind, Number, Span, Token},
};

/// A container whose contents mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    StreamOptions,
    /// The array of a completion's prompts or token ids.
    Prompt,
    /// An array of token ids within [`Place::Prompt`].
    PromptIds,
    Messages,
    Message,
    Parts,
    Part,
    /// The object that says where a part's picture, film or recording is.
    Medium(Name),
    Items,
    Item,
}

/// What to do with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// Nothing; if it is a container, skip it.
    None,
    /// It is a container: read what is in it.
    Enter(Place),
    /// Remember where it is.
    Keep(Slot),
}

/// Values that are kept as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Model,
    Tools,
    Instructions,
    Input,
}

/// What the body turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Object { members: u64 },
    Null,
    Other { found: &'static str },
}

/// A container being skipped.
#[derive(Debug)]
struct Skipped {
    depth: u32,
    start: u64,
    is_empty: bool,
    keep: Option<Slot>,
}

/// The pieces of the prompt, in order.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pub(super) kept: Vec<Piece>,
    /// One was left out, so what follows is left out too: a text with a hole matches nothing.
    is_full: bool,
}

impl Pieces {
    /// Adds one, unless there are or have been [`PIECES_MAX`].
    pub(super) fn push(&mut self, piece: Piece) {
        self.is_full |= PIECES_MAX <= self.kept.len();
        if !self.is_full {
            self.kept.push(piece);
        }
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.is_full = false;
    }
}

/// The gatherer of one body.
#[derive(Debug)]
pub(super) struct Gatherer {
    api: Api,
    root: Option<Root>,
    places: SmallVec<[Place; 6]>,
    skipped: Option<Skipped>,
    key: Key,
    /// A field that the API gives a type has another.
    pub(super) is_mistyped: bool,
    too_large: Option<Span>,
    model: Option<Span>,
    model_value: Option<Span>,
    stream: bool,
    include_usage: bool,
    cache_salt: Option<Span>,
    pub(super) tools: Option<Span>,
    pub(super) instructions: Option<Span>,
    pub(super) input: Option<Span>,
    pub(super) pieces: Pieces,
    pub(super) prompt: PromptList,
    pub(super) chat: Chat,
    pub(super) items: items::Items,
}

impl Gatherer {
    pub(super) fn new(api: Api) -> Self {
        Self {
            api,
            root: None,
            places: SmallVec::new(),
            skipped: None,
            key: Key::UNKNOWN,
            is_mistyped: false,
            too_large: None,
            model: None,
            model_value: None,
            stream: false,
            include_usage: false,
            cache_salt: None,
            tools: None,
            instructions: None,
            input: None,
            pieces: Pieces::default(),
            prompt: PromptList::default(),
            chat: Chat::default(),
            items: items::Items::default(),
        }
    }

    pub(super) fn api(&self) -> Api {
        self.api
    }

    /// Takes the next token. `short` gives its bytes, if it is short.
    #[inline]
    pub(super) fn take<'a>(&mut self, token: Token, short: impl FnOnce() -> Option<&'a [u8]>) {
        if token.kind == Kind::Number(Number::TooLarge) {
            self.too_large.get_or_insert(token.span);
        }
        if self.skipped.is_some() {
            return self.skip(token);
        }
        match token.kind {
            Kind::Key => self.key = short().map_or(Key::UNKNOWN, Key::read),
            Kind::ObjectEnd | Kind::ArrayEnd => self.leave(token.span),
            Kind::ObjectStart | Kind::ArrayStart => match self.value(token, short) {
                Interest::Enter(place) => self.places.push(place),
                Interest::Keep(slot) => self.begin_skip(token, Some(slot)),
                Interest::None => self.begin_skip(token, None),
            },
            Kind::String { .. } => {
                if let Interest::Keep(slot) = self.value(token, short) {
                    let Span { start, end } = token.span;
                    self.keep(slot, Some(Span { start: start - 1, end: end + 1 }));
                }
            }
            Kind::Number(_) | Kind::True | Kind::False | Kind::Null => {
                if let Interest::Keep(slot) = self.value(token, short) {
                    self.keep(slot, Some(token.span));
                }
            }
        }
    }

    /// Whether another whole number would change nothing where one was just taken.
    pub(super) fn takes_more_wholes(&self) -> bool {
        match self.places.last() {
            _ if self.skipped.is_some() => true,
            Some(Place::Prompt) => self.prompt.is_ids(),
            Some(Place::PromptIds) => true,
            _ => false,
        }
    }

    fn begin_skip(&mut self, token: Token, keep: Option<Slot>) {
        let start = token.span.start;
        self.skipped = Some(Skipped { depth: 1, start, is_empty: true, keep });
    }

    fn skip(&mut self, token: Token) {
        let Some(skipped) = &mut self.skipped else { return };
        match token.kind {
            Kind::ObjectStart | Kind::ArrayStart => skipped.depth += 1,
            Kind::ObjectEnd | Kind::ArrayEnd => skipped.depth -= 1,
            Kind::Key
            | Kind::String { .. }
            | Kind::Number(_)
            | Kind::True
            | Kind::False
            | Kind::Null => {}
        }
        if 0 < skipped.depth {
            skipped.is_empty = false;
            return;
        }
        let Skipped { start, is_empty, keep, .. } = *skipped;
        self.skipped = None;
        if let Some(slot) = keep {
            let span = Span { start, end: token.span.end };
            // A list of no tools is no tools.
            self.keep(slot, (!is_empty || slot != Slot::Tools).then_some(span));
        }
    }

    pub(super) fn keep(&mut self, slot: Slot, span: Option<Span>) {
        let slot = match slot {
            Slot::Model => &mut self.model_value,
            Slot::Tools => &mut self.tools,
            Slot::Instructions => &mut self.instructions,
            Slot::Input => &mut self.input,
        };
        *slot = span;
    }

    #[inline]
    fn value<'a>(&mut self, token: Token, short: impl FnOnce() -> Option<&'a [u8]>) -> Interest {
        let key = self.key;
        match self.places.last() {
            None => self.root(token),
            Some(Place::Root) => self.member(key, token, short),
            Some(Place::StreamOptions) => {
                if key.exact && key.name == Name::IncludeUsage {
                    self.include_usage = token.kind == Kind::True;
                }
                Interest::None
            }
            Some(Place::Prompt) => self.prompt_element(token, short),
            Some(Place::PromptIds) => self.prompt_id(token, short),
            Some(Place::Messages) => self.message(token),
            Some(Place::Message) => self.message_member(key.name, token),
            Some(Place::Parts) => self.part(token),
            Some(Place::Part) => self.part_member(key.name, token, short),
            Some(Place::Medium(medium)) => {
                let medium = *medium;
                self.medium_member(medium, key.name, token)
            }
            Some(Place::Items) => self.item(token),
            Some(Place::Item) => self.item_member(key.name, token),
        }
    }

    fn leave(&mut self, end: Span) {
        match self.places.pop() {
            Some(Place::Prompt) => self.end_prompt_list(end),
            Some(Place::PromptIds) => self.end_prompt_ids(end),
            Some(Place::Message) => self.end_message(),
            Some(Place::Part) => self.end_part(),
            Some(Place::Items) => self.end_items(end),
            Some(
                Place::Root
                | Place::StreamOptions
                | Place::Messages
                | Place::Parts
                | Place::Medium(_)
                | Place::Item,
            )
            | None => {}
        }
    }

    fn root(&mut self, token: Token) -> Interest {
        let other = |found| Root::Other { found };
        self.root = Some(match token.kind {
            Kind::ObjectStart => Root::Object { members: token.span.end },
            Kind::Null => Root::Null,
            Kind::ArrayStart => other("array"),
            Kind::String { .. } => other("string"),
            Kind::Number(_) => other("number"),
            Kind::True | Kind::False | Kind::Key | Kind::ObjectEnd | Kind::ArrayEnd => {
                other("bool")
            }
        });
        if token.kind == Kind::ObjectStart { Interest::Enter(Place::Root) } else { Interest::None }
    }

    #[inline]
    fn member<'a>(
        &mut self,
        key: Key,
        token: Token,
        short: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Interest {
        match key.name {
            Name::Model if key.exact => {
                self.model = matches!(token.kind, Kind::String { .. }).then_some(token.span);
                return Interest::Keep(Slot::Model);
            }
            Name::Stream if key.exact => self.stream = token.kind == Kind::True,
            Name::StreamOptions if key.exact => {
                self.include_usage = false;
                if token.kind == Kind::ObjectStart {
                    return Interest::Enter(Place::StreamOptions);
                }
            }
            Name::CacheSalt if self.api != Api::Images => {
                if self.is_string(token) {
                    self.cache_salt = Some(token.span);
                }
            }
            _ => {
                return match self.api {
                    Api::Completions | Api::Embeddings => self.completions_member(key.name, token),
                    Api::Chat => self.chat_member(key.name, token),
                    Api::Responses => self.responses_member(key.name, token),
                    Api::Conversations => self.conversations_member(key.name, token),
                    Api::Images => self.images_member(key.name, token, short),
                    Api::Passthrough => Interest::None,
                };
            }
        }
        Interest::None
    }

    /// Whether a value that ought to be a string is one. Null is taken for an absent value.
    pub(super) fn is_string(&mut self, token: Token) -> bool {
        let is_string = matches!(token.kind, Kind::String { .. });
        self.is_mistyped |= !is_string && token.kind != Kind::Null;
        is_string
    }

    /// Whether a value that ought to be a container of `kind` is one.
    pub(super) fn is_container(&mut self, token: Token, kind: Kind) -> bool {
        self.is_mistyped |= token.kind != kind && token.kind != Kind::Null;
        token.kind == kind
    }
}
