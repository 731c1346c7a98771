//! One simulated server: its engine under a lock, and the task that drives it.
//!
//! The lock is held for the length of one call into the engine. Prompts are hashed and answers
//! written outside of it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::adapters::Known;
use super::connection;
use super::control::{Command, Faults};
use super::engine::{Engine, Progress, Request, SequenceId};
use super::metrics_page::{MetricsPage, Vitals};
use super::settings::Settings;

/// A server that is bound and not yet running.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Server {
    /// Binds `address`; port 0 finds a free one.
    pub async fn bind(address: SocketAddr, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let shared = Shared::new(listener.local_addr()?, settings);
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Serves until dropped; all connections end then.
    pub async fn run(self) {
        let Self { listener, shared } = self;
        tokio::join!(drive(&shared), connection::accept(&listener, &shared));
    }
}

/// What a server counted since its start, `GET /control/statistics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    pub address: SocketAddr,
    pub model: String,
    /// How often it restarted.
    pub life: u64,
    pub ready: bool,
    /// Requests for text that were accepted, and sequences that they became.
    pub requests: u64,
    pub sequences: u64,
    /// Requests for text that were refused, for their content or because a fault said so.
    pub refused: u64,
    pub finished: u64,
    pub aborted: u64,
    pub running: u64,
    pub waiting: u64,
    pub running_peak: u64,
    pub waiting_peak: u64,
    /// Tokens of the prompts that were looked up in the cache, and how many it held.
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub generated_tokens: u64,
    pub preemptions: u64,
    pub blocks: u64,
    pub blocks_used: u64,
    pub blocks_cached: u64,
    pub adapters_known: Vec<String>,
    pub adapters_loaded: Vec<String>,
    pub connections: u64,
    pub scrapes: u64,
}

/// What connections and driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: SocketAddr,
    /// The address as the header that tells who answered.
    pub(super) served_by: HeaderValue,
    pub(super) settings: Settings,
    page: MetricsPage,
    core: Mutex<Core>,
    faults: Mutex<Faults>,
    /// Tells the driver that there is something to do.
    work: Notify,
    /// Counts restarts. Connections end when it changes.
    life: watch::Sender<u64>,
    connections: AtomicU64,
}

#[derive(Debug)]
struct Core {
    engine: Engine,
    adapters: Known,
    sinks: HashMap<SequenceId, Sink>,
    started: Instant,
    started_wall: Duration,
    requests: u64,
    refused: u64,
    scrapes: u64,
}

/// Where the progress of a sequence goes: to one place of its API request's list.
#[derive(Debug)]
struct Sink {
    reached: Arc<watch::Sender<Vec<Progress>>>,
    choice: usize,
}

/// The sequences of one API request. Those that run when it is dropped are aborted.
#[derive(Debug)]
pub(super) struct Ticket {
    shared: Arc<Shared>,
    life: u64,
    sequences: Vec<SequenceId>,
    pub(super) reached: watch::Receiver<Vec<Progress>>,
}

impl Core {
    fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            engine: Engine::new(settings.engine.clone()),
            adapters: Known::new(&settings.adapters),
            sinks: HashMap::new(),
            started: now,
            started_wall: wall(),
            requests: 0,
            refused: 0,
            scrapes: 0,
        }
    }

    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }
}

impl Shared {
    fn new(address: SocketAddr, settings: Settings) -> Self {
        let now = Instant::now();
        let served_by = HeaderValue::from_str(&address.to_string());
        Self {
            address,
            served_by: served_by.expect("an address is visible ASCII"),
            page: MetricsPage::new(&settings),
            core: Mutex::new(Core::new(&settings, now)),
            faults: Mutex::new(Faults::starting(now, settings.slow_start)),
            settings,
            work: Notify::new(),
            life: watch::Sender::new(0),
            connections: AtomicU64::new(0),
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong at the moment.
    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `read` with the adapters that the server knows.
    pub(super) fn with_adapters<T>(&self, read: impl FnOnce(&mut Known) -> T) -> T {
        read(&mut self.core().adapters)
    }

    /// Queues the sequences of one API request.
    pub(super) fn submit(self: &Arc<Self>, requests: Vec<Request>) -> Ticket {
        let (sender, reached) = watch::channel(vec![Progress::default(); requests.len()]);
        let sender = Arc::new(sender);
        let mut core = self.core();
        let now = core.time(Instant::now());
        core.requests += 1;
        let mut sequences = Vec::with_capacity(requests.len());
        for (choice, request) in requests.into_iter().enumerate() {
            let id = core.engine.submit(request, now);
            core.sinks.insert(id, Sink { reached: Arc::clone(&sender), choice });
            sequences.push(id);
        }
        // Read under the lock: a restart takes the same lock to end this life.
        let life = *self.life.borrow();
        drop(core);
        self.work.notify_one();
        Ticket { shared: Arc::clone(self), life, sequences, reached }
    }

    /// Counts a request for text that was refused.
    pub(super) fn count_refusal(&self) {
        self.core().refused += 1;
    }

    /// Carries out a command.
    pub(super) fn command(&self, command: &Command) {
        let now = Instant::now();
        self.faults().apply(command, now);
        if *command == (Command::RestartEmpty {}) {
            let mut core = self.core();
            *core = Core::new(&self.settings, now);
            self.life.send_modify(|life| *life += 1);
        }
    }

    /// Changes when the server restarts.
    pub(super) fn life(&self) -> watch::Receiver<u64> {
        self.life.subscribe()
    }

    /// Counts a connection in, until the guard is dropped.
    pub(super) fn connected(&self) -> Connected<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connected(&self.connections)
    }

    /// The metrics page of this moment.
    pub(super) fn metrics_page(&self) -> String {
        let mut core = self.core();
        core.scrapes += 1;
        let vitals = Vitals {
            started: core.started_wall,
            uptime: core.time(Instant::now()),
            answered: core.requests,
            scrapes: core.scrapes,
        };
        self.page.render(&core.engine, &vitals)
    }

    /// Seconds since 1970 at which the process of this life started.
    pub(super) fn started(&self) -> u64 {
        self.core().started_wall.as_secs()
    }

    /// What was counted in this life.
    pub(super) fn statistics(&self) -> Statistics {
        let ready = self.faults().is_ready(Instant::now());
        let life = *self.life.borrow();
        let core = self.core();
        let counters = core.engine.counters();
        let cache = core.engine.cache();
        Statistics {
            address: self.address,
            model: self.settings.model.clone(),
            life,
            ready,
            requests: core.requests,
            sequences: counters.submitted,
            refused: core.refused,
            finished: counters.stopped + counters.cut_at_length,
            aborted: counters.aborted,
            running: core.engine.running() as u64,
            waiting: core.engine.waiting() as u64,
            running_peak: counters.running_peak,
            waiting_peak: counters.waiting_peak,
            prompt_tokens: counters.cache_queries,
            cached_tokens: counters.cache_hits,
            generated_tokens: counters.generation_tokens,
            preemptions: counters.preemptions,
            blocks: cache.capacity() as u64,
            blocks_used: cache.used() as u64,
            blocks_cached: cache.cached() as u64,
            adapters_known: core.adapters.iter().map(|(name, _)| name.to_owned()).collect(),
            adapters_loaded: core.engine.loaded_adapters().map(str::to_owned).collect(),
            connections: self.connections.load(Ordering::Relaxed),
            scrapes: core.scrapes,
        }
    }
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Connected<'a>(&'a AtomicU64);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut core = self.shared.core();
        if *self.shared.life.borrow() != self.life {
            return;
        }
        let now = core.time(Instant::now());
        for id in &self.sequences {
            if core.sinks.remove(id).is_some() {
                core.engine.cancel(*id, now);
            }
        }
    }
}

/// A driver that fell further behind than this, because its process was stopped, lets the lost
/// time be lost. Behind by less it catches up: timers wake a little late, steps are short.
const BEHIND_MAX: Duration = Duration::from_millis(200);

/// Steps the engine, each step when its time has come.
async fn drive(shared: &Shared) {
    let mut reached = Vec::new();
    let mut step_start = Instant::now();
    loop {
        let now = Instant::now();
        if step_start + BEHIND_MAX < now {
            step_start = now;
        }
        let Some(duration) = begin_step(shared, step_start) else {
            shared.work.notified().await;
            step_start = Instant::now();
            continue;
        };
        step_start += duration;
        if Instant::now() < step_start {
            tokio::time::sleep_until(step_start).await;
        } else {
            tokio::task::yield_now().await;
        }
        end_step(shared, step_start, &mut reached);
    }
}

fn begin_step(shared: &Shared, at: Instant) -> Option<Duration> {
    let mut core = shared.core();
    let at = core.time(at);
    core.engine.begin_step(at)
}

fn end_step(shared: &Shared, at: Instant, reached: &mut Vec<(SequenceId, Progress)>) {
    let mut core = shared.core();
    let at = core.time(at);
    core.engine.end_step(at, reached);
    for (id, progress) in reached.drain(..) {
        let Some(sink) = core.sinks.get(&id) else {
            continue;
        };
        sink.reached.send_modify(|choices| {
            if let Some(choice) = choices.get_mut(sink.choice) {
                *choice = progress;
            }
        });
        if progress.finish.is_some() {
            core.sinks.remove(&id);
        }
    }
}

/// Time since 1970.
#[expect(clippy::disallowed_methods, reason = "a simulated process has a start on the wall clock")]
pub(super) fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
