//! The writing thread: the only one that changes what is on disk.
//!
//! It takes all requests that wait, writes them as one commit, syncs, and answers them: whoever came
//! while the disk was busy shares the next sync. Requests are carried out in the order in which they
//! came, votes and entries alike. After an error it writes nothing more, since nobody knows what the
//! disk holds then; the store has to be opened again.

use std::collections::BTreeMap;
use std::fs::File;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::changes::{Changes, Tree};
use super::engine::Engine;
use super::error::{WriteError, panic_text};
use super::figures::Counters;
use super::home::Home;
use super::job::{Done, Job, Waiting};
use super::record;
use super::recovery::Recovered;
use super::side::{self, Side};
use super::state::{Position, State, note_digest};
use super::{Shared, lock};
use crate::types::{Entry, LogId};

/// A commit takes no further requests once it has this many bytes.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Records that one step removes. sled stalls for a second over tens of thousands at once, and a
/// leader that stalls that long is none any more.
const SWEEP_RECORDS_MAX: usize = 256;

/// The thread's state.
pub(super) struct Writer {
    engine: Engine,
    file: File,
    side: Side,
    state: State,
    notes: BTreeMap<String, Bytes>,
    shared: Arc<Shared>,
    clock: fn() -> Instant,
    changes: Changes,
    /// The state differs from what is on disk.
    changed: bool,
    waiting: Vec<Waiting>,
    /// Records of purged entries may be left.
    sweeping: bool,
    files: [PathBuf; 3],
    home: Home,
}

impl Writer {
    pub(super) fn new(
        recovered: Recovered,
        shared: Arc<Shared>,
        clock: fn() -> Instant,
        home: Home,
    ) -> Self {
        let Recovered { engine, file, side, state, notes, .. } = recovered;
        let [first, second] = side::paths(&home.log());
        let files = [home.log().join("sled").join("db"), first, second];
        Self {
            engine,
            file,
            side,
            state,
            notes,
            shared,
            clock,
            changes: Changes::default(),
            changed: false,
            waiting: Vec::new(),
            sweeping: true,
            files,
            home,
        }
    }

    /// Serves requests until the last sender is gone, or one asks to close.
    pub(super) fn run(mut self, mut jobs: Receiver<Job>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.serve_all(&mut jobs)));
        let outcome =
            outcome.unwrap_or_else(|panic| Err(WriteError::Panic { said: panic_text(&*panic) }));
        let closing = match outcome {
            Ok(closing) => closing,
            Err(error) => self.refuse_all(error, &mut jobs),
        };
        jobs.close();
        // Closes sled, which writes once more. Nothing depends on that.
        let shared = Arc::clone(&self.shared);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            lock(&shared.engine).take();
            drop(self);
        }));
        if let Some(done) = closing {
            let _ = done.send(Ok(()));
        }
    }

    fn serve_all(&mut self, jobs: &mut Receiver<Job>) -> Result<Option<Done>, WriteError> {
        self.measure_disk();
        loop {
            let Some(mut job) = self.next(jobs)? else {
                self.commit()?;
                return Ok(None);
            };
            loop {
                if let Job::Close { done } = job {
                    self.changed = true;
                    self.commit()?;
                    return Ok(Some(done));
                }
                self.take(job)?;
                if COMMIT_BYTES_MAX <= self.changes.bytes() {
                    break;
                }
                match jobs.try_recv() {
                    Ok(next) => job = next,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            self.commit()?;
            self.sweep()?;
        }
    }

    /// The next request. While there is none, removes what was purged.
    fn next(&mut self, jobs: &mut Receiver<Job>) -> Result<Option<Job>, WriteError> {
        while self.sweeping {
            match jobs.try_recv() {
                Ok(job) => return Ok(Some(job)),
                Err(TryRecvError::Empty) => self.sweep()?,
                Err(TryRecvError::Disconnected) => return Ok(None),
            }
        }
        Ok(jobs.blocking_recv())
    }

    /// Adds what `job` asks for to the commit.
    fn take(&mut self, job: Job) -> Result<(), WriteError> {
        match job {
            Job::Append { entries, flushed, room } => {
                let outcome = entries.iter().try_for_each(|entry| self.append(entry));
                Counters::add(&self.shared.counters.entries, entries.len());
                self.waiting.push(Waiting::Append { flushed, _room: room });
                return outcome;
            }
            Job::Vote { vote, done } => {
                self.state.vote = Some(vote);
                self.waiting.push(Waiting::Other(done));
            }
            Job::Truncate { after, done } => {
                self.waiting.push(Waiting::Other(done));
                self.commit_pending()?;
                self.truncate(after)?;
            }
            Job::Purge { upto, done } => {
                self.waiting.push(Waiting::Other(done));
                self.commit_pending()?;
                self.purge(upto)?;
            }
            Job::Note { name, value, done } => {
                self.note(name, value);
                self.waiting.push(Waiting::Other(done));
            }
            Job::Close { .. } => {}
        }
        self.changed = true;
        Ok(())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), WriteError> {
        let found = entry.log_id.index;
        if let Some(expected) = self.state.next_index().filter(|&expected| expected != found) {
            return Err(WriteError::Hole { expected, found });
        }
        let written = record::write(entry, self.state.chain());
        for (key, value) in &written.parts {
            self.changes.put(Tree::Log, key, value);
        }
        self.state.last = Some(Position { log_id: entry.log_id, chain: written.chain });
        self.changed = true;
        if COMMIT_BYTES_MAX <= self.changes.bytes() {
            self.write_commit()?;
        }
        Ok(())
    }

    /// Removes from the end backwards, so that a crash leaves no hole.
    fn truncate(&mut self, after: Option<LogId>) -> Result<(), WriteError> {
        let from = after.map_or(0, |after| after.index + 1);
        let purged = self.state.purged.map_or(0, |purged| purged.log_id.index + 1);
        let from = from.max(purged);
        while let Some(last) = self.state.last.filter(|last| from <= last.log_id.index) {
            let mut lowest = last.log_id.index;
            for part in self.engine.parts(from).rev() {
                let (key, _) = part.map_err(|source| engine("read", source))?;
                let index = record::parse_key(&key).map_err(|source| missing(lowest, source))?.0;
                if index < lowest && SWEEP_RECORDS_MAX <= self.changes.count() {
                    break;
                }
                lowest = index;
                self.changes.delete(Tree::Log, &key);
            }
            self.state.last = match lowest.checked_sub(1).filter(|&before| purged <= before) {
                Some(before) => self.position(before)?,
                None => None,
            };
            self.changed = true;
            self.write_commit()?;
        }
        Ok(())
    }

    fn purge(&mut self, upto: LogId) -> Result<(), WriteError> {
        if self.state.purged.is_some_and(|purged| upto.index <= purged.log_id.index) {
            return Ok(());
        }
        let known = self.position(upto.index)?;
        let chain = known.map_or_else(|| record::root(upto), |position| position.chain);
        self.state.purged = Some(Position { log_id: upto, chain });
        self.state.last = self.state.last.filter(|last| upto.index < last.log_id.index);
        self.sweeping = true;
        Ok(())
    }

    fn note(&mut self, name: String, value: Option<Bytes>) {
        if let Some(before) = self.notes.remove(&name) {
            self.state.notes ^= note_digest(&name, &before);
        }
        let Some(value) = value else {
            self.changes.delete(Tree::Notes, name.as_bytes());
            return;
        };
        self.changes.put(Tree::Notes, name.as_bytes(), &value);
        self.state.notes ^= note_digest(&name, &value);
        self.notes.insert(name, value);
    }

    /// Where entry `index` stands, if the log holds it on disk.
    fn position(&self, index: u64) -> Result<Option<Position>, WriteError> {
        let held = self.state.last.is_some_and(|last| index <= last.log_id.index)
            && self.state.purged.is_none_or(|purged| purged.log_id.index < index);
        if !held {
            return Ok(None);
        }
        let part = self.engine.first_part(index).map_err(|source| engine("read", source))?;
        let Some(part) = part else {
            return Ok(None);
        };
        let position = record::position(&record::key(index, 0), &part);
        position.map(Some).map_err(|source| missing(index, source))
    }

    fn commit_pending(&mut self) -> Result<(), WriteError> {
        if self.changed { self.write_commit() } else { Ok(()) }
    }

    /// Writes what is pending, and answers who waits.
    fn commit(&mut self) -> Result<(), WriteError> {
        self.commit_pending()?;
        for waiting in mem::take(&mut self.waiting) {
            waiting.answer(Ok(()));
        }
        Ok(())
    }

    fn write_commit(&mut self) -> Result<(), WriteError> {
        let begun = (self.clock)();
        self.state.commit += 1;
        let commit = self.state.commit;
        let committed = lock(&self.shared.tail).committed;
        let end = self.state.last.or(self.state.purged).map(|position| position.log_id.index);
        if committed.map(|committed| committed.index) <= end {
            self.state.committed = committed;
        }
        Engine::put_state(&mut self.changes, &self.state.write());
        self.side
            .append(commit, &self.changes)
            .map_err(|source| WriteError::Side { commit, source })?;
        self.engine.apply(&self.changes).map_err(|source| engine("write", source))?;
        self.engine.flush().map_err(|source| engine("flush", source))?;
        self.file.sync_data().map_err(|source| WriteError::Sync { commit, source })?;
        let took = (self.clock)().saturating_duration_since(begun);
        self.shared.counters.committed(self.changes.bytes(), took);
        self.changes.clear();
        self.changed = false;
        self.publish();
        Ok(())
    }

    /// Lets readers see what is on disk.
    fn publish(&self) {
        let mut tail = lock(&self.shared.tail);
        tail.vote = self.state.vote;
        if tail.notes != self.notes {
            tail.notes.clone_from(&self.notes);
        }
        tail.durable(self.state.next_index().unwrap_or(0));
        let kept = tail.kept_bytes() as u64;
        self.shared.counters.kept_bytes.store(kept, Ordering::Relaxed);
    }

    /// Removes some records of purged entries. A crash leaves the rest to the next opening.
    fn sweep(&mut self) -> Result<(), WriteError> {
        let Some(purged) = self.state.purged.filter(|_| self.sweeping) else {
            self.sweeping = false;
            return Ok(());
        };
        let mut sweep = Changes::default();
        for part in self.engine.parts_upto(purged.log_id.index).take(SWEEP_RECORDS_MAX) {
            let (key, _) = part.map_err(|source| engine("read", source))?;
            sweep.delete(Tree::Log, &key);
        }
        self.sweeping = sweep.count() == SWEEP_RECORDS_MAX;
        if sweep.count() != 0 {
            self.engine.apply(&sweep).map_err(|source| engine("write", source))?;
            self.engine.flush().map_err(|source| engine("flush", source))?;
            Counters::add(&self.shared.counters.swept, sweep.count());
        }
        if !self.sweeping {
            self.measure_disk();
        }
        Ok(())
    }

    fn measure_disk(&self) {
        let bytes = self.files.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
        self.shared.counters.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Answers every request with `error`, until the store is closed.
    fn refuse_all(&mut self, error: WriteError, jobs: &mut Receiver<Job>) -> Option<Done> {
        let error = Arc::new(error);
        tracing::error!(
            path = %self.home.path().display(),
            error = &*error as &dyn std::error::Error,
            "the log is written no more"
        );
        lock(&self.shared.tail).failed = Some(Arc::clone(&error));
        for waiting in mem::take(&mut self.waiting) {
            waiting.answer(Err(Arc::clone(&error)));
        }
        while let Some(job) = jobs.blocking_recv() {
            match Waiting::of(job) {
                Ok(waiting) => waiting.answer(Err(Arc::clone(&error))),
                Err(closing) => return Some(closing),
            }
        }
        None
    }
}

fn engine(doing: &'static str, source: sled::Error) -> WriteError {
    WriteError::Engine { doing, source }
}

fn missing(index: u64, source: record::RecordError) -> WriteError {
    WriteError::Missing { index, source: Some(source) }
}
