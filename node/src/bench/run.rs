//! A run: connect, watch the idle processes, start the load, watch the processes under it, add up.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::link::Target;
use super::processes::{Process, ProcessError, Reading};
use super::report::{Cost, Report};
use super::settings::Settings;
use super::tally::{Tally, Window};
use super::tls;
use super::worker::{Orders, Start, WorkerError, work};
use super::workload::Workload;
use crate::clock;

/// From the last word to the workers to the first request: they all have to be listening.
const START_AFTER: Duration = Duration::from_millis(20);

/// How often memory is looked at, for its peak.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("cannot set up TLS")]
    Tls { source: rustls::Error },
    #[error("cannot start a thread")]
    Thread { source: std::io::Error },
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// Makes the run that `settings` describes. Takes as long as they say, and a little longer.
pub fn run(settings: Settings) -> Result<Report, BenchError> {
    let settings = Arc::new(settings);
    let processes =
        settings.processes.iter().map(|id| Process::find(*id)).collect::<Result<Vec<_>, _>>()?;
    let own = Process::own()?;
    let workers = Workers::connect(&settings)?;
    let all: Vec<&Process> = processes.iter().chain([&own]).collect();
    let idle = watch_idle(&all, settings.idle);
    let at = clock::now() + START_AFTER;
    let start = at + settings.warm_up;
    let window = Window { start, end: start + settings.duration };
    let threads = workers.start(Start { at, window });
    let mut costs = watch(&all, window, &idle);
    let tally = add_up(threads, window)?;
    let generator = costs.pop();
    Ok(Report::new(&settings, &tally, &costs, generator.as_ref()))
}

/// The threads that make the load.
struct Workers {
    threads: Vec<JoinHandle<Option<Tally>>>,
    starts: Vec<oneshot::Sender<Start>>,
}

impl Workers {
    fn connect(settings: &Arc<Settings>) -> Result<Self, BenchError> {
        let tls = if settings.plaintext {
            None
        } else {
            Some(tls::any_certificate().map_err(|source| BenchError::Tls { source })?)
        };
        let target = Target { address: settings.target.clone(), tls };
        let workload = Arc::new(Workload::new(&settings.request, settings.answer, settings.seed));
        let (connected, words) = mpsc::channel();
        let mut threads = Vec::new();
        let mut starts = Vec::new();
        for nth in 0..settings.connections {
            let (start, starting) = oneshot::channel();
            let orders = Orders {
                target: target.clone(),
                settings: Arc::clone(settings),
                workload: Arc::clone(&workload),
                nth,
                connected: connected.clone(),
                start: starting,
            };
            let thread = thread::Builder::new().name(format!("bench-{nth}"));
            threads.push(
                thread
                    .spawn(move || work(orders))
                    .map_err(|source| BenchError::Thread { source })?,
            );
            starts.push(start);
        }
        drop(connected);
        for _ in 0..settings.connections {
            words.recv().map_err(|_| WorkerError::Ended)??;
        }
        Ok(Self { threads, starts })
    }

    fn start(self, start: Start) -> Vec<JoinHandle<Option<Tally>>> {
        for worker in self.starts {
            // A worker that has ended is noticed when its counts are asked for.
            let _ = worker.send(start);
        }
        self.threads
    }
}

/// Waits for all workers.
fn add_up(threads: Vec<JoinHandle<Option<Tally>>>, window: Window) -> Result<Tally, WorkerError> {
    let mut sum = Tally::new(window);
    for thread in threads {
        sum.add(thread.join().ok().flatten().ok_or(WorkerError::Ended)?);
    }
    Ok(sum)
}

/// Cores that each process takes without load; none if nobody asked.
fn watch_idle(processes: &[&Process], time: Duration) -> Vec<Option<f64>> {
    if time.is_zero() {
        return vec![None; processes.len()];
    }
    let read = || processes.iter().map(|process| process.read().ok()).collect::<Vec<_>>();
    let before = read();
    let since = clock::now();
    thread::sleep(time);
    let after = read();
    let elapsed = clock::now().saturating_duration_since(since);
    let cores = |(before, after): (Option<Reading>, Option<Reading>)| {
        Some(after?.cpu.saturating_sub(before?.cpu).as_secs_f64() / elapsed.as_secs_f64())
    };
    before.into_iter().zip(after).map(cores).collect()
}

/// What each process costs within `window`.
fn watch(processes: &[&Process], window: Window, idle: &[Option<f64>]) -> Vec<Cost> {
    sleep_until(window.start);
    let before: Vec<_> = processes.iter().map(|process| process.read().ok()).collect();
    let since = clock::now();
    let mut peaks: Vec<u64> =
        before.iter().map(|read| read.map_or(0, |read| read.rss_bytes)).collect();
    let mut after = before.clone();
    loop {
        let next = clock::now() + LOOK_EVERY;
        sleep_until(next.min(window.end));
        let last = window.end <= next;
        for ((process, after), peak) in processes.iter().zip(&mut after).zip(&mut peaks) {
            *after = process.read().ok();
            *peak = after.map_or(*peak, |read| read.rss_bytes.max(*peak));
        }
        if last {
            break;
        }
    }
    let elapsed = clock::now().saturating_duration_since(since);
    let readings = before.into_iter().zip(after).zip(peaks.into_iter().zip(idle));
    processes
        .iter()
        .zip(readings)
        .map(|(process, ((before, after), (rss_peak_bytes, idle_cores)))| Cost {
            pid: process.id,
            command: process.command.clone(),
            before,
            after,
            elapsed,
            rss_peak_bytes,
            idle_cores: *idle_cores,
        })
        .collect()
}

fn sleep_until(time: Instant) {
    thread::sleep(time.saturating_duration_since(clock::now()));
}
