//! The conversation with Envoy about one HTTP request, as a pure state machine.
//!
//! Facts go in ([`Input`]), answers come out ([`Answer`]), and when the request is whole the
//! caller is asked to pick ([`Next::Pick`]) and says so with [`Conversation::picked`]. What the
//! phase does not allow is an [`OutOfOrder`] error, which ends this stream and touches nothing else.
//!
//! The order of answers is the protocol's: headers, body, trailers, first for the request, then
//! for the response. In `FULL_DUPLEX_STREAMED` mode the header answer is withheld until the whole
//! request was read, because only then is the prompt known; Envoy sends the body meanwhile.

use bytes::Bytes;

use super::chunks::{Held, Pieces, rechunk};

mod request;

mod response;

/// How Envoy passes a body, told by the first message of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyMode {
    /// The body is not sent here.
    None,
    /// Chunk by chunk; Envoy waits for the answer to each.
    Streamed,
    /// Whole, in one message, after the headers were answered.
    Buffered,
    /// Chunk by chunk, without waiting for answers, which may be cut differently.
    #[default]
    FullDuplexStreamed,
}

/// Both directions' modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Modes {
    pub request: BodyMode,
    pub response: BodyMode,
}

/// One message from Envoy, reduced to what the order of answers depends on.
#[derive(Clone, Debug)]
pub(super) enum Input {
    RequestHeaders { end_of_stream: bool },
    RequestBody { chunk: Bytes, end_of_stream: bool },
    RequestTrailers,
    ResponseHeaders { end_of_stream: bool, streaming: bool },
    ResponseBody { chunk: Bytes, end_of_stream: bool },
    ResponseTrailers,
}

/// Which half of the exchange an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// One message to Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Answers the request's headers and carries the pick.
    PickInHeaders,
    /// Answers headers and changes nothing that the pick decides.
    Headers(Side),
    /// Answers the whole buffered request body and carries the pick in its header mutation, and the
    /// body in its new form if it was rewritten.
    PickInBody {
        rewritten: Option<Pieces>,
    },
    /// Lets a buffered or streamed body message pass as it is.
    BodyAsIs(Side),
    /// A piece of a full-duplex body, at most [`super::chunks::BODY_ANSWER_BYTES_MAX`] long.
    Body {
        side: Side,
        pieces: Pieces,
        end_of_stream: bool,
    },
    Trailers(Side),
}

/// What the caller must do after the answers are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for Envoy's next message.
    Wait,
    /// Pick, then call [`Conversation::picked`], or answer Envoy directly and call
    /// [`Conversation::finish`].
    Pick,
    /// End the stream with OK: nothing more is owed.
    Leave,
}

/// How far the request has come, and what of it may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Nothing was said of it yet.
    Opening,
    /// Full duplex: it is gathered until it is whole.
    Gathering,
    /// Buffered: its headers were answered, its body comes whole.
    AwaitingBody,
    /// The caller is asked to pick; `owed` follows the pick.
    Picking { owed: Owed },
    /// The pick was sent with the headers; body chunks pass one by one.
    Passing,
    /// Buffered: the body is through, trailers follow.
    AwaitingTrailers,
    /// It is through; Envoy may say its end again.
    Sent,
    /// It is through, and ended in trailers.
    SentWithTrailers,
    /// A response began before anybody was picked, so it goes nowhere.
    Dropped,
}

/// How far the response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    /// Nothing was said of it yet.
    Awaited,
    /// Its headers were answered; its body passes as it comes.
    Streaming,
    /// Its headers were answered; its body is gathered until it is whole.
    Holding,
    /// It is through, or nobody is to see it.
    Over,
}

/// What is owed once the pick is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// The header answer, of a request without a body.
    Headers,
    /// The header answer, then the gathered body.
    HeadersAndBody,
    /// The header answer, the gathered body without an end, and the trailers' answer.
    HeadersBodyAndTrailers,
    /// The header answer; body chunks will follow and pass one by one.
    HeadersBeforeBody,
    /// The header answer; Envoy keeps the body to itself.
    HeadersOnly,
    /// The answer to the buffered body.
    BufferedBody { end_of_stream: bool },
}

/// A response that is held longer than this passes as it comes from then on.
///
/// Holding gives short answers to Envoy in one piece, as the picker that Convoy replaces does;
/// beyond a megabyte that would cost memory and delay and nobody compares.
pub(super) const RESPONSE_HELD_BYTES_MAX: usize = 1 << 20;

/// Why a stream was closed: Envoy, or who speaks for it, broke the order of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {when}")]
pub struct OutOfOrder {
    what: &'static str,
    when: &'static str,
}

/// One stream's state.
#[derive(Debug)]
pub(super) struct Conversation {
    modes: Modes,
    asked: Asked,
    answered: Answered,
    observe: bool,
    held: Held,
    rewritten: bool,
}

impl Conversation {
    pub(super) fn new(modes: Modes) -> Self {
        Self {
            modes,
            asked: Asked::Opening,
            answered: Answered::Awaited,
            observe: true,
            held: Held::default(),
            rewritten: false,
        }
    }

    pub(super) fn modes(&self) -> Modes {
        self.modes
    }

    /// Bytes of body kept here until they are answered.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// The gathered request body, in order. Complete when [`Next::Pick`] was returned.
    pub(super) fn held(&mut self) -> &[Bytes] {
        self.held.runs()
    }

    /// Puts `body` in place of the gathered one, for a request that was rewritten.
    pub(super) fn replace_held(&mut self, body: impl IntoIterator<Item = Bytes>) {
        self.held = body.into_iter().collect();
        self.rewritten = true;
    }

    /// True when the response's headers were answered and its end was not seen.
    pub(super) fn is_answering(&self) -> bool {
        match self.answered {
            Answered::Streaming | Answered::Holding => true,
            Answered::Awaited | Answered::Over => false,
        }
    }

    /// True when ending the stream with OK now would lose nothing that was sent here.
    pub(super) fn may_leave(&self) -> bool {
        let asked = match self.asked {
            Asked::Sent | Asked::SentWithTrailers | Asked::Dropped => true,
            Asked::Opening
            | Asked::Gathering
            | Asked::AwaitingBody
            | Asked::Picking { .. }
            | Asked::Passing
            | Asked::AwaitingTrailers => false,
        };
        asked && self.answered != Answered::Holding
    }

    /// True while the request is not whole enough to pick for it.
    pub(super) fn awaits_pick(&self) -> bool {
        match self.asked {
            Asked::Gathering | Asked::AwaitingBody | Asked::Picking { .. } => true,
            Asked::Opening
            | Asked::Passing
            | Asked::AwaitingTrailers
            | Asked::Sent
            | Asked::SentWithTrailers
            | Asked::Dropped => false,
        }
    }

    /// True when the request is still owed an answer.
    pub(super) fn owes_request(&self) -> bool {
        self.awaits_pick() || matches!(self.asked, Asked::Passing | Asked::AwaitingTrailers)
    }

    /// Takes one message and appends its answers to `answers`.
    pub(super) fn on(
        &mut self,
        input: Input,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        match input {
            Input::RequestHeaders { end_of_stream } => {
                self.on_request_headers(end_of_stream, answers)
            }
            Input::RequestBody { chunk, end_of_stream } => {
                self.on_request_body(chunk, end_of_stream, answers)
            }
            Input::RequestTrailers => self.on_request_trailers(answers),
            Input::ResponseHeaders { end_of_stream, streaming } => {
                self.on_response_headers(end_of_stream, streaming, answers)
            }
            Input::ResponseBody { chunk, end_of_stream } => {
                self.on_response_body(chunk, end_of_stream, answers)
            }
            Input::ResponseTrailers => self.on_response_trailers(answers),
        }
    }

    /// Ends the conversation: the caller answered Envoy directly.
    pub(super) fn finish(&mut self) {
        self.release();
        self.asked = Asked::Dropped;
        self.answered = Answered::Over;
    }

    /// Ends the stream once both halves are through.
    fn leave_when_over(&self) -> Next {
        match (self.owes_request(), self.answered) {
            (false, Answered::Over) => Next::Leave,
            (true, _) | (false, Answered::Awaited | Answered::Streaming | Answered::Holding) => {
                Next::Wait
            }
        }
    }

    fn release(&mut self) {
        self.held = Held::default();
    }

    /// Answers with all that is held. An end without bytes is an empty last piece; bytes without
    /// an end have no empty piece.
    fn give_back(&mut self, side: Side, end_of_stream: bool, answers: &mut Vec<Answer>) {
        rechunk(self.held.take(), |pieces, last| {
            let end_of_stream = end_of_stream && last;
            if !pieces.is_empty() || end_of_stream || side == Side::Response {
                answers.push(Answer::Body { side, pieces, end_of_stream });
            }
        });
    }

    fn surprise(&self, what: &'static str) -> OutOfOrder {
        let when = match (self.answered, self.asked) {
            (Answered::Streaming | Answered::Holding, _) => "came after response headers",
            (Answered::Awaited | Answered::Over, asked) => match asked {
                Asked::Opening => "came before any headers",
                Asked::Gathering => "came while the request body was expected",
                Asked::AwaitingBody => "came while the buffered request body was expected",
                Asked::Picking { .. } => "came while an endpoint was being picked",
                Asked::Passing => "came while request body chunks were expected",
                Asked::AwaitingTrailers => "came while request trailers were expected",
                Asked::Sent | Asked::SentWithTrailers if self.answered == Answered::Awaited => {
                    "came after the request ended and before response headers"
                }
                Asked::Sent | Asked::SentWithTrailers | Asked::Dropped => {
                    "came after the end of the exchange"
                }
            },
        };
        OutOfOrder { what, when }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
