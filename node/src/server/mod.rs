//! The ext_proc port: listener, TLS, one thread per core, one task per connection.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustls_server::ServerConfig;
use socket2::TcpKeepalive;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    extproc::Service, health::Readiness, http2::Limits, metrics::Bound, watchdog::Heartbeat,
};

mod thread;

use thread::{Handle, Shared, Thread};

mod connection;

mod streams;

mod refusals;

pub mod tls;

pub mod renewal;

pub mod bounds;

/// How connections are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// No new streams; those that are open go on.
    GoingAway,
    /// Streams end as soon as nothing is lost by it.
    Leaving,
}

/// Settings of the port.
#[derive(Clone)]
pub struct Settings {
    pub tls: Option<Arc<ServerConfig>>,
    pub limits: Limits,
    /// Whether the port also answers gRPC health checks.
    pub serves_health: bool,
    pub connection_age_max: Option<Duration>,
    pub threads: NonZeroUsize,
}

/// The port, being served.
pub struct Server {
    threads: Arc<Vec<Handle>>,
    phase: watch::Sender<Phase>,
    opened: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves `listener`. The listener is accepting before anyone can be told that it does.
    pub fn start(
        listener: TcpListener,
        settings: Settings,
        service: Arc<Service>,
        readiness: Readiness,
    ) -> io::Result<Self> {
        let (phase, told) = watch::channel(Phase::Serving);
        let opened = Arc::<AtomicU64>::default();
        let shared = Shared {
            service: Arc::clone(&service),
            tls: settings.tls,
            limits: settings.limits,
            readiness,
            serves_health: settings.serves_health,
            connection_age_max: settings.connection_age_max,
            phase: told,
            opened: Arc::clone(&opened),
        };
        let threads: Vec<Handle> = (0..settings.threads.get())
            .map(|number| Handle::start(number, shared.clone()))
            .collect::<io::Result<_>>()?;
        let threads = Arc::new(threads);
        let accepting = accept(listener, Arc::clone(&threads), service);
        Ok(Self { threads, phase, opened, accepting })
    }

    /// One for each thread, for the watchdog.
    pub fn heartbeats(&self) -> Vec<Heartbeat> {
        self.threads.iter().map(|thread| thread.heartbeat.clone()).collect()
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.threads.iter().map(Handle::connections).sum()
    }

    /// Exchanges opened since the start.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Accepts no further connections and asks those that are open to go.
    pub fn go_away(&self) {
        self.accepting.abort();
        self.phase.send_replace(Phase::GoingAway);
    }

    /// Ends streams as soon as nothing is lost by it.
    pub fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Hands each connection to the thread that has the fewest.
///
/// Gateways open one connection for each of their own workers and keep it, so an even spread of
/// connections is an even spread of load; the kernel's own spread over several listeners is random.
///
/// Beyond the bound on connections they are closed at once, which a gateway sees; one that were left
/// lying would look like a replica that hangs.
#[expect(clippy::disallowed_methods, reason = "owned by the server, and ends with it")]
fn accept(
    listener: TcpListener,
    threads: Arc<Vec<Handle>>,
    service: Arc<Service>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut full = false;
        loop {
            let socket = match listener.accept().await {
                Ok((socket, _peer)) => socket,
                Err(error) => {
                    // Out of file descriptors, most likely: others may come free.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(socket) = prepare(socket) else { continue };
            let place = service.bounds.connect();
            if full != place.is_none() {
                full = place.is_none();
                tell(full, service.bounds.limits().connections_max);
            }
            let Some(place) = place else {
                service.streams.refused_by(Bound::Connections);
                continue;
            };
            let idlest = threads.iter().min_by_key(|thread| thread.connections());
            if !idlest.is_some_and(|thread| thread.take_up((socket, place))) {
                service.streams.refused_by(Bound::Connections);
                tracing::warn!("a connection was dropped: the serving thread does not keep up");
            }
        }
    })
}

/// Says once that connections are refused, and once that they are not any more.
fn tell(full: bool, connections_max: u32) {
    if full {
        tracing::warn!(connections_max, "connections beyond --connections-max are closed");
    } else {
        tracing::info!("there is room for connections again");
    }
}

/// Makes a fresh connection fit for small messages, and for noticing that its peer is gone: a
/// gateway whose node was lost says no goodbye.
fn prepare(socket: TcpStream) -> io::Result<std::net::TcpStream> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket2::SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    socket.into_std()
}

/// Binds `address`. The port can be taken over at once from a process that has just ended.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}
