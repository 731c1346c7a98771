//! The request's half of a conversation.

use bytes::Bytes;

use super::{Answer, Answered, Asked, BodyMode, Conversation, Next, OutOfOrder, Owed, Side};

impl Conversation {
    pub(super) fn on_request_headers(
        &mut self,
        end_of_stream: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        if self.asked != Asked::Opening {
            return Err(self.surprise("request headers"));
        }
        let owed = match (end_of_stream, self.modes.request) {
            (true, _) => Owed::Headers,
            (false, BodyMode::None) => Owed::HeadersOnly,
            (false, BodyMode::Streamed) => Owed::HeadersBeforeBody,
            (false, BodyMode::Buffered) => {
                answers.push(Answer::Headers(Side::Request));
                self.asked = Asked::AwaitingBody;
                return Ok(Next::Wait);
            }
            (false, BodyMode::FullDuplexStreamed) => {
                self.asked = Asked::Gathering;
                return Ok(Next::Wait);
            }
        };
        self.asked = Asked::Picking { owed };
        Ok(Next::Pick)
    }

    pub(super) fn on_request_body(
        &mut self,
        chunk: Bytes,
        end_of_stream: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        match self.asked {
            Asked::Gathering => {
                self.held.push(chunk);
                if !end_of_stream {
                    return Ok(Next::Wait);
                }
                self.asked = Asked::Picking { owed: Owed::HeadersAndBody };
                Ok(Next::Pick)
            }
            Asked::AwaitingBody => {
                self.held.push(chunk);
                self.asked = Asked::Picking { owed: Owed::BufferedBody { end_of_stream } };
                Ok(Next::Pick)
            }
            Asked::Passing => {
                answers.push(Answer::BodyAsIs(Side::Request));
                if end_of_stream {
                    return Ok(self.request_is_through(Asked::Sent));
                }
                Ok(Next::Wait)
            }
            // Envoy may say the end of a request twice. In full duplex nothing is owed for it.
            Asked::Sent if chunk.is_empty() && end_of_stream && self.answered != Answered::Over => {
                if self.modes.request != BodyMode::FullDuplexStreamed {
                    answers.push(Answer::BodyAsIs(Side::Request));
                }
                Ok(Next::Wait)
            }
            Asked::Opening
            | Asked::Picking { .. }
            | Asked::AwaitingTrailers
            | Asked::Sent
            | Asked::SentWithTrailers
            | Asked::Dropped => Err(self.surprise("a request body chunk")),
        }
    }

    pub(super) fn on_request_trailers(
        &mut self,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        match self.asked {
            Asked::Gathering => {
                self.asked = Asked::Picking { owed: Owed::HeadersBodyAndTrailers };
                Ok(Next::Pick)
            }
            Asked::Passing | Asked::AwaitingTrailers => {
                answers.push(Answer::Trailers(Side::Request));
                Ok(self.request_is_through(Asked::SentWithTrailers))
            }
            Asked::Opening
            | Asked::AwaitingBody
            | Asked::Picking { .. }
            | Asked::Sent
            | Asked::SentWithTrailers
            | Asked::Dropped => Err(self.surprise("request trailers")),
        }
    }

    /// Goes on after a [`Next::Pick`] that chose somebody: appends what was owed to `answers`. The
    /// response is to be seen if `observe`; if not, the stream ends once the request is through.
    pub(in crate::extproc) fn picked(&mut self, observe: bool, answers: &mut Vec<Answer>) -> Next {
        let Asked::Picking { owed } = self.asked else {
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
                return self.request_is_through(Asked::SentWithTrailers);
            }
            Owed::HeadersBeforeBody => {
                answers.push(Answer::PickInHeaders);
                self.asked = Asked::Passing;
                return Next::Wait;
            }
            Owed::BufferedBody { end_of_stream } => {
                let body = self.held.take();
                answers.push(Answer::PickInBody { rewritten: self.rewritten.then_some(body) });
                if !end_of_stream {
                    self.asked = Asked::AwaitingTrailers;
                    return Next::Wait;
                }
            }
        }
        self.request_is_through(Asked::Sent)
    }

    /// A response that has begun already is seen to its end: to leave it in between could cut it.
    fn request_is_through(&mut self, asked: Asked) -> Next {
        self.asked = asked;
        if !self.observe && self.answered == Answered::Awaited {
            self.answered = Answered::Over;
        }
        self.leave_when_over()
    }
}
