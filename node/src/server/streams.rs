//! The open streams of one connection, and what is done when something happens on them.

use std::{
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use convoy_proto::health::{HealthCheckRequest, HealthCheckResponse};
use prost::Message as _;

use super::{Thread, refusals};
use crate::{
    clock,
    extproc::{Desk, Exchange, Flow},
    http2::{Cause, Connection, Event, RequestHead, Status, StreamId},
    logging::chain,
    metrics::{Bound, StreamEnd},
};

/// Where gateways send their questions.
const PROCESS: &[u8] = b"/envoy.service.ext_proc.v3.ExternalProcessor/Process";

/// Where they ask for health, if that is served here.
const HEALTH_CHECK: &[u8] = b"/grpc.health.v1.Health/Check";

/// A response through which nothing has come for so long is at a quiet moment.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// How often a connection that is being left looks for quiet moments.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After so many events the time is looked at, which costs a fiftieth of an event.
const LOOK_AFTER_EVENTS: usize = 16;

/// A message counts as another event for each of these.
const MESSAGE_BYTES: usize = 4 << 10;

/// A connection's streams.
pub(super) struct Streams {
    thread: Rc<Thread>,
    /// By [`StreamId::slot`].
    open: Vec<Option<Stream>>,
    /// Streams in the order of their opening, with the time at which a request that is not whole
    /// is refused. Most have long been answered when their turn comes.
    deadlines: VecDeque<(Instant, StreamId)>,
    look_at: Option<Instant>,
}

struct Stream {
    id: StreamId,
    serves: Serves,
    last_message_at: Instant,
}

/// What streams are served with while the driver has something to do.
struct Turn<'t> {
    http2: &'t mut Connection,
    desk: &'t mut Desk,
    now: Instant,
}

/// What a stream is for.
enum Serves {
    Exchange(Box<Exchange>),
    Health,
}

impl Streams {
    pub(super) fn new(thread: Rc<Thread>) -> Self {
        Self { thread, open: Vec::new(), deadlines: VecDeque::new(), look_at: None }
    }

    /// Counts a refusal that concerns no stream.
    pub(super) fn refused_by(&self, bound: Bound) {
        self.thread.desk.borrow().service.streams.refused_by(bound);
    }

    /// When [`Self::on_time`] has something to do.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let deadline = self.deadlines.front().map(|&(at, _)| at);
        match (deadline, self.look_at) {
            (Some(deadline), Some(look)) => Some(deadline.min(look)),
            (deadline, look) => deadline.or(look),
        }
    }

    /// Shows that the thread moves.
    pub(super) fn beat(&self) {
        self.thread.heartbeat.beat();
    }

    /// Answers what has happened; false if it was not done `until` then, and has to go on.
    pub(super) fn answer_events(
        &mut self,
        http2: &mut Connection,
        now: Instant,
        until: Instant,
    ) -> bool {
        let thread = Rc::clone(&self.thread);
        let turn = &mut Turn { http2, desk: &mut thread.desk.borrow_mut(), now };
        let mut unlooked = 0;
        while let Some(event) = turn.http2.poll_event() {
            unlooked += match &event {
                Event::Message { message, .. } => 1 + message.len() / MESSAGE_BYTES,
                Event::Opened { .. }
                | Event::HalfClosed { .. }
                | Event::Ended { .. }
                | Event::Refused { .. }
                | Event::GoAway { .. } => 1,
            };
            match event {
                Event::Opened { stream, head } => self.open(stream, &head, turn),
                Event::Message { stream, message } => self.on_message(stream, message, turn),
                Event::HalfClosed { stream } => self.on_half_close(stream, turn),
                Event::Ended { stream, cause } => self.on_end(stream, &cause, turn),
                Event::Refused { fault } => {
                    if let Some(bound) = refusals::of_stream(&fault) {
                        turn.desk.service.streams.refused_by(bound);
                    }
                }
                Event::GoAway { code } => tracing::debug!(?code, "the gateway says goodbye"),
            }
            if LOOK_AFTER_EVENTS <= unlooked {
                unlooked = 0;
                if until <= clock::now() {
                    return false;
                }
            }
        }
        true
    }

    /// Refuses what is late, and leaves what may be left.
    pub(super) fn on_time(&mut self, http2: &mut Connection, now: Instant) {
        let thread = Rc::clone(&self.thread);
        let turn = &mut Turn { http2, desk: &mut thread.desk.borrow_mut(), now };
        while let Some(&(at, stream)) = self.deadlines.front()
            && at <= now
        {
            self.deadlines.pop_front();
            let Some(Serves::Exchange(exchange)) = self.get(stream).map(|open| &mut open.serves)
            else {
                continue;
            };
            if exchange.awaits_pick() {
                let flow = exchange.refuse_late(turn.desk);
                self.send(stream, flow, turn);
            }
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = Some(now + LOOK_EVERY);
            self.leave(turn, |stream| {
                QUIET_AFTER <= now.saturating_duration_since(stream.last_message_at)
            });
        }
    }

    /// Begins to leave: streams that wait for a response at once, and those on which a response
    /// passes at a quiet moment.
    pub(super) fn begin_leaving(&mut self, http2: &mut Connection, now: Instant) {
        let thread = Rc::clone(&self.thread);
        let turn = &mut Turn { http2, desk: &mut thread.desk.borrow_mut(), now };
        self.look_at = Some(now + LOOK_EVERY);
        self.leave(turn, |stream| match &stream.serves {
            Serves::Exchange(exchange) => !exchange.is_answering(),
            Serves::Health => false,
        });
    }

    /// Ends those streams with OK that may end so and of which `when` is true.
    fn leave(&mut self, turn: &mut Turn<'_>, when: impl Fn(&Stream) -> bool) {
        let leaving: Vec<StreamId> = self
            .open
            .iter()
            .flatten()
            .filter(|stream| when(stream))
            .filter(|stream| match &stream.serves {
                Serves::Exchange(exchange) => exchange.may_leave(),
                Serves::Health => false,
            })
            .map(|stream| stream.id)
            .collect();
        for stream in leaving {
            self.finish(stream, Status::Ok, "", turn);
        }
    }

    fn open(&mut self, id: StreamId, head: &RequestHead, turn: &mut Turn<'_>) {
        let now = turn.now;
        let serves = match head.path() {
            PROCESS => {
                self.thread.note_opened();
                let Some(exchange) = Exchange::open(turn.desk, now) else {
                    let text = "too many streams are open; retry later";
                    return turn.http2.finish(id, Status::ResourceExhausted, text);
                };
                let deadline = turn.desk.service.behaviour.request_deadline;
                self.deadlines.push_back((now + deadline, id));
                Serves::Exchange(Box::new(exchange))
            }
            HEALTH_CHECK if self.thread.serves_health() => Serves::Health,
            path => {
                let text = format!("{} is not served here", String::from_utf8_lossy(path));
                return turn.http2.finish(id, Status::Unimplemented, &text);
            }
        };
        if self.open.len() <= id.slot() {
            self.open.resize_with(id.slot() + 1, || None);
        }
        if let Some(place) = self.open.get_mut(id.slot()) {
            *place = Some(Stream { id, serves, last_message_at: now });
        }
    }

    fn on_message(&mut self, id: StreamId, message: Bytes, turn: &mut Turn<'_>) {
        let leaving = self.look_at.is_some();
        let Some(stream) = self.get(id) else { return };
        stream.last_message_at = turn.now;
        let exchange = match &mut stream.serves {
            Serves::Exchange(exchange) => exchange,
            Serves::Health => return self.on_health_check(id, message, turn),
        };
        match exchange.on_message(message, turn.desk, turn.now) {
            // Right after a chunk was given back is the best moment to leave: the next one is
            // further away than at any other.
            Ok(_) if leaving && exchange.may_leave() => self.send(id, Flow::Finished, turn),
            Ok(flow) => self.send(id, flow, turn),
            Err(fault) => {
                let text = chain(&fault);
                tracing::debug!(error = text, "a stream was closed");
                turn.desk.outbox.clear();
                self.finish(id, Status::InvalidArgument, &text, turn);
            }
        }
    }

    /// Sends what is in the outbox, and ends the stream if that was all.
    fn send(&mut self, id: StreamId, flow: Flow, turn: &mut Turn<'_>) {
        let mut sent = Ok(());
        for (head, body) in turn.desk.outbox.messages() {
            sent = sent.and_then(|()| turn.http2.send_message(id, head, body, &[]));
        }
        turn.desk.outbox.clear();
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer was not sent");
            if let Some(bound) = refusals::of_answer(&error) {
                turn.desk.service.streams.refused_by(bound);
            }
            self.close(id, StreamEnd::Refused, turn);
        } else if flow == Flow::Finished {
            self.finish(id, Status::Ok, "", turn);
        }
    }

    /// The gateway has nothing more to say. What it asked was answered as it came, so all that can
    /// be open is a request that will never be whole.
    fn on_half_close(&mut self, id: StreamId, turn: &mut Turn<'_>) {
        let Some(stream) = self.get(id) else { return };
        let unanswered = match &stream.serves {
            Serves::Exchange(exchange) => exchange.owes_request(),
            Serves::Health => true,
        };
        if unanswered {
            let text = "the stream was half-closed before the request was whole";
            self.finish(id, Status::Cancelled, text, turn);
        } else {
            self.finish(id, Status::Ok, "", turn);
        }
    }

    fn on_health_check(&mut self, id: StreamId, message: Bytes, turn: &mut Turn<'_>) {
        let Ok(request) = HealthCheckRequest::decode(message) else {
            let text = "the message is no HealthCheckRequest";
            return self.finish(id, Status::InvalidArgument, text, turn);
        };
        let status = self.thread.readiness.status_of(&request.service).into();
        let answer = HealthCheckResponse { status }.encode_to_vec();
        // A client that takes no answer is told nothing.
        let _ = turn.http2.send_message(id, &answer, &[], &[]);
        self.finish(id, Status::Ok, "", turn);
    }

    /// Ends a stream with a status, and why if it is not OK.
    fn finish(&mut self, id: StreamId, status: Status, text: &str, turn: &mut Turn<'_>) {
        let end = if status == Status::Ok {
            StreamEnd::Ok
        } else if status == Status::Cancelled {
            StreamEnd::Cancelled
        } else {
            StreamEnd::Invalid
        };
        turn.http2.finish(id, status, text);
        self.close(id, end, turn);
    }

    /// A stream ended without our doing.
    fn on_end(&mut self, id: StreamId, cause: &Cause, turn: &Turn<'_>) {
        let end = match cause {
            Cause::Reset(_) => StreamEnd::Cancelled,
            Cause::Fault(fault) => match refusals::of_stream(fault) {
                Some(bound) => {
                    turn.desk.service.streams.refused_by(bound);
                    StreamEnd::Refused
                }
                None => StreamEnd::Invalid,
            },
        };
        self.close(id, end, turn);
    }

    fn get(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.open.get_mut(id.slot())?.as_mut().filter(|stream| stream.id == id)
    }

    fn close(&mut self, id: StreamId, end: StreamEnd, turn: &Turn<'_>) {
        let Some(place) = self.open.get_mut(id.slot()) else { return };
        if let Some(stream) = place.take_if(|stream| stream.id == id)
            && let Serves::Exchange(exchange) = stream.serves
        {
            exchange.close(end, turn.desk, turn.now);
        }
        // Streams at the front whose requests were answered need no deadline.
        while let Some(&(_, first)) = self.deadlines.front()
            && self.get(first).is_none()
        {
            self.deadlines.pop_front();
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        let thread = Rc::clone(&self.thread);
        // The desk is only borrowed while events are answered, which a drop does not interrupt
        // unless a panic does.
        let Ok(desk) = thread.desk.try_borrow() else { return };
        for stream in std::mem::take(&mut self.open).into_iter().flatten() {
            if let Serves::Exchange(exchange) = stream.serves {
                exchange.close(StreamEnd::Cancelled, &desk, clock::now());
            }
        }
    }
}

#[cfg(test)]
mod tests;
