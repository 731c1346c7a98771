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

use super::chunks::{Pieces, rechunk};

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

/// What Envoy may say next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was said yet.
    Opening,
    /// Full duplex: the request is gathered until it is whole.
    Gathering,
    /// Buffered: the headers were answered, the body comes whole.
    AwaitingBody,
    /// The caller is asked to pick; `owed` follows the pick.
    Picking { owed: Owed },
    /// The pick was sent with the headers; body chunks pass one by one.
    Passing,
    /// Buffered or streamed: the body is through, trailers follow.
    AwaitingTrailers,
    /// The request is through.
    Sent,
    /// The response's headers were answered; its body passes as it comes.
    Streaming,
    /// The response's headers were answered; its body is gathered until it is whole.
    Holding,
    /// Nothing more is expected.
    Finished,
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
    phase: Phase,
    observe: bool,
    held: Pieces,
    held_bytes: usize,
    rewritten: bool,
}

impl Conversation {
    pub(super) fn new(modes: Modes) -> Self {
        Self {
            modes,
            phase: Phase::Opening,
            observe: true,
            held: Pieces::new(),
            held_bytes: 0,
            rewritten: false,
        }
    }

    pub(super) fn modes(&self) -> Modes {
        self.modes
    }

    /// Bytes of body kept here until they are answered.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The gathered request body, in order. Complete when [`Next::Pick`] was returned.
    pub(super) fn held(&self) -> &[Bytes] {
        &self.held
    }

    /// Puts `body` in place of the gathered one, for a request that was rewritten.
    pub(super) fn replace_held(&mut self, body: impl IntoIterator<Item = Bytes>) {
        self.held = body.into_iter().collect();
        self.held_bytes = self.held.iter().map(Bytes::len).sum();
        self.rewritten = true;
    }

    /// True when the response's headers were answered and its end was not seen.
    pub(super) fn is_answering(&self) -> bool {
        matches!(self.phase, Phase::Streaming | Phase::Holding)
    }

    /// True when ending the stream with OK now would lose nothing that was sent here.
    pub(super) fn may_leave(&self) -> bool {
        matches!(self.phase, Phase::Sent | Phase::Streaming | Phase::Finished)
    }

    /// True when the request is still owed an answer.
    pub(super) fn owes_request(&self) -> bool {
        match self.phase {
            Phase::Gathering
            | Phase::AwaitingBody
            | Phase::Picking { .. }
            | Phase::Passing
            | Phase::AwaitingTrailers => true,
            Phase::Opening | Phase::Sent | Phase::Streaming | Phase::Holding | Phase::Finished => {
                false
            }
        }
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

    /// Goes on after a [`Next::Pick`] that chose somebody: appends what was owed to `answers`. The
    /// response is to be seen if `observe`; if not, the stream ends once the request is through.
    pub(super) fn picked(&mut self, observe: bool, answers: &mut Vec<Answer>) -> Next {
        let Phase::Picking { owed } = self.phase else {
            return Next::Wait;
        };
        self.observe = observe;
        match owed {
            Owed::Headers | Owed::HeadersOnly => answers.push(Answer::PickInHeaders),
            Owed::HeadersAndBody => {
                answers.push(Answer::PickInHeaders);
                self.give_back(Side::Request, true, answers);
            }
            Owed::HeadersBodyAndTrailers => {
                answers.push(Answer::PickInHeaders);
                self.give_back(Side::Request, false, answers);
                answers.push(Answer::Trailers(Side::Request));
            }
            Owed::HeadersBeforeBody => {
                answers.push(Answer::PickInHeaders);
                self.phase = Phase::Passing;
                return Next::Wait;
            }
            Owed::BufferedBody { end_of_stream } => {
                let body = std::mem::take(&mut self.held);
                answers.push(Answer::PickInBody { rewritten: self.rewritten.then_some(body) });
                self.held_bytes = 0;
                if !end_of_stream {
                    self.phase = Phase::AwaitingTrailers;
                    return Next::Wait;
                }
            }
        }
        self.request_is_through()
    }

    /// Lets a response that is held pass as it comes from here on, because there is no more room.
    pub(super) fn hold_no_more(&mut self, answers: &mut Vec<Answer>) {
        if self.phase == Phase::Holding {
            self.give_back(Side::Response, false, answers);
            self.phase = Phase::Streaming;
        }
    }

    /// Ends the conversation: the caller answered Envoy directly.
    pub(super) fn finish(&mut self) {
        self.release();
        self.phase = Phase::Finished;
    }

    fn on_request_headers(
        &mut self,
        end_of_stream: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        if self.phase != Phase::Opening {
            return Err(self.surprise("request headers"));
        }
        let owed = match (end_of_stream, self.modes.request) {
            (true, _) => Owed::Headers,
            (false, BodyMode::None) => Owed::HeadersOnly,
            (false, BodyMode::Streamed) => Owed::HeadersBeforeBody,
            (false, BodyMode::Buffered) => {
                answers.push(Answer::Headers(Side::Request));
                self.phase = Phase::AwaitingBody;
                return Ok(Next::Wait);
            }
            (false, BodyMode::FullDuplexStreamed) => {
                self.phase = Phase::Gathering;
                return Ok(Next::Wait);
            }
        };
        self.phase = Phase::Picking { owed };
        Ok(Next::Pick)
    }

    fn on_request_body(
        &mut self,
        chunk: Bytes,
        end_of_stream: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        match self.phase {
            Phase::Gathering => {
                self.hold(chunk);
                if !end_of_stream {
                    return Ok(Next::Wait);
                }
                self.phase = Phase::Picking { owed: Owed::HeadersAndBody };
                Ok(Next::Pick)
            }
            Phase::AwaitingBody => {
                self.hold(chunk);
                self.phase = Phase::Picking { owed: Owed::BufferedBody { end_of_stream } };
                Ok(Next::Pick)
            }
            Phase::Passing => {
                answers.push(Answer::BodyAsIs(Side::Request));
                if end_of_stream {
                    return Ok(self.request_is_through());
                }
                Ok(Next::Wait)
            }
            // Envoy may say the end of a request twice. In full duplex nothing is owed for it.
            Phase::Sent | Phase::Streaming | Phase::Holding
                if chunk.is_empty() && end_of_stream =>
            {
                if self.modes.request != BodyMode::FullDuplexStreamed {
                    answers.push(Answer::BodyAsIs(Side::Request));
                }
                Ok(Next::Wait)
            }
            Phase::Opening
            | Phase::Picking { .. }
            | Phase::AwaitingTrailers
            | Phase::Sent
            | Phase::Streaming
            | Phase::Holding
            | Phase::Finished => Err(self.surprise("a request body chunk")),
        }
    }

    fn on_request_trailers(&mut self, answers: &mut Vec<Answer>) -> Result<Next, OutOfOrder> {
        match self.phase {
            Phase::Gathering => {
                self.phase = Phase::Picking { owed: Owed::HeadersBodyAndTrailers };
                Ok(Next::Pick)
            }
            Phase::Passing | Phase::AwaitingTrailers => {
                answers.push(Answer::Trailers(Side::Request));
                Ok(self.request_is_through())
            }
            Phase::Opening
            | Phase::AwaitingBody
            | Phase::Picking { .. }
            | Phase::Sent
            | Phase::Streaming
            | Phase::Holding
            | Phase::Finished => Err(self.surprise("request trailers")),
        }
    }

    /// A response may begin at any time before another did: a stream may carry the response alone,
    /// and Envoy may answer a request itself while its body is still on the way.
    fn on_response_headers(
        &mut self,
        end_of_stream: bool,
        streaming: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        match self.phase {
            Phase::Opening
            | Phase::Gathering
            | Phase::AwaitingBody
            | Phase::Passing
            | Phase::AwaitingTrailers
            | Phase::Sent => {}
            Phase::Picking { .. } | Phase::Streaming | Phase::Holding | Phase::Finished => {
                return Err(self.surprise("response headers"));
            }
        }
        self.release();
        answers.push(Answer::Headers(Side::Response));
        if end_of_stream {
            self.phase = Phase::Finished;
            return Ok(Next::Leave);
        }
        let hold = !streaming && self.modes.response == BodyMode::FullDuplexStreamed;
        self.phase = if hold { Phase::Holding } else { Phase::Streaming };
        Ok(Next::Wait)
    }

    fn on_response_body(
        &mut self,
        chunk: Bytes,
        end_of_stream: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        match self.phase {
            Phase::Holding => {
                self.hold(chunk);
                if end_of_stream || RESPONSE_HELD_BYTES_MAX < self.held_bytes {
                    self.give_back(Side::Response, end_of_stream, answers);
                    self.phase = Phase::Streaming;
                }
            }
            Phase::Streaming => match self.modes.response {
                BodyMode::FullDuplexStreamed => {
                    self.hold(chunk);
                    self.give_back(Side::Response, end_of_stream, answers);
                }
                BodyMode::None | BodyMode::Streamed | BodyMode::Buffered => {
                    answers.push(Answer::BodyAsIs(Side::Response));
                }
            },
            Phase::Opening
            | Phase::Gathering
            | Phase::AwaitingBody
            | Phase::Picking { .. }
            | Phase::Passing
            | Phase::AwaitingTrailers
            | Phase::Sent
            | Phase::Finished => return Err(self.surprise("a response body chunk")),
        }
        if end_of_stream {
            self.phase = Phase::Finished;
            return Ok(Next::Leave);
        }
        Ok(Next::Wait)
    }

    fn on_response_trailers(&mut self, answers: &mut Vec<Answer>) -> Result<Next, OutOfOrder> {
        match self.phase {
            Phase::Holding | Phase::Streaming => {
                if !self.held.is_empty() {
                    self.give_back(Side::Response, false, answers);
                }
                answers.push(Answer::Trailers(Side::Response));
                self.phase = Phase::Finished;
                Ok(Next::Leave)
            }
            Phase::Opening
            | Phase::Gathering
            | Phase::AwaitingBody
            | Phase::Picking { .. }
            | Phase::Passing
            | Phase::AwaitingTrailers
            | Phase::Sent
            | Phase::Finished => Err(self.surprise("response trailers")),
        }
    }

    fn request_is_through(&mut self) -> Next {
        if self.observe {
            self.phase = Phase::Sent;
            return Next::Wait;
        }
        self.phase = Phase::Finished;
        Next::Leave
    }

    fn hold(&mut self, chunk: Bytes) {
        self.held_bytes += chunk.len();
        if !chunk.is_empty() {
            self.held.push(chunk);
        }
    }

    fn release(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
    }

    /// Answers with all that is held. An end without bytes is an empty last piece; bytes without
    /// an end have no empty piece.
    fn give_back(&mut self, side: Side, end_of_stream: bool, answers: &mut Vec<Answer>) {
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        rechunk(held, |pieces, last| {
            let end_of_stream = end_of_stream && last;
            if !pieces.is_empty() || end_of_stream || side == Side::Response {
                answers.push(Answer::Body { side, pieces, end_of_stream });
            }
        });
    }

    fn surprise(&self, what: &'static str) -> OutOfOrder {
        let when = match self.phase {
            Phase::Opening => "came before any headers",
            Phase::Gathering => "came while the request body was expected",
            Phase::AwaitingBody => "came while the buffered request body was expected",
            Phase::Picking { .. } => "came while an endpoint was being picked",
            Phase::Passing => "came while request body chunks were expected",
            Phase::AwaitingTrailers => "came while request trailers were expected",
            Phase::Sent => "came after the request ended and before response headers",
            Phase::Streaming | Phase::Holding => "came after response headers",
            Phase::Finished => "came after the end of the exchange",
        };
        OutOfOrder { what, when }
    }
}

#[cfg(test)]
mod tests;
