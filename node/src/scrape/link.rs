//! One kept HTTP/1.1 connection to a metrics page, driven only while a page is awaited.

use std::{future::poll_fn, io, pin::Pin, pin::pin, task::Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::target::Target;

/// A socket, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

type Socket = TokioIo<Box<dyn Stream>>;

/// A page of 40 KB comes in one or two reads; hyper would begin with 8 KB.
const READ_BYTES: usize = 64 * 1024;

/// A connection and the two ends that hyper makes of it. Nothing runs beside the caller: a link
/// that nobody waits on does not move.
pub(super) struct Link {
    requests: SendRequest<Empty<Bytes>>,
    /// `None` once it has ended: dropping it is what tells the other end.
    connection: Option<Driven>,
}

type Driven = Pin<Box<Connection<Socket, Empty<Bytes>>>>;

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("HTTP cannot be set up")]
    Http(#[source] hyper::Error),
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    #[error("the page is longer than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
}

impl Link {
    pub(super) async fn open(
        target: &Target,
        tls: Option<&TlsConnector>,
    ) -> Result<Self, OpenError> {
        let address = (target.host.as_str(), target.port);
        let socket = TcpStream::connect(address).await.map_err(OpenError::Connect)?;
        socket.set_nodelay(true).map_err(OpenError::Connect)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(socket),
            Some(tls) => {
                let name = target.server_name.clone();
                Box::new(tls.connect(name, socket).await.map_err(OpenError::Tls)?)
            }
        };
        let (requests, connection) = Builder::new()
            .read_buf_exact_size(Some(READ_BYTES))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(OpenError::Http)?;
        Ok(Self { requests, connection: Some(Box::pin(connection)) })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let Self { requests, connection } = self;
        let answer = async {
            requests.ready().await?;
            requests.send_request(request).await
        };
        drive(connection, answer).await
    }

    /// Appends an answer's body to `page`, up to `bytes_max`.
    pub(super) async fn read_body(
        &mut self,
        mut body: Incoming,
        page: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), BodyError> {
        let Self { connection, .. } = self;
        let reading = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(BodyError::Broken)?;
                let Some(data) = frame.data_ref() else {
                    continue;
                };
                if bytes_max - page.len() < data.len() {
                    return Err(BodyError::TooLong { bytes_max });
                }
                page.extend_from_slice(data);
            }
            Ok(())
        };
        drive(connection, reading).await
    }
}

/// Moves the connection until `work`, which waits for it, is done.
async fn drive<T>(connection: &mut Option<Driven>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        // The work first, since it may have something to send; then again, since the connection
        // may have brought something. That saves waking this very task.
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        // How the connection ended is told to the work, through its end of it.
        if connection.as_mut().is_some_and(|driven| driven.as_mut().poll(context).is_ready()) {
            *connection = None;
        }
        work.as_mut().poll(context)
    })
    .await
}
