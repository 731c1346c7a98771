//! One connection from a gateway: bytes in, streams served where they stand, bytes out.
//!
//! Everything that was read at once is answered before anything is written, and all of it is
//! written at once. A pick is a function that waits for nothing, so no stream needs a task.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
    time::Sleep,
};
use tokio_util::io::poll_read_buf;

use super::{Phase, Thread, refusals, streams::Streams};
use crate::{
    budget::Share,
    clock,
    http2::{Connection, ConnectionError},
    metrics::Bound,
};

/// How much is asked of the socket at once.
const READ_BYTES: usize = 64 << 10;

/// When less room is left, a new buffer is begun: what was read stays where it is for as long as a
/// body refers to it.
const READ_BYTES_MIN: usize = 4 << 10;

/// A gateway speaks first, and at once. What has not spoken by then is not one.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// A connection is served for so long at once, before others and the thread's timers have their turn.
/// A message is answered in microseconds, but a gateway can send one that costs ten thousand times as
/// much, and many of them at once.
const TURN_MAX: Duration = Duration::from_millis(2);

/// Pieces of output written at once; the kernel takes 1,024.
const SLICES: usize = 64;

/// How a turn ended.
enum Turn {
    /// There is more to do, after others.
    Over,
    /// The connection is over.
    Closed,
}

/// Serves one connection.
pub(super) struct Driver<S> {
    socket: S,
    http2: Connection,
    streams: Streams,
    read: BytesMut,
    /// Something that was received waits for its answer: nothing more is read before that.
    unanswered: bool,
    /// How the gateway broke the protocol, after what is still to be answered.
    broken: Option<ConnectionError>,
    unflushed: bool,
    output_bytes_max: usize,
    /// Output that the socket does not take.
    unwritten: Share,
    /// When a connection that has said nothing is closed; `None` once it has.
    silent_until: Option<Instant>,
    /// When the connection is asked to go for its age.
    ends_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to. It may be earlier than what is waited for, never later.
    timer_at: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(super) fn new(socket: S, thread: Rc<Thread>, ends_at: Option<Instant>) -> Self {
        let limits = thread.limits();
        let transit = thread.transit();
        Self {
            socket,
            output_bytes_max: limits.output_bytes_max,
            unwritten: transit.share(),
            http2: Connection::new(limits, &transit),
            streams: Streams::new(thread),
            read: BytesMut::with_capacity(READ_BYTES),
            unanswered: false,
            broken: None,
            unflushed: false,
            silent_until: Some(clock::now() + SILENT_MAX),
            ends_at,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            timer_at: None,
        }
    }

    /// Serves until the gateway goes, or is asked to go and has.
    pub(super) async fn serve(mut self, mut phase: watch::Receiver<Phase>) -> io::Result<()> {
        self.on_phase(*phase.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                turn = std::future::poll_fn(|cx| self.poll_turn(cx)) => match turn? {
                    Turn::Over => {
                        self.streams.beat();
                        // The runtime looks at sockets and timers before this goes on.
                        tokio::task::yield_now().await;
                    }
                    Turn::Closed => return self.socket.shutdown().await,
                },
                changed = phase.changed() => match changed {
                    Ok(()) => self.on_phase(*phase.borrow_and_update()),
                    Err(_gone) => return self.socket.shutdown().await,
                },
            }
        }
    }

    fn on_phase(&mut self, phase: Phase) {
        match phase {
            Phase::Serving => {}
            Phase::GoingAway => self.http2.go_away(),
            Phase::Leaving => {
                self.http2.go_away();
                self.streams.begin_leaving(&mut self.http2, clock::now());
            }
        }
    }

    /// Reads, answers and writes until it must wait, its turn is over, or the connection is.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Turn>> {
        let mut until = None;
        loop {
            self.poll_timer(cx);
            if self.silent_until.is_some_and(|until| until <= clock::now()) {
                return Poll::Ready(Ok(Turn::Closed));
            }
            // What cannot be written yet does not keep what has arrived from being read, until too
            // much waits.
            let written = self.poll_write(cx)?;
            let unwritten = if written.is_pending() { self.http2.output_bytes() } else { 0 };
            if self.unwritten.set(unwritten).is_err() {
                self.streams.refused_by(Bound::WaitingBytes);
                tracing::debug!(unwritten, "a gateway's connection does not take its answers");
                return Poll::Ready(Ok(Turn::Closed));
            }
            if written.is_pending() && self.output_bytes_max <= self.http2.output_bytes() {
                return Poll::Pending;
            }
            if self.http2.is_drained() {
                return Poll::Ready(Ok(Turn::Closed));
            }
            if !self.unanswered && !ready!(self.poll_receive(cx))? {
                return Poll::Ready(Ok(Turn::Closed));
            }
            let now = clock::now();
            let until = *until.get_or_insert(now + TURN_MAX);
            self.unanswered = !self.streams.answer_events(&mut self.http2, now, until);
            if self.unanswered {
                return Poll::Ready(Ok(Turn::Over));
            }
            if let Some(error) = self.broken.take() {
                if let Some(bound) = refusals::of_connection(&error) {
                    self.streams.refused_by(bound);
                }
                tracing::debug!(%error, "a gateway's connection broke the protocol");
                // The gateway is told why if the socket takes it at once, and not otherwise.
                let _ = self.poll_write(cx);
                return Poll::Ready(Ok(Turn::Closed));
            }
            if until <= now {
                return Poll::Ready(Ok(Turn::Over));
            }
        }
    }

    /// Reads once; ready with false when the gateway will send no more.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.read.capacity() < READ_BYTES_MIN {
            self.read.reserve(READ_BYTES);
        }
        if ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.read))? == 0 {
            return Poll::Ready(Ok(false));
        }
        self.silent_until = None;
        self.broken = self.http2.receive(self.read.split().freeze(), clock::now()).err();
        Poll::Ready(Ok(true))
    }

    /// Does what it is time for, and has this task woken when it is time for more.
    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        while let Some(at) =
            earlier(self.streams.wake_at(), earlier(self.silent_until, self.ends_at))
        {
            if self.timer_at.is_none_or(|set| at < set) {
                self.timer.as_mut().reset(at.into());
                self.timer_at = Some(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.timer_at = None;
            let now = clock::now();
            self.streams.on_time(&mut self.http2, now);
            if self.ends_at.is_some_and(|at| at <= now) {
                self.ends_at = None;
                self.http2.go_away();
            }
            if self.silent_until.is_some_and(|until| until <= now) {
                return;
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while 0 < self.http2.output_bytes() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.http2.output_slices(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            let count = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.http2.wrote(count);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
