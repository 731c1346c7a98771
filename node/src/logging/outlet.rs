//! Where log lines go: to standard error, by a thread of its own.
//!
//! Whoever writes to a pipe that nobody reads stands still for ever. A thread that serves, or the
//! watchdog that is to end the process, must not be the one: lines that cannot be written are
//! dropped and counted.

use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tracing_subscriber::fmt::MakeWriter;

use crate::clock;

/// Bytes of lines that wait at most: some thousand lines. As many again are being written.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// What of a buffer is kept for the next lines.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// How long to rest when a pipe that somebody has made non-blocking is full.
const FULL_PIPE_REST: Duration = Duration::from_millis(10);

/// Takes lines without ever waiting. Clones are the same outlet.
#[derive(Clone, Debug)]
pub struct Outlet(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    written: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    waiting_lines: u64,
    /// Bytes taken since the start, and those of them that need not be waited for any more.
    taken: u64,
    done: u64,
    /// Lines that were dropped, of which the log does not tell yet.
    untold: u64,
}

impl Outlet {
    /// Writes to `to`, on a thread of its own that lives as long as the process. After lines were
    /// dropped and others could be written, `tell` is told how many were lost.
    pub(super) fn start(
        to: impl Write + Send + 'static,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let outlet = Self(Arc::default());
        let shared = Arc::clone(&outlet.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write(to, tell))?;
        Ok(outlet)
    }

    /// Shows in `registry` how many lines were lost.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "convoy_log_lines_dropped",
            "Log lines lost because nobody took them from standard error",
            self.0.dropped.clone(),
        );
    }

    /// Waits until all lines so far are written, for `within` at most.
    pub fn flush(&self, within: Duration) {
        let until = clock::now() + within;
        let mut state = self.0.lock();
        let taken = state.taken;
        while state.done < taken {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn put(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if WAITING_BYTES_MAX < state.waiting.len() + line.len() {
            state.untold += 1;
            self.0.dropped.inc();
            return;
        }
        state.waiting.extend_from_slice(line);
        state.waiting_lines += 1;
        state.taken += line.len() as u64;
        self.0.arrived.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut to: impl Write, tell: impl Fn(u64)) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() {
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            mem::swap(&mut batch, &mut state.waiting);
            let lines = mem::take(&mut state.waiting_lines);
            drop(state);

            let written = write_all(&mut to, &batch);

            let mut state = self.lock();
            state.done += batch.len() as u64;
            let untold = match written {
                Ok(()) => mem::take(&mut state.untold),
                // Telling of it would be lost as well.
                Err(_closed) => {
                    state.untold += lines;
                    self.dropped.inc_by(lines);
                    0
                }
            };
            self.written.notify_all();
            drop(state);
            batch.clear();
            batch.shrink_to(KEPT_BYTES_MAX);
            if 0 < untold {
                tell(untold);
            }
        }
    }
}

/// As [`Write::write_all`], also to a pipe that somebody else has made non-blocking.
fn write_all(to: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PIPE_REST),
            Err(error) => return Err(error),
        }
    }
    to.flush()
}

/// The subscriber writes each line at once.
impl Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes a batch of lines whenever the test lets it.
    struct Gate {
        open: mpsc::Receiver<io::Result<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().unwrap_or(Ok(()))?;
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Bench {
        outlet: Outlet,
        gate: mpsc::Sender<io::Result<()>>,
        written: Arc<Mutex<Vec<u8>>>,
        told: mpsc::Receiver<u64>,
    }

    fn bench() -> Bench {
        let (gate, open) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let written = Arc::default();
        let to = Gate { open, written: Arc::clone(&written) };
        let outlet = Outlet::start(to, move |lines| tell.send(lines).unwrap()).unwrap();
        Bench { outlet, gate, written, told }
    }

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn lines_are_written_in_order() {
        let Bench { outlet, gate, written, .. } = bench();
        drop(gate);
        outlet.put(b"one\n");
        outlet.put(b"two\n");
        outlet.flush(SOON);
        assert_eq!(&*written.lock().unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn nobody_waits_for_a_log_that_is_not_taken() {
        let Bench { outlet, gate, written, told } = bench();
        let line = [b'x'; 1024];
        let count = 4 * WAITING_BYTES_MAX / line.len();
        for _ in 0..count {
            outlet.put(&line);
        }
        outlet.flush(Duration::from_millis(1));
        assert!(written.lock().unwrap().is_empty());
        let dropped = outlet.0.dropped.get();
        // What waits, and what the thread had taken by then.
        assert!(count as u64 / 2 <= dropped, "{dropped} of {count}");
        drop(gate);
        outlet.flush(SOON);
        let kept = written.lock().unwrap().len() / line.len();
        assert_eq!(kept as u64 + dropped, count as u64);
        assert_eq!(told.recv_timeout(SOON).unwrap(), dropped);
    }

    #[test]
    fn a_log_that_was_closed_is_counted_and_told_of_only_when_that_can_be_read() {
        let Bench { outlet, gate, written, told } = bench();
        gate.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
        outlet.put(b"lost\n");
        outlet.flush(SOON);
        assert_eq!((outlet.0.dropped.get(), told.try_recv().ok()), (1, None));
        drop(gate);
        outlet.put(b"kept\n");
        outlet.flush(SOON);
        assert_eq!(&*written.lock().unwrap(), b"kept\n");
        assert_eq!(told.recv_timeout(SOON).unwrap(), 1);
    }
}
