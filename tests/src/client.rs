//! An HTTP client that notes when each part of an answer came, over HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;
use std::{io, mem};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::body::Body;

/// The protocol of a [`Connection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// With prior knowledge: no upgrade, no TLS.
    Http2,
}

/// One connection to a server. Dropping it closes it at once, whatever is under way.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    /// Drives the connection; aborted on drop.
    _driver: JoinSet<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// Why there is no answer, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot connect to {address}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("the connection failed")]
    Http(#[from] hyper::Error),
}

/// An answer that has begun.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    asked: Instant,
    body: Incoming,
}

/// An answer that has ended.
#[derive(Debug)]
pub struct Whole {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
    /// From sending the request to the first byte of the answer's body.
    pub first_byte: Option<Duration>,
    /// From sending the request to the end of the answer.
    pub total: Duration,
}

impl Connection {
    /// Connects to `address`.
    pub async fn open(address: SocketAddr, protocol: Protocol) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|source| ClientError::Connect { address, source })?;
        stream.set_nodelay(true).map_err(|source| ClientError::Connect { address, source })?;
        let stream = TokioIo::new(stream);
        let mut driver = JoinSet::new();
        // A connection's error also reaches the request that it cuts off.
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                driver.spawn(async move { drop(connection.await) });
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                driver.spawn(async move { drop(connection.await) });
                Sender::Http2(sender)
            }
        };
        Ok(Self { sender, _driver: driver })
    }

    /// Sends `request`, and returns when the answer's headers are here. The URI's path is what
    /// matters; `host` is set if it is missing.
    pub async fn send(&mut self, mut request: Request<Body>) -> Result<Answer, ClientError> {
        let asked = Instant::now();
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                let host = http::HeaderValue::from_static("gateway");
                request.headers_mut().entry(http::header::HOST).or_insert(host);
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                let mut parts = mem::take(request.uri_mut()).into_parts();
                parts.scheme = Some(http::uri::Scheme::HTTP);
                parts.authority = Some(http::uri::Authority::from_static("gateway"));
                // A path that came with a URI is one that a URI can have.
                *request.uri_mut() = http::Uri::from_parts(parts).unwrap_or_default();
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        Ok(Answer::new(asked, response))
    }
}

impl Answer {
    fn new(asked: Instant, response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, asked, body }
    }

    /// How long ago the request was sent.
    pub fn waited(&self) -> Duration {
        self.asked.elapsed()
    }

    /// Waits for the next part of the body; none at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Reads the answer to its end.
    pub async fn whole(mut self) -> Result<Whole, ClientError> {
        let mut body = BytesMut::new();
        let mut trailers = HeaderMap::new();
        let mut first_byte = None;
        while let Some(frame) = self.body.frame().await {
            match frame?.into_data() {
                Ok(data) => {
                    first_byte.get_or_insert_with(|| self.asked.elapsed());
                    body.extend_from_slice(&data);
                }
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
        Ok(Whole {
            status: self.status,
            headers: self.headers,
            body: body.freeze(),
            trailers,
            first_byte,
            total: self.asked.elapsed(),
        })
    }
}

impl Whole {
    /// The value of a header of the answer, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
