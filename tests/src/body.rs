//! An HTTP body by script: what is sent, when, and how it ends.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A body that follows its steps and then ends.
#[derive(Debug, Default)]
pub struct Body {
    steps: VecDeque<Step>,
    /// Said in `content-length`; without one the body is chunked.
    length_bytes: Option<u64>,
    resting: Option<Pin<Box<Sleep>>>,
}

/// One step of a [`Body`].
#[derive(Debug)]
pub enum Step {
    Send(Bytes),
    /// Trailers end the body, so this is the last step.
    Trailers(HeaderMap),
    Rest(Duration),
    /// Never goes on.
    Stall,
    /// Breaks the connection off.
    Break,
}

/// What [`Step::Break`] gives to hyper, which then closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the script breaks the connection off here")]
pub struct Broken;

impl Body {
    /// No body at all.
    pub fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    /// `bytes` with their length said in front.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let length_bytes = Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let steps = if bytes.is_empty() { [].into() } else { [Step::Send(bytes)].into() };
        Self { steps, length_bytes, resting: None }
    }

    /// A body whose length is not said.
    pub fn script(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    /// `bytes` in pieces of `piece_bytes`, the length not said.
    pub fn chunked(bytes: &Bytes, piece_bytes: usize) -> Self {
        let pieces = bytes.chunks(piece_bytes.max(1));
        Self::script(pieces.map(|piece| Step::Send(bytes.slice_ref(piece))))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(resting) = &mut self.resting {
                ready!(resting.as_mut().poll(context));
                self.resting = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Trailers(map)) => return Poll::Ready(Some(Ok(Frame::trailers(map)))),
                Some(Step::Rest(time)) => self.resting = Some(Box::pin(sleep(time))),
                Some(Step::Stall) => {
                    // Nothing wakes this body again; whoever sends it is dropped with it.
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
                Some(Step::Break) => return Poll::Ready(Some(Err(Broken))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.resting.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length_bytes.map(SizeHint::with_exact).unwrap_or_default()
    }
}
