//! Bodies of answers: whole ones, streams of tokens, and those that never end well.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::answers::Events;
use super::connection::Fate;
use super::server::Ticket;

/// Why a body ended early. The connection is reset.
#[derive(Debug, thiserror::Error)]
#[error("the simulated server cut its answer")]
pub(super) struct Cut;

type Next = Pin<Box<dyn Future<Output = (Source, Option<Result<Bytes, Cut>>)> + Send>>;

/// The body of an answer.
pub(super) enum Answered {
    /// Sent at once, with its length.
    Whole(Bytes),
    /// Sent as it comes.
    Source(Source),
    /// Sent as it comes; the next piece is under way.
    Under(Next),
    Ended,
}

/// Where the pieces of a body come from.
pub(super) enum Source {
    Tokens(Box<TokenStream>),
    /// One piece, and then a reset or, without a fate, the end of the connection.
    Half(Option<Bytes>, Option<Arc<Fate>>),
    /// The same piece so many times, and then the last.
    Repeat {
        piece: Bytes,
        times: usize,
        last: Option<Bytes>,
    },
}

/// The events of one answer, as its tokens come.
pub(super) struct TokenStream {
    pub(super) ticket: Ticket,
    pub(super) events: Events,
    pub(super) reset_after_tokens: Option<usize>,
    pub(super) fate: Arc<Fate>,
    pub(super) is_complete: bool,
}

/// Time for what was written to reach the client before the reset overtakes it.
const RESET_PAUSE: Duration = Duration::from_millis(10);

impl TokenStream {
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        if self.is_complete {
            return None;
        }
        loop {
            let tokens_left = self
                .reset_after_tokens
                .map_or(usize::MAX, |tokens| tokens.saturating_sub(self.events.tokens_written()));
            if tokens_left == 0 {
                tokio::time::sleep(RESET_PAUSE).await;
                self.fate.reset();
                return Some(Err(Cut));
            }
            if self.ticket.reached.changed().await.is_err() && !self.is_finished() {
                self.fate.reset();
                return Some(Err(Cut));
            }
            let mut text = String::new();
            let reached = self.ticket.reached.borrow_and_update().clone();
            self.events.write(&reached, tokens_left, &mut text);
            let written = self.events.tokens_written();
            let is_cut = self.reset_after_tokens.is_some_and(|tokens| tokens <= written);
            if !is_cut && reached.iter().all(|choice| choice.finish.is_some()) {
                self.events.write_end(&reached, &mut text);
                self.is_complete = true;
            }
            if !text.is_empty() {
                return Some(Ok(text.into()));
            }
        }
    }

    fn is_finished(&self) -> bool {
        self.ticket.reached.borrow().iter().all(|choice| choice.finish.is_some())
    }
}

impl Source {
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        match self {
            Self::Tokens(stream) => stream.next().await,
            Self::Half(piece, fate) => {
                if let Some(piece) = piece.take() {
                    return Some(Ok(piece));
                }
                tokio::time::sleep(RESET_PAUSE).await;
                if let Some(fate) = fate {
                    fate.reset();
                }
                Some(Err(Cut))
            }
            Self::Repeat { times: 0, last, .. } => last.take().map(Ok),
            Self::Repeat { piece, times, .. } => {
                *times -= 1;
                Some(Ok(piece.clone()))
            }
        }
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let body = self.get_mut();
        let mut next = match std::mem::replace(body, Self::Ended) {
            Self::Ended => return Poll::Ready(None),
            Self::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Self::Whole(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Self::Source(mut source) => Box::pin(async move {
                let piece = source.next().await;
                (source, piece)
            }),
            Self::Under(next) => next,
        };
        let Poll::Ready((source, piece)) = next.as_mut().poll(context) else {
            *body = Self::Under(next);
            return Poll::Pending;
        };
        if let Some(Ok(_)) = &piece {
            *body = Self::Source(source);
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ended => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Source(_) | Self::Under(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ended => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Source(_) | Self::Under(_) => SizeHint::default(),
        }
    }
}
