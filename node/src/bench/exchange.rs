//! One request and its answer over one stream, played as Envoy does.
//!
//! Two futures in one task. The one that asks sends what Envoy would send, when Envoy would; the one that hears
//! reads what the picker answers and judges it. They meet in [`Shared`]. What is heard decides how the exchange
//! ends: when sending fails, the stream's end says why.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, Instant};

use bytes::Bytes;
use convoy_proto::ext_proc::ProcessingResponse;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use prost::Message as _;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::check::Checker;
use super::fault::Fault;
use super::link::release;
use super::messages::Messages;
use super::settings::Observation;
use super::tally::{Done, Traffic};
use super::worker::Worker;
use super::workload::{Pieces, Question};
use crate::clock;

/// Envoy never sends a longer DATA frame, whatever the other side announces.
const FRAME_BYTES_MAX: usize = 16_384;

/// How soon a picker that does not observe answers has to leave, and how long Envoy's model server takes at
/// least where it may leave or stay.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);
const LEAVES_SOON: Duration = Duration::from_millis(5);

/// How far an exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Connecting,
    Asking,
    /// The request's headers are answered.
    Picked,
    /// The request's body is back as well.
    RequestAnswered,
    /// All of the answer is back.
    AnswerAnswered,
}

impl Stage {
    fn waiting_for(self) -> &'static str {
        match self {
            Self::Connecting => "a connection",
            Self::Asking => "the answer to the request's headers",
            Self::Picked => "the request's body to come back",
            Self::RequestAnswered => "the answer to come back",
            Self::AnswerAnswered => "the end of the stream",
        }
    }
}

/// One exchange.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    worker: &'a Worker,
    due: Instant,
    stage: Cell<Stage>,
    stage_changed: Notify,
    /// When the last chunk of the request was handed to the connection.
    asked_at: Cell<Option<Instant>>,
    picked_at: Cell<Option<Instant>>,
    pick: RefCell<String>,
    sent: Cell<Traffic>,
    received: Cell<Traffic>,
    /// When the tokens were sent that are not back yet. Empty if they are not spaced.
    tokens: RefCell<VecDeque<Instant>>,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(worker: &'a Worker, due: Instant) -> Self {
        Self {
            worker,
            due,
            stage: Cell::new(Stage::Connecting),
            stage_changed: Notify::new(),
            asked_at: Cell::default(),
            picked_at: Cell::default(),
            pick: RefCell::default(),
            sent: Cell::default(),
            received: Cell::default(),
            tokens: RefCell::default(),
        }
    }

    /// Plays the `nth` request of the run.
    pub(super) async fn run(&self, nth: u64) -> Result<Done, Fault> {
        let limit = self.worker.time_limit();
        match tokio::time::timeout(limit, self.play(nth)).await {
            Ok(result) => result,
            Err(_) => Err(Fault::TimedOut { waiting_for: self.stage.get().waiting_for() }),
        }
    }

    async fn play(&self, nth: u64) -> Result<Done, Fault> {
        let (response, mut stream) = self.worker.link.stream().await?;
        self.stage.set(Stage::Asking);
        let question = self.worker.workload.question(nth);
        let checker = Checker::new(question.body.clone(), self.worker.workload.answer());
        let unobserved = tokio::select! {
            heard = self.hear(response, checker) => heard?,
            fault = self.ask(&mut stream, question) => match fault? {},
        };
        let picked_at = self.picked_at.get().unwrap_or(self.due);
        let asked_at = self.asked_at.get().unwrap_or(picked_at);
        Ok(Done {
            pick: self.pick.take(),
            picked_after: picked_at.saturating_duration_since(asked_at),
            picked_at,
            unobserved,
            sent: self.sent.get(),
            received: self.received.get(),
        })
    }

    /// Sends everything. Ends only by a fault: that the picker stayed when it was to leave.
    async fn ask(
        &self,
        stream: &mut SendStream<Bytes>,
        question: Question<'_>,
    ) -> Result<Infallible, Fault> {
        self.send(stream, &question.headers).await;
        self.send_pieces(stream, &question.body).await;
        self.asked_at.set(Some(clock::now()));
        self.reach(Stage::RequestAnswered).await;
        let settings = &self.worker.settings;
        match settings.observation {
            Observation::Full => sleep(settings.answer.time_to_first_token).await,
            Observation::Any => sleep(settings.answer.time_to_first_token.max(LEAVES_SOON)).await,
            Observation::Off => {
                sleep(LEAVES_WITHIN).await;
                return Err(Fault::Stayed);
            }
        }
        let headers = self.worker.answer_headers(&self.pick.borrow());
        self.send(stream, &headers).await;
        self.send_answer(stream).await;
        self.reach(Stage::AnswerAnswered).await;
        // An error means that the picker has ended the stream, which is heard.
        let _ = stream.send_data(Bytes::new(), true);
        pending().await
    }

    async fn send_pieces(&self, stream: &mut SendStream<Bytes>, pieces: &Pieces<'_>) {
        for piece in (0..).map_while(|nth| pieces.get(nth)) {
            self.send(stream, &piece.message).await;
        }
    }

    async fn send_answer(&self, stream: &mut SendStream<Bytes>) {
        let answer = self.worker.workload.answer();
        let gap = self.worker.settings.answer.token_gap;
        if gap.is_zero() {
            return self.send_pieces(stream, &answer).await;
        }
        let mut next = clock::now();
        let tokens = self.worker.settings.answer.output_tokens;
        for (nth, piece) in (0..).map_while(|nth| answer.get(nth)).enumerate() {
            // What follows the last token comes with it.
            if nth < tokens {
                self.worker.sleep_until(next).await;
                self.tokens.borrow_mut().push_back(clock::now());
                next += gap;
            }
            self.send(stream, &piece.message).await;
        }
    }

    /// Sends one message, as fast as the picker's windows allow.
    async fn send(&self, stream: &mut SendStream<Bytes>, message: &Bytes) {
        let mut sent = self.sent.get();
        sent.add(message.len());
        self.sent.set(sent);
        let mut rest = message.clone();
        while !rest.is_empty() {
            let frame = rest.split_to(rest.len().min(FRAME_BYTES_MAX));
            if send_frame(stream, frame).await.is_none() {
                return pending().await;
            }
        }
    }

    /// Waits until the exchange has come to `stage`.
    async fn reach(&self, stage: Stage) {
        while self.stage.get() < stage {
            self.stage_changed.notified().await;
        }
    }

    /// Reads and judges everything, to the end of the stream. True if the picker left before the answer.
    async fn hear(
        &self,
        response: ResponseFuture,
        mut checker: Checker<'_>,
    ) -> Result<bool, Fault> {
        let (head, mut body) = response.await.map_err(|error| ended(&error))?.into_parts();
        if head.status != 200 {
            return Err(Fault::HttpStatus { code: head.status.as_u16() });
        }
        let mut messages = Messages::default();
        while let Some(data) = body.data().await {
            let data = data.map_err(|error| ended(&error))?;
            release(&mut body, data.len());
            messages.push(data);
            while let Some(message) = messages.next()? {
                self.take(message, &mut checker)?;
            }
        }
        status(&head.headers, &mut body).await?;
        if !messages.is_empty() {
            return Err(Fault::Unreadable { cause: "the stream ended within it".to_owned() });
        }
        self.left(&checker)
    }

    fn take(&self, message: Bytes, checker: &mut Checker<'_>) -> Result<(), Fault> {
        let mut received = self.received.get();
        received.add(message.len() + Messages::PREFIX_BYTES);
        self.received.set(received);
        let message = ProcessingResponse::decode(message)
            .map_err(|error| Fault::Unreadable { cause: error.to_string() })?;
        let heard = checker.hear(message)?;
        if heard.picked {
            self.picked_at.set(Some(clock::now()));
            self.pick.replace(checker.pick().unwrap_or_default().to_owned());
        }
        if 0 < heard.answer_chunks {
            self.note_tokens(heard.answer_chunks);
        }
        let stage = if checker.is_answer_answered() {
            Stage::AnswerAnswered
        } else if checker.is_request_answered() {
            Stage::RequestAnswered
        } else if checker.pick().is_some() {
            Stage::Picked
        } else {
            Stage::Asking
        };
        if self.stage.replace(stage) != stage {
            self.stage_changed.notify_one();
        }
        Ok(())
    }

    fn note_tokens(&self, count: usize) {
        let mut tokens = self.tokens.borrow_mut();
        if tokens.is_empty() {
            return;
        }
        let now = clock::now();
        for _ in 0..count {
            let Some(sent_at) = tokens.pop_front() else { return };
            self.worker.note_token(self.due, now.saturating_duration_since(sent_at));
        }
    }

    /// Judges an end with OK.
    fn left(&self, checker: &Checker<'_>) -> Result<bool, Fault> {
        if checker.is_answer_answered() {
            return Ok(false);
        }
        if !checker.is_request_answered() {
            return Err(Fault::LeftEarly);
        }
        if checker.has_answer_begun() {
            return Err(Fault::LeftAmidAnswer);
        }
        match self.worker.settings.observation {
            Observation::Off | Observation::Any => Ok(true),
            Observation::Full => Err(Fault::LeftBeforeAnswer),
        }
    }
}

/// Sends one frame, in parts if the window is smaller. None: the stream has ended.
async fn send_frame(stream: &mut SendStream<Bytes>, mut frame: Bytes) -> Option<()> {
    while !frame.is_empty() {
        stream.reserve_capacity(frame.len());
        let mut room = stream.capacity();
        if room == 0 {
            room = std::future::poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
        }
        let part = frame.split_to(room.min(frame.len()));
        if !part.is_empty() {
            stream.send_data(part, false).ok()?;
        }
    }
    Some(())
}

/// What the error of a stream says about the picker.
fn ended(error: &h2::Error) -> Fault {
    match error.reason() {
        Some(reason) if error.is_reset() => Fault::Reset { reason: reason.to_string() },
        Some(_) | None => Fault::ConnectionLost { cause: error.to_string() },
    }
}

/// The gRPC status: in the trailers, or in the headers of a response without a body.
async fn status(headers: &HeaderMap, body: &mut RecvStream) -> Result<(), Fault> {
    let trailers = body.trailers().await.map_err(|error| ended(&error))?;
    let headers = trailers.as_ref().unwrap_or(headers);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let code: u32 =
        text("grpc-status").and_then(|code| code.parse().ok()).ok_or(Fault::NoStatus)?;
    if code == 0 {
        return Ok(());
    }
    Err(Fault::Status { code, text: text("grpc-message").unwrap_or_default().to_owned() })
}
