//! Serving threads: each runs its connections alone, so that nothing on the way of a pick is shared
//! between cores but what is published.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustls_server::ServerConfig;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::LocalSet,
};

use super::{
    Phase,
    bounds::Place,
    connection::Driver,
    tls::{self, is_only_a_probe},
};
use crate::{
    budget::Budget,
    clock,
    extproc::{Desk, Service},
    health::Readiness,
    http2::Limits,
    metrics::StreamMetrics,
    watchdog::Heartbeat,
};

/// A gateway that has not finished its handshake by then is not one.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Connections accepted and not yet taken up by their thread. Beyond it they are dropped: the
/// thread is not keeping up with what it has.
const WAITING_MAX: usize = 1024;

/// What all serving threads share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) service: Arc<Service>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) limits: Limits,
    pub(super) readiness: Readiness,
    pub(super) serves_health: bool,
    pub(super) connection_age_max: Option<Duration>,
    pub(super) phase: watch::Receiver<Phase>,
    /// Exchanges opened since the start.
    pub(super) opened: Arc<AtomicU64>,
}

/// A serving thread, seen from within.
pub(super) struct Thread {
    pub(super) desk: RefCell<Desk>,
    pub(super) readiness: Readiness,
    pub(super) heartbeat: Heartbeat,
    shared: Shared,
}

impl Thread {
    pub(super) fn new(shared: Shared, heartbeat: Heartbeat) -> Self {
        let desk = Desk::new(Arc::clone(&shared.service), fastrand::Rng::new());
        let readiness = shared.readiness.clone();
        Self { desk: RefCell::new(desk), readiness, heartbeat, shared }
    }

    /// Counts an exchange in.
    pub(super) fn note_opened(&self) {
        self.shared.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn limits(&self) -> Limits {
        self.shared.limits.clone()
    }

    /// Where connections count what is on its way through them.
    pub(super) fn transit(&self) -> Budget {
        self.shared.service.bounds.transit().clone()
    }

    pub(super) fn serves_health(&self) -> bool {
        self.shared.serves_health
    }
}

/// A connection that was accepted, and its place among all.
type Accepted = (std::net::TcpStream, Place);

/// A serving thread, seen from the listener.
pub(super) struct Handle {
    sockets: mpsc::Sender<Accepted>,
    connections: Arc<AtomicUsize>,
    pub(super) heartbeat: Heartbeat,
}

impl Handle {
    /// Starts a thread.
    pub(super) fn start(number: usize, shared: Shared) -> io::Result<Self> {
        let (sockets, taken) = mpsc::channel(WAITING_MAX);
        let connections = Arc::<AtomicUsize>::default();
        let heartbeat = Heartbeat::default();
        let (counted, beating) = (Arc::clone(&connections), heartbeat.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, run(shared, taken, counted, beating));
        })?;
        Ok(Self { sockets, connections, heartbeat })
    }

    /// Connections that the thread has.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Hands a connection over; false if the thread does not keep up.
    pub(super) fn take_up(&self, accepted: Accepted) -> bool {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let taken = self.sockets.try_send(accepted).is_ok();
        if !taken {
            self.connections.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }
}

/// Counts a connection until it is dropped, which a panic in its task does too.
struct Counted {
    connections: Arc<AtomicUsize>,
    metrics: StreamMetrics,
    _place: Place,
}

impl Counted {
    /// The connection was counted among its thread's when it was handed over.
    fn new(connections: Arc<AtomicUsize>, metrics: StreamMetrics, place: Place) -> Self {
        metrics.connected();
        Self { connections, metrics, _place: place }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.disconnected();
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn run(
    shared: Shared,
    mut sockets: mpsc::Receiver<Accepted>,
    connections: Arc<AtomicUsize>,
    heartbeat: Heartbeat,
) {
    let thread = Rc::new(Thread::new(shared, heartbeat.clone()));
    tokio::task::spawn_local(async move {
        let mut beats = tokio::time::interval(Heartbeat::INTERVAL);
        loop {
            beats.tick().await;
            heartbeat.beat();
        }
    });
    while let Some((socket, place)) = sockets.recv().await {
        let (thread, connections) = (Rc::clone(&thread), Arc::clone(&connections));
        tokio::task::spawn_local(async move {
            let metrics = thread.shared.service.streams.clone();
            let _counted = Counted::new(connections, metrics, place);
            if let Err(error) = serve(socket, thread).await {
                tracing::debug!(%error, "a gateway's connection was lost");
            }
        });
    }
}

async fn serve(socket: std::net::TcpStream, thread: Rc<Thread>) -> io::Result<()> {
    let socket = TcpStream::from_std(socket)?;
    let shared = thread.shared.clone();
    let ends_at = thread.ends_at(clock::now());
    let Some(config) = shared.tls else {
        return Driver::new(socket, thread, ends_at).serve(shared.phase).await;
    };
    let handshake = tokio::time::timeout(HANDSHAKE_MAX, tls::accept(socket, config));
    let socket = match handshake.await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            if !is_only_a_probe(&error) {
                shared.service.streams.handshake_failed();
                tracing::debug!(%error, "a TLS handshake failed");
            }
            return Ok(());
        }
        Err(_late) => {
            shared.service.streams.handshake_failed();
            return Ok(());
        }
    };
    Driver::new(socket, thread, ends_at).serve(shared.phase).await
}

impl Thread {
    /// When a connection made at `now` is asked to go. Spread over a fifth, so that those made
    /// together do not all come back together.
    fn ends_at(&self, now: Instant) -> Option<Instant> {
        let age_max = self.shared.connection_age_max?;
        let spread = 0.9 + 0.2 * fastrand::f64();
        Some(now + age_max.mul_f64(spread))
    }
}
