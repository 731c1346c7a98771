//! The calling side of one connection: HTTP/2, and what is asked over it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use convoy_proto::replica::{Message, replica_client::ReplicaClient};
use convoy_raft::{
    identity::ClusterId,
    transport::{FRAME_BYTES_MAX, Frames, Lane, LinkError},
};
use futures_util::{
    Stream as FrameStream, StreamExt,
    future::{BoxFuture, ready},
    stream::{self, BoxStream},
};
use http::{Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tonic::{Code, Status, body::Body, codegen::Service};

use super::{
    CONNECTION_WINDOW_BYTES, MESSAGE_BYTES_MAX, STREAM_WINDOW_BYTES, Timing,
    greeting::to_bytes,
    hints::HintQueue,
    metrics::{Bytes as Counted, Metrics, Traffic},
    socket::Stream,
};
use crate::logging::chain;

/// Asks over one connection. Clones share it.
#[derive(Clone)]
pub(super) struct Client {
    /// Whom to blame.
    to: String,
    inner: ReplicaClient<Requests>,
    metrics: Metrics,
}

/// Moves a connection. It ends when the connection does.
pub(super) type Driver = BoxFuture<'static, hyper::Result<()>>;

/// Requests on an HTTP/2 connection, as tonic wants to make them.
#[derive(Clone)]
pub(super) struct Requests(http2::SendRequest<Body>);

impl Service<Request<Body>> for Requests {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

impl Client {
    /// Begins HTTP/2 on `stream`. Nothing moves unless the driver is polled.
    pub(super) async fn open(
        to: String,
        stream: Box<dyn Stream>,
        timing: &Timing,
        metrics: Metrics,
    ) -> hyper::Result<(Self, Driver)> {
        let (requests, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(timing.keepalive_interval)
            .keep_alive_timeout(timing.keepalive_timeout)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        let origin = Uri::from_static("http://replica");
        let inner = ReplicaClient::with_origin(Requests(requests), origin)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok((Self { to, inner, metrics }, Box::pin(connection)))
    }

    pub(super) async fn call(mut self, question: Bytes) -> Result<Bytes, LinkError> {
        let counted = self.metrics.bytes(Traffic::Calls);
        counted.sent(question.len());
        let answer = self.inner.call(Message { body: question }).await;
        let body = answer.map_err(|status| fault(&self.to, &status))?.into_inner().body;
        counted.received(body.len());
        Ok(body)
    }

    pub(super) async fn stream(
        mut self,
        lane: Lane,
        frames: BoxStream<'static, Bytes>,
    ) -> Result<Frames, LinkError> {
        let counted = self.metrics.bytes(Traffic::Lane(lane));
        let (open, dropped) = oneshot::channel::<()>();
        let frames = outgoing(frames, counted.clone()).take_until(dropped);
        let answers = match lane {
            Lane::Entries => self.inner.entries(frames).await,
            Lane::Snapshot => self.inner.snapshot(frames).await,
            Lane::Proposals => self.inner.proposals(frames).await,
        };
        let answers = answers.map_err(|status| fault(&self.to, &status))?.into_inner();
        let to = self.to;
        // What is sent ends with what is answered, whoever lets go of it.
        let answers = stream::unfold((answers, open), async |(mut answers, open)| {
            Some((answers.next().await?, (answers, open)))
        });
        let answers = answers.map(move |answer| match answer {
            Ok(Message { body }) => {
                counted.received(body.len());
                Ok(body)
            }
            Err(status) => Err(fault(&to, &status)),
        });
        Ok(answers.boxed())
    }

    /// Sends what comes into `queue`, until the other side will have no more.
    pub(super) async fn hint(mut self, cluster: ClusterId, queue: Arc<HintQueue>) -> LinkError {
        let (counted, metrics) = (self.metrics.bytes(Traffic::Hints), self.metrics.clone());
        let head = stream::once(async move { to_bytes(cluster) });
        let hints = stream::unfold(queue, move |queue| {
            let metrics = metrics.clone();
            async move {
                let batch = queue.take().await;
                metrics.hints_sent.inc();
                Some((batch, queue))
            }
        });
        match self.inner.hints(outgoing(head.chain(hints), counted)).await {
            Ok(_heard) => LinkError::Closed,
            Err(status) => fault(&self.to, &status),
        }
    }
}

fn outgoing(
    frames: impl FrameStream<Item = Bytes> + Send + 'static,
    counted: Counted,
) -> impl FrameStream<Item = Message> + Send + 'static {
    let fits = |frame: &Bytes| {
        let (bytes, fits) = (frame.len(), frame.len() <= FRAME_BYTES_MAX);
        if !fits {
            tracing::error!(bytes, FRAME_BYTES_MAX, "a frame is too long; its stream ends");
        }
        ready(fits)
    };
    frames.take_while(fits).map(move |body| {
        counted.sent(body.len());
        Message { body }
    })
}

/// What a status says, in the words of the transport.
fn fault(to: &str, status: &Status) -> LinkError {
    // What the connection has to say of itself is in the causes.
    let cause = std::error::Error::source(status).map(chain);
    let (to, why) = (to.to_owned(), cause.unwrap_or_else(|| status.message().to_owned()));
    match status.code() {
        Code::FailedPrecondition
        | Code::OutOfRange
        | Code::InvalidArgument
        | Code::Unimplemented => LinkError::Refused { to, why },
        Code::Aborted => LinkError::Closed,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => LinkError::Unreachable { to, why },
    }
}

#[cfg(test)]
impl Client {
    /// Sends messages of any length.
    pub(super) fn without_bounds(mut self) -> Self {
        self.inner = self.inner.max_encoding_message_size(usize::MAX);
        self
    }
}
