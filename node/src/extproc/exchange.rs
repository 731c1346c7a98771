//! One ext_proc stream: Envoy's messages in, encoded answers out.
//!
//! The [`Conversation`] decides what is owed; this file reads the request for it, has the pick made,
//! has the answers written and watches the response go by.

use std::time::Instant;

use bytes::Bytes;
use convoy_proto::{
    filter::processing_mode::BodySendMode,
    hot::{
        self, Body, DecodeError, Headers, MetadataContext, MetadataError, Question, Request, answer,
    },
};

use super::{
    answers,
    asking::{AskedBody, Asking},
    chunks::Pieces,
    conversation::{Answer, BodyMode, Conversation, Input, Modes, Next, OutOfOrder},
    desk::Desk,
    names, pick,
    refusal::Refusal,
    watch::Watch,
};
use crate::{
    clock,
    metrics::{Bound, StreamEnd},
    scheduling::Subset,
    server::bounds::Admission,
};

/// Request headers are kept until somebody was picked. Those that came in a longer message than this
/// count as the body does; shorter ones are of the size of what is read at once, which a stream
/// keeps anyway.
const HEADERS_FREE_BYTES: usize = 64 << 10;

/// Whether more is expected on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Open,
    /// Send the answers, then end the stream with OK.
    Finished,
}

/// Why a stream was closed with a status other than OK.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the message is not a ProcessingRequest")]
    Malformed(#[from] DecodeError),
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
    #[error("it cannot be read which endpoints the request is confined to")]
    Subset(#[from] MetadataError),
    /// The conversation allows no pick before request headers; if it did, nobody would answer.
    #[error("somebody is to be picked, and no request headers have come")]
    NothingAsked,
}

/// Why nobody was picked.
#[derive(Debug)]
enum NoPick {
    Refused(Refusal),
    NothingAsked,
}

/// A stream's state between messages.
#[derive(Debug)]
pub struct Exchange {
    opened_at: Instant,
    conversation: Option<Conversation>,
    asking: Option<Box<Asking>>,
    watch: Option<Box<Watch>>,
    admission: Admission,
    /// What is accounted for of [`Self::holds`].
    held_bytes: usize,
}

impl Exchange {
    /// Opens a stream, unless very many are open.
    pub fn open(desk: &Desk, now: Instant) -> Option<Self> {
        let admission = desk.service.bounds.stream_opened();
        if admission == Admission::TurnedAway {
            desk.service.streams.refused_by(Bound::Streams);
            return None;
        }
        desk.service.streams.opened();
        Some(Self {
            opened_at: now,
            conversation: None,
            asking: None,
            watch: None,
            admission,
            held_bytes: 0,
        })
    }

    /// Takes one message; the answers are in the desk's outbox.
    pub fn on_message(
        &mut self,
        message: Bytes,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<Flow, Fault> {
        let message_bytes = message.len();
        let request = hot::decode(message)?;
        if self.admission != Admission::Served {
            return Ok(self.turn_away(&request, desk));
        }
        let Some(question) = request.question else {
            return Ok(Flow::Open);
        };
        if request.observability_mode {
            return Ok(Flow::Open);
        }
        let conversation = self.conversation.get_or_insert_with(|| {
            Conversation::new(request.protocol_config.map_or_else(Modes::default, |config| Modes {
                request: mode(config.request_body_mode),
                response: mode(config.response_body_mode),
            }))
        });
        let input = match question {
            Question::RequestHeaders(headers) => {
                let mode = conversation.modes().request;
                self.on_request_headers(headers, message_bytes, mode, desk)
            }
            Question::RequestBody(body) => match self.on_request_body(body, desk) {
                Ok(input) => input,
                Err(refusal) => return Ok(self.refuse(&refusal, desk)),
            },
            Question::RequestTrailers(_) => Input::RequestTrailers,
            Question::ResponseHeaders(headers) => {
                self.on_response_headers(headers, &request.metadata, desk, now)
            }
            Question::ResponseBody(body) => self.on_response_body(body, now),
            Question::ResponseTrailers(_) => self.on_response_trailers(now),
        };
        if let Some(asking) = &mut self.asking {
            asking.note_subset(&request.metadata)?;
        }
        self.advance(input, desk, now)
    }

    /// True while nobody can be picked, because the request is not whole.
    pub fn awaits_pick(&self) -> bool {
        self.conversation.as_ref().is_none_or(Conversation::awaits_pick)
    }

    /// True while a response passes.
    pub fn is_answering(&self) -> bool {
        self.conversation.as_ref().is_some_and(Conversation::is_answering)
    }

    /// Refuses a request that is not whole in time.
    pub fn refuse_late(&mut self, desk: &mut Desk) -> Flow {
        desk.service.streams.refused_by(Bound::Deadline);
        let within = desk.service.behaviour.request_deadline;
        self.refuse(&Refusal::Late { within }, desk)
    }

    /// True when ending the stream with OK now would lose nothing that was sent here.
    pub fn may_leave(&self) -> bool {
        self.conversation.as_ref().is_some_and(Conversation::may_leave)
    }

    /// True when a request's answer is owed: ending with OK would lose its body.
    pub fn owes_request(&self) -> bool {
        self.conversation.as_ref().is_some_and(Conversation::owes_request)
    }

    /// Accounts for the end of the stream, however it ended.
    pub fn close(mut self, end: StreamEnd, desk: &Desk, now: Instant) {
        self.conversation = None;
        self.asking = None;
        self.account(desk);
        desk.service.bounds.stream_closed();
        desk.service.streams.ended(end, now.saturating_duration_since(self.opened_at));
        // Whoever watched the response counts the request out when it is dropped.
        self.watch = None;
    }

    /// Refuses what a stream beyond the bound begins with, whichever half of an exchange it is; to
    /// what needs no answer it gives none.
    fn turn_away(&mut self, request: &Request, desk: &mut Desk) -> Flow {
        desk.service.streams.refused_by(Bound::Streams);
        if request.question.is_none() || request.observability_mode {
            return Flow::Finished;
        }
        let streams_max = desk.service.bounds.limits().streams_max;
        self.refuse(&Refusal::TooManyStreams { streams_max }, desk)
    }

    /// Bytes of bodies, of subsets, and of headers beyond what a stream costs anyway, that are kept
    /// here.
    fn holds(&self) -> usize {
        let asked = self.asking.as_ref().map_or(0, |asking| {
            asking.headers_bytes + asking.subset.as_ref().map_or(0, Subset::bytes)
        });
        asked + self.conversation.as_ref().map_or(0, Conversation::held_bytes)
    }

    /// Accounts for what is held; false if all streams together hold too much.
    fn account(&mut self, desk: &Desk) -> bool {
        let held_bytes = self.holds();
        let before = std::mem::replace(&mut self.held_bytes, held_bytes);
        desk.service.held(before, held_bytes)
    }

    fn on_request_headers(
        &mut self,
        headers: Headers,
        message_bytes: usize,
        mode: BodyMode,
        desk: &mut Desk,
    ) -> Input {
        let end_of_stream = headers.end_of_stream;
        if self.asking.is_none() && self.watch.is_none() {
            let body = match (end_of_stream, mode) {
                (true, _) => AskedBody::None,
                (false, BodyMode::None | BodyMode::Streamed) => AskedBody::Unread,
                (false, BodyMode::Buffered | BodyMode::FullDuplexStreamed) => {
                    Asking::reading(&headers.headers, &desk.service.parsers)
                }
            };
            let mut asking = Asking::new(headers.headers, body, &mut desk.random);
            if HEADERS_FREE_BYTES < message_bytes {
                asking.headers_bytes = message_bytes;
            }
            self.asking = Some(Box::new(asking));
        }
        Input::RequestHeaders { end_of_stream }
    }

    fn on_request_body(&mut self, body: Body, desk: &Desk) -> Result<Input, Refusal> {
        let Body { body: chunk, end_of_stream } = body;
        if let Some(asking) = &mut self.asking {
            asking.body_bytes += chunk.len() as u64;
            let bytes_max = desk.service.bounds.limits().body_bytes_max;
            if bytes_max < asking.body_bytes {
                desk.service.streams.refused_by(Bound::BodyBytes);
                return Err(Refusal::BodyTooLarge { bytes_max });
            }
            if let AskedBody::Reading(scanner) = &mut asking.body {
                scanner.feed(&chunk);
            }
        }
        Ok(Input::RequestBody { chunk, end_of_stream })
    }

    fn on_response_headers(
        &mut self,
        headers: Headers,
        metadata: &MetadataContext,
        desk: &mut Desk,
        now: Instant,
    ) -> Input {
        self.asking = None;
        let watch =
            self.watch.get_or_insert_with(|| Box::new(Watch::unasked(desk, self.opened_at)));
        let streaming = watch.on_headers(headers.headers, metadata, desk);
        if headers.end_of_stream {
            watch.on_end(now);
        }
        Input::ResponseHeaders { end_of_stream: headers.end_of_stream, streaming }
    }

    fn on_response_body(&mut self, body: Body, now: Instant) -> Input {
        let Body { body: mut chunk, end_of_stream } = body;
        // A chunk out of order is not counted: it ends the stream.
        if self.is_answering()
            && let Some(watch) = &mut self.watch
        {
            chunk = watch.on_chunk(chunk, now);
            if end_of_stream {
                watch.on_end(now);
            }
        }
        Input::ResponseBody { chunk, end_of_stream }
    }

    fn on_response_trailers(&mut self, now: Instant) -> Input {
        if self.is_answering()
            && let Some(watch) = &mut self.watch
        {
            watch.on_end(now);
        }
        Input::ResponseTrailers
    }

    fn advance(&mut self, input: Input, desk: &mut Desk, now: Instant) -> Result<Flow, Fault> {
        let Some(conversation) = &mut self.conversation else {
            return Ok(Flow::Open);
        };
        let mut answers = std::mem::take(&mut desk.answers);
        answers.clear();
        let mut next = conversation.on(input, &mut answers)?;
        if !self.account(desk) {
            if !self.is_answering() {
                desk.service.streams.refused_by(Bound::BodiesBytes);
                let bytes_max = desk.service.bounds.limits().bodies_bytes_max;
                return Ok(self.refuse(&Refusal::BodiesTooLarge { bytes_max }, desk));
            }
            if let Some(conversation) = &mut self.conversation {
                conversation.hold_no_more(&mut answers);
            }
        }
        if next == Next::Pick {
            next = match self.pick(&mut answers, desk, now) {
                Ok(next) => next,
                Err(NoPick::Refused(refusal)) => return Ok(self.refuse(&refusal, desk)),
                Err(NoPick::NothingAsked) => return Err(Fault::NothingAsked),
            };
        }
        for answer in answers.drain(..) {
            answers::write(answer, self.asking.as_deref(), self.watch.as_deref(), desk);
        }
        desk.answers = answers;
        if let Some(watch) = &mut self.watch {
            watch.forget_headers();
        }
        if !self.conversation.as_ref().is_some_and(Conversation::owes_request) {
            self.asking = None;
        }
        self.account(desk);
        Ok(if next == Next::Leave { Flow::Finished } else { Flow::Open })
    }

    /// Picks for the request, which is as whole as it will be, and has the conversation owe the
    /// answers.
    fn pick(
        &mut self,
        answers: &mut Vec<Answer>,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<Next, NoPick> {
        let (Some(conversation), Some(asking)) = (&mut self.conversation, &mut self.asking) else {
            return Err(NoPick::NothingAsked);
        };
        asking.finish_reading(conversation.held()).map_err(NoPick::Refused)?;
        let picked = pick::pick(asking, conversation.held(), desk, now);
        let picked = picked.map_err(NoPick::Refused)?;
        if let Some(body) = asking.rewritten(conversation.held()) {
            conversation.replace_held(body);
            asking.body_bytes = conversation.held_bytes() as u64;
        }
        let recorder = desk.recorder(asking.model(), asking.target(), asking.fairness_id());
        if !matches!(asking.body, AskedBody::None) {
            recorder.picked(asking.body_bytes);
        }
        let observe = desk.observes();
        if let Some(stands_for) = observe {
            let begun = (self.opened_at, stands_for);
            self.watch = Some(Box::new(Watch::asked(asking, &picked, recorder, begun)));
        }
        asking.picked = Some(picked);
        desk.service.picks.processed(clock::now().saturating_duration_since(self.opened_at));
        Ok(conversation.picked(observe.is_some(), answers))
    }

    /// Answers Envoy directly, and ends the conversation.
    fn refuse(&mut self, refusal: &Refusal, desk: &mut Desk) -> Flow {
        let asking = self.asking.take();
        let (model, target, fairness_id) = asking
            .as_deref()
            .map_or(("", "", "default-flow"), |a| (a.model(), a.target(), a.fairness_id()));
        desk.recorder(model, target, fairness_id).failed(refusal.failure());
        desk.log_refusal(refusal, asking.as_deref().map_or("", Asking::request_id));
        if let Some(conversation) = &mut self.conversation {
            conversation.finish();
        }
        self.account(desk);
        desk.outbox.clear();
        desk.outbox.push(Pieces::new(), |out| {
            let reason = refusal.dropped_reason();
            let reason = reason.map(|reason| (names::DROPPED_REASON.as_bytes(), reason.as_bytes()));
            answer::immediate(refusal.status(), reason, refusal.to_string().as_bytes(), out);
        });
        Flow::Finished
    }
}

/// An Envoy that does not tell how it passes bodies, or tells a mode unknown here, is taken to
/// pass them in full duplex, the one mode in which a prompt is read without a limit of Envoy's.
fn mode(told: Option<BodySendMode>) -> BodyMode {
    match told {
        Some(BodySendMode::None) => BodyMode::None,
        Some(BodySendMode::Streamed) => BodyMode::Streamed,
        Some(BodySendMode::Buffered | BodySendMode::BufferedPartial) => BodyMode::Buffered,
        Some(BodySendMode::FullDuplexStreamed | BodySendMode::Grpc) | None => {
            BodyMode::FullDuplexStreamed
        }
    }
}
