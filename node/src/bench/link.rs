//! One HTTP/2 connection to the picker, made anew when it is lost.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Ping, RecvStream, SendStream};
use http::Request;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::Fault;
use crate::clock;

/// For each step of connecting. A picker on a busy machine may take its time over a handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed attempt; what is sent meanwhile fails with it.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

/// Envoy's windows since 1.36.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 24 << 20;

const PROCESS: &str = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot find {host}")]
    Resolve { host: String, source: Arc<io::Error> },
    #[error("cannot reach {target}")]
    Tcp { target: String, source: Arc<io::Error> },
    #[error("{target} does not speak TLS as a picker does; if it is not to, add --plaintext")]
    Tls { target: String, source: Arc<io::Error> },
    #[error("{target} speaks TLS, but not HTTP/2: it did not agree to the protocol h2")]
    NotHttp2 { target: String },
    #[error("{target} does not speak HTTP/2{}", if *.plaintext { "; if it speaks TLS, leave out --plaintext" } else { "" })]
    Http2 { target: String, plaintext: bool, source: Option<Arc<h2::Error>> },
    #[error("{target} did not {} within {CONNECT_TIMEOUT:?}{}", .step, if *.plaintext { "; if it speaks TLS, leave out --plaintext" } else { "" })]
    Timeout { target: String, step: &'static str, plaintext: bool },
}

/// How to reach the picker.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// `host:port`.
    pub(super) address: String,
    /// None: plaintext.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// The connection of one thread.
#[derive(Debug)]
pub(super) struct Link {
    target: Target,
    request: Request<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Up(Up),
    Down { since: Instant, cause: ConnectError },
}

#[derive(Debug)]
struct Up {
    client: SendRequest<Bytes>,
    driver: AbortHandle,
}

/// An opened stream.
pub(super) type Opened = (h2::client::ResponseFuture, SendStream<Bytes>);

impl Link {
    /// Connects, and sees whether HTTP/2 is spoken there. Call it within a `LocalSet`.
    pub(super) async fn open(target: Target) -> Result<Self, ConnectError> {
        let scheme = if target.tls.is_some() { "https" } else { "http" };
        let request = Request::post(format!("{scheme}://{}{PROCESS}", target.address))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("x-envoy-internal", "true")
            .header("x-forwarded-for", "127.0.0.1")
            .body(())
            .map_err(|error| ConnectError::Resolve {
                host: target.address.clone(),
                source: Arc::new(io::Error::other(error)),
            })?;
        let state = Mutex::new(State::Up(connect(&target).await?));
        Ok(Self { target, request, state })
    }

    /// Opens a stream, over a new connection if the old one takes none.
    pub(super) async fn stream(&self) -> Result<Opened, Fault> {
        let mut state = self.state.lock().await;
        if let State::Up(up) = &mut *state
            && let Some(opened) = self.stream_on(up).await
        {
            return Ok(opened);
        }
        if let State::Down { since, cause } = &*state
            && clock::now().saturating_duration_since(*since) < RECONNECT_AFTER
        {
            return Err(Fault::connect(cause));
        }
        match connect(&self.target).await {
            Ok(mut up) => {
                let opened = self.stream_on(&mut up).await;
                *state = State::Up(up);
                opened.ok_or_else(|| Fault::ConnectionLost { cause: "at once".to_owned() })
            }
            Err(cause) => {
                let fault = Fault::connect(&cause);
                *state = State::Down { since: clock::now(), cause };
                Err(fault)
            }
        }
    }

    async fn stream_on(&self, up: &mut Up) -> Option<Opened> {
        // A handle of its own for each stream: it would else wait until the last one is on its way.
        let mut client = up.client.clone().ready().await.ok()?;
        client.send_request(self.request.clone(), false).ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let State::Up(up) = self.state.get_mut() {
            up.driver.abort();
        }
    }
}

impl Fault {
    fn connect(error: &ConnectError) -> Self {
        Self::Connect { cause: crate::logging::chain(error) }
    }
}

async fn connect(target: &Target) -> Result<Up, ConnectError> {
    let name = &target.address;
    let plaintext = target.tls.is_none();
    let late = |step| ConnectError::Timeout { target: name.clone(), step, plaintext };
    let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect(name));
    let tcp = tcp.await.map_err(|_| late("take the connection"))?;
    let tcp = tcp
        .and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
        .map_err(|source| ConnectError::Tcp { target: name.clone(), source: Arc::new(source) })?;
    let Some(config) = &target.tls else { return http2(target, tcp).await };
    let host = name.rsplit_once(':').map_or(name.as_str(), |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let server = ServerName::try_from(host.to_owned()).map_err(|error| ConnectError::Resolve {
        host: host.to_owned(),
        source: Arc::new(io::Error::other(error)),
    })?;
    let tls = TlsConnector::from(Arc::clone(config)).connect(server, tcp);
    let tls = timeout(CONNECT_TIMEOUT, tls).await.map_err(|_| late("finish the TLS handshake"))?;
    let tls =
        tls.map_err(|source| ConnectError::Tls { target: name.clone(), source: Arc::new(source) })?;
    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(ConnectError::NotHttp2 { target: name.clone() });
    }
    http2(target, tls).await
}

async fn http2<T>(target: &Target, io: T) -> Result<Up, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    // None: closed without a word.
    let failed = |source: Option<h2::Error>| ConnectError::Http2 {
        target: target.address.clone(),
        plaintext: target.tls.is_none(),
        source: source.map(Arc::new),
    };
    let (client, mut connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .enable_push(false)
        .handshake::<T, Bytes>(io)
        .await
        .map_err(|error| failed(Some(error)))?;
    let ping = connection.ping_pong();
    let mut driver = tokio::task::spawn_local(connection);
    let abort = driver.abort_handle();
    // The handshake only sends. A ping that comes back shows that the other side speaks HTTP/2.
    let answered = async {
        match ping {
            Some(mut ping) => ping.ping(Ping::opaque()).await.map(drop).map_err(Some),
            None => Ok(()),
        }
    };
    let answered = tokio::select! {
        answered = timeout(CONNECT_TIMEOUT, answered) => answered,
        // The connection's own error says more than the ping's.
        ended = &mut driver => Ok(Err(ended.ok().and_then(Result::err))),
    };
    match answered {
        Ok(Ok(())) => Ok(Up { client, driver: abort }),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(ConnectError::Timeout {
            target: target.address.clone(),
            step: "answer a ping",
            plaintext: target.tls.is_none(),
        }),
    }
}

/// Reads what a response still holds of a picker's last words.
pub(super) fn release(stream: &mut RecvStream, bytes: usize) {
    // An error means that the stream has ended, and with it the need for credit.
    let _ = stream.flow_control().release_capacity(bytes);
}
