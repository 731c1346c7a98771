//! Connections: accepting them, keeping them, and cutting them as a dying server would.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::http;
use super::server::Shared;

/// How long to wait when the process has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Accepts connections until dropped. Beyond the bound, clients wait in the listen queue.
pub(super) async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.settings.connections_max));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let shared = Arc::clone(shared);
        connections.spawn(async move {
            serve(&shared, stream).await;
            drop(place);
        });
    }
}

/// What the requests of one connection can do to it.
#[derive(Debug, Default)]
pub(super) struct Fate {
    reset: AtomicBool,
    commands: AtomicBool,
}

impl Fate {
    /// Resets the connection as soon as it is touched or dropped.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// Notes that a command came in here: its answer is owed even by a server that restarts.
    pub(super) fn carries_commands(&self) {
        self.commands.store(true, Ordering::Release);
    }

    fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }
}

async fn serve(shared: &Arc<Shared>, stream: TcpStream) {
    let _connected = shared.connected();
    // Without it each token of a stream may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let fate = Arc::new(Fate::default());
    let mut life = shared.life();
    let service = service_fn(|request| {
        let (shared, fate) = (Arc::clone(shared), Arc::clone(&fate));
        async move { Ok::<_, Infallible>(http::answer(&shared, &fate, request).await) }
    });
    let socket = TokioIo::new(Socket { stream, fate: Arc::clone(&fate) });
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(socket, service));
    // An error here is the client's end of the connection, or a reset that was commanded.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = life.changed() => {}
    }
    if fate.commands.load(Ordering::Acquire) {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    } else {
        fate.reset();
    }
}

/// A TCP stream that ends with a reset if its [`Fate`] says so.
struct Socket {
    stream: TcpStream,
    fate: Arc<Fate>,
}

impl Socket {
    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        if self.fate.is_reset() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(Pin::new(&mut self.get_mut().stream))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.fate.is_reset() {
            // With no time to linger, closing sends a reset instead of an orderly end.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
