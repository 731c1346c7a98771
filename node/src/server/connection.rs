//! One connection from a gateway: bytes in, streams served where they stand, bytes out.
//!
//! Everything that was read at once is answered before anything is written, and all of it is
//! written at once. A pick is a function that waits for nothing, so no stream needs a task.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
};
use tokio_util::io::poll_read_buf;

use super::{Phase, Thread, streams::Streams};
use crate::{
    clock,
    http2::{Connection, Limits},
};

/// How much is asked of the socket at once.
const READ_BYTES: usize = 64 << 10;

/// When less room is left, a new buffer is begun: what was read stays where it is for as long as a
/// body refers to it.
const READ_BYTES_MIN: usize = 4 << 10;

/// Pieces of output written at once; the kernel takes 1,024.
const SLICES: usize = 64;

/// Serves one connection.
pub(super) struct Driver<S> {
    socket: S,
    http2: Connection,
    streams: Streams,
    read: BytesMut,
    unflushed: bool,
    output_bytes_max: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(super) fn new(socket: S, limits: Limits, thread: Rc<Thread>) -> Self {
        Self {
            socket,
            output_bytes_max: limits.output_bytes_max,
            http2: Connection::new(limits),
            streams: Streams::new(thread),
            read: BytesMut::with_capacity(READ_BYTES),
            unflushed: false,
        }
    }

    /// Serves until the gateway goes, or is asked to go and has. `ends_at` is when the connection
    /// is asked to go for its age.
    pub(super) async fn serve(
        mut self,
        mut phase: watch::Receiver<Phase>,
        mut ends_at: Option<Instant>,
    ) -> io::Result<()> {
        self.on_phase(*phase.borrow_and_update());
        loop {
            if self.http2.is_drained() {
                return self.socket.shutdown().await;
            }
            let wake_at = earlier(self.streams.wake_at(), ends_at);
            tokio::select! {
                biased;
                closed = std::future::poll_fn(|cx| self.poll_turn(cx)) => {
                    closed?;
                    return self.socket.shutdown().await;
                }
                changed = phase.changed() => match changed {
                    Ok(()) => self.on_phase(*phase.borrow_and_update()),
                    Err(_gone) => return self.socket.shutdown().await,
                },
                () = sleep_until(wake_at) => {
                    let now = clock::now();
                    self.streams.on_time(&mut self.http2, now);
                    if ends_at.is_some_and(|at| at <= now) {
                        ends_at = None;
                        self.http2.go_away();
                    }
                }
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

    /// Reads, answers and writes until it must wait; ready when the connection is over.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // What cannot be written yet does not keep what has arrived from being read, until too
            // much waits.
            let written = self.poll_write(cx)?;
            if written.is_pending() && self.output_bytes_max <= self.http2.output_bytes() {
                return Poll::Pending;
            }
            if self.http2.is_drained() {
                return Poll::Ready(Ok(()));
            }
            if self.read.capacity() < READ_BYTES_MIN {
                self.read.reserve(READ_BYTES);
            }
            if ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.read))? == 0 {
                return Poll::Ready(Ok(()));
            }
            let now = clock::now();
            let received = self.http2.receive(self.read.split().freeze(), now);
            self.streams.answer_events(&mut self.http2, now);
            if let Err(error) = received {
                tracing::debug!(%error, "a gateway's connection broke the protocol");
                // The gateway is told why if the socket takes it at once, and not otherwise.
                let _ = self.poll_write(cx);
                return Poll::Ready(Ok(()));
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

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
