//! The response's half of a conversation.

use bytes::Bytes;

use super::{
    Answer, Answered, Asked, BodyMode, Conversation, Next, OutOfOrder, RESPONSE_HELD_BYTES_MAX,
    Side,
};

impl Conversation {
    /// A response may begin at any time before another did: a stream may carry the response alone,
    /// Envoy may answer a request itself while its body is on the way, and a server may answer
    /// before it has read all that passes to it.
    pub(super) fn on_response_headers(
        &mut self,
        end_of_stream: bool,
        streaming: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        if self.answered != Answered::Awaited {
            return Err(self.surprise("response headers"));
        }
        match self.asked {
            Asked::Opening | Asked::Gathering | Asked::AwaitingBody => {
                self.release();
                self.asked = Asked::Dropped;
            }
            Asked::Passing
            | Asked::AwaitingTrailers
            | Asked::Sent
            | Asked::SentWithTrailers
            | Asked::Dropped => {}
            Asked::Picking { .. } => return Err(self.surprise("response headers")),
        }
        answers.push(Answer::Headers(Side::Response));
        if end_of_stream {
            self.answered = Answered::Over;
            return Ok(self.leave_when_over());
        }
        let hold = !streaming && self.modes.response == BodyMode::FullDuplexStreamed;
        self.answered = if hold { Answered::Holding } else { Answered::Streaming };
        Ok(Next::Wait)
    }

    pub(super) fn on_response_body(
        &mut self,
        chunk: Bytes,
        end_of_stream: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        match self.answered {
            Answered::Holding => {
                self.held.push(chunk);
                if end_of_stream || RESPONSE_HELD_BYTES_MAX < self.held.bytes() {
                    self.give_back(Side::Response, end_of_stream, answers);
                    self.answered = Answered::Streaming;
                }
            }
            Answered::Streaming => match self.modes.response {
                BodyMode::FullDuplexStreamed => {
                    self.held.push(chunk);
                    self.give_back(Side::Response, end_of_stream, answers);
                }
                BodyMode::None | BodyMode::Streamed | BodyMode::Buffered => {
                    answers.push(Answer::BodyAsIs(Side::Response));
                }
            },
            Answered::Awaited | Answered::Over => {
                return Err(self.surprise("a response body chunk"));
            }
        }
        if end_of_stream {
            self.answered = Answered::Over;
        }
        Ok(self.leave_when_over())
    }

    pub(super) fn on_response_trailers(
        &mut self,
        answers: &mut Vec<Answer>,
    ) -> Result<Next, OutOfOrder> {
        if !self.is_answering() {
            return Err(self.surprise("response trailers"));
        }
        if !self.held.is_empty() {
            self.give_back(Side::Response, false, answers);
        }
        answers.push(Answer::Trailers(Side::Response));
        self.answered = Answered::Over;
        Ok(self.leave_when_over())
    }

    /// Lets a response that is held pass as it comes from here on, because there is no more room.
    pub(in crate::extproc) fn hold_no_more(&mut self, answers: &mut Vec<Answer>) {
        if self.answered == Answered::Holding {
            self.give_back(Side::Response, false, answers);
            self.answered = Answered::Streaming;
        }
    }
}
