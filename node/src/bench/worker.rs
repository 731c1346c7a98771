//! One thread with one connection, as a worker of Envoy has.
//!
//! Owns: its connection, its timer, its counts. Shares nothing that changes with other workers; their counts are
//! added up when all have ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use super::arrivals::Schedule;
use super::exchange::Exchange;
use super::link::{ConnectError, Link, Target};
use super::metronome::Metronome;
use super::settings::{Load, Settings};
use super::tally::{Tally, Window};
use super::workload::Workload;
use crate::clock;

/// Before the next request of a slot whose last one failed: a picker that is gone fails each at once.
const AFTER_FAULT: Duration = Duration::from_millis(20);

/// Picks whose answers' headers are kept. A pool seldom has more endpoints.
const ANSWER_HEADERS_KEPT_MAX: usize = 1024;

/// Why a worker could not work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot make the runtime or the timer of a connection")]
    Runtime { source: io::Error },
    #[error("a connection's thread ended")]
    Ended,
}

/// When to begin, and what to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) at: Instant,
    pub(super) window: Window,
}

/// What a worker is told before it begins.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) target: Target,
    pub(super) settings: Arc<Settings>,
    pub(super) workload: Arc<Workload>,
    /// Which of the workers this is.
    pub(super) nth: usize,
    /// Takes the word that the connection is up.
    pub(super) connected: std::sync::mpsc::Sender<Result<(), WorkerError>>,
    pub(super) start: oneshot::Receiver<Start>,
}

/// A worker at work.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) link: Link,
    pub(super) settings: Arc<Settings>,
    pub(super) workload: Arc<Workload>,
    metronome: Metronome,
    tally: RefCell<Tally>,
    answer_headers: RefCell<BTreeMap<String, Bytes>>,
    in_flight: Cell<usize>,
    nth: usize,
}

/// Connects, waits for the start, works to the end. None if there is no start, or no connection.
pub(super) fn work(orders: Orders) -> Option<Tally> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => LocalSet::new().block_on(&runtime, connect_and_work(orders)),
        Err(source) => {
            // Nobody waits for the word when the run was given up.
            let _ = orders.connected.send(Err(WorkerError::Runtime { source }));
            None
        }
    }
}

async fn connect_and_work(orders: Orders) -> Option<Tally> {
    let (link, metronome) = match connect(orders.target).await {
        Ok(made) => made,
        Err(error) => {
            let _ = orders.connected.send(Err(error));
            return None;
        }
    };
    orders.connected.send(Ok(())).ok()?;
    drop(orders.connected);
    let start = orders.start.await.ok()?;
    let worker = Rc::new(Worker {
        link,
        settings: orders.settings,
        workload: orders.workload,
        metronome,
        tally: RefCell::new(Tally::new(start.window)),
        answer_headers: RefCell::default(),
        in_flight: Cell::new(0),
        nth: orders.nth,
    });
    tokio::select! {
        () = worker.run(start) => {}
        _ = worker.metronome.run() => {}
    }
    let empty = Tally::new(start.window);
    Some(worker.tally.replace(empty))
}

async fn connect(target: Target) -> Result<(Link, Metronome), WorkerError> {
    let metronome = Metronome::new().map_err(|source| WorkerError::Runtime { source })?;
    Ok((Link::open(target).await?, metronome))
}

impl Worker {
    async fn run(self: &Rc<Self>, start: Start) {
        let mut running = JoinSet::new();
        match self.settings.load {
            Load::Open { per_second, arrivals } => {
                let part = (self.nth, self.settings.connections);
                let seed = self.settings.seed;
                let schedule = Schedule::new((arrivals, per_second), part, seed, start.at);
                self.keep_rate(schedule, start.window.end, &mut running).await;
            }
            Load::Closed { concurrency } => {
                for slot in (self.nth..concurrency).step_by(self.settings.connections) {
                    let worker = Rc::clone(self);
                    running.spawn_local(async move {
                        worker.keep_busy(slot, concurrency, start).await;
                    });
                }
            }
        }
        // Each exchange has its own limit; this one only makes sure.
        let left = self.time_limit() + start.window.end.saturating_duration_since(clock::now());
        let _ = timeout(left + Duration::from_secs(1), async {
            while running.join_next().await.is_some() {}
        })
        .await;
    }

    /// Sends requests when they are due, however slowly they are answered.
    async fn keep_rate(
        self: &Rc<Self>,
        schedule: Schedule,
        end: Instant,
        running: &mut JoinSet<()>,
    ) {
        let in_flight_max = self.settings.in_flight_max.div_ceil(self.settings.connections);
        for (due, nth) in schedule.take_while(|(due, _)| *due < end) {
            self.sleep_until(due).await;
            while running.try_join_next().is_some() {}
            if in_flight_max <= self.in_flight.get() {
                self.tally.borrow_mut().leaves_out(due);
                // The stalled exchanges need this thread to get on.
                tokio::task::yield_now().await;
                continue;
            }
            let worker = Rc::clone(self);
            self.in_flight.update(|count| count + 1);
            running.spawn_local(async move {
                worker.exchange(due, nth).await;
                worker.in_flight.update(|count| count - 1);
            });
        }
    }

    /// Sends one request after another.
    async fn keep_busy(&self, slot: usize, concurrency: usize, start: Start) {
        self.sleep_until(start.at).await;
        for nth in (slot..).step_by(concurrency) {
            let due = clock::now();
            if start.window.end <= due {
                return;
            }
            if !self.exchange(due, u64::try_from(nth).unwrap_or(u64::MAX)).await {
                sleep(AFTER_FAULT).await;
            }
        }
    }

    /// True if it went well.
    async fn exchange(&self, due: Instant, nth: u64) -> bool {
        self.tally.borrow_mut().sends(due, clock::now());
        let result = Exchange::new(self, due).run(nth).await;
        let went_well = result.is_ok();
        self.tally.borrow_mut().ends(due, result, clock::now());
        went_well
    }

    /// How long an exchange may take.
    pub(super) fn time_limit(&self) -> Duration {
        self.settings.timeout.saturating_add(self.settings.answer.playing_time())
    }

    /// Waits until `until`.
    pub(super) async fn sleep_until(&self, until: Instant) {
        if self.metronome.sleep_until(until).await.is_err() {
            // Without the kernel's timer the runtime's has to do.
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// A token of the exchange that was due at `due` came back `after` it was sent.
    pub(super) fn note_token(&self, due: Instant, after: Duration) {
        self.tally.borrow_mut().token(due, after);
    }

    /// The headers of an answer by `pick`.
    pub(super) fn answer_headers(&self, pick: &str) -> Bytes {
        let mut kept = self.answer_headers.borrow_mut();
        if let Some(message) = kept.get(pick) {
            return message.clone();
        }
        let message = self.workload.answer_headers(pick);
        if kept.len() < ANSWER_HEADERS_KEPT_MAX {
            kept.insert(pick.to_owned(), message.clone());
        }
        message
    }
}
