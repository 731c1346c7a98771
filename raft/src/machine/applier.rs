//! The applier: the owner of the machine, and how others reach it.
//!
//! Owns: the machine, on a thread of its own, so that neither a large entry nor a copy of a large
//! index holds up the log's engine or a pick.
//! Hears: entries, in order; and wishes: a copy, a digest, another machine.
//! Publishes: [`Published`](super::Published) after every entry; then tells the listener.
//! Ends: when nobody can reach it any more. A panic while applying stops the machine, not the
//! thread.
//!
//! In simulations there is no thread: whoever asks carries it out.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    FrozenMachine, LogPosition, Machine, MachineDigest, MachineRestore,
    files::{Files, SnapshotOpenError, Stored},
    owner::{Committed, Listener, Owner},
    published::Reading,
    transfer::{Incoming, SnapshotData},
};

/// Where work is done that takes longer than a task may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// On threads of their own.
    Own,
    /// Where it is asked for: simulations replay only what one thread does.
    None,
}

/// Requests that wait for the applier. Whoever asks beyond them waits.
const WAITING_MAX: usize = 4;

/// What the applier is asked.
pub(super) enum Job {
    Apply(Vec<Committed>, oneshot::Sender<()>),
    Freeze(oneshot::Sender<Option<(FrozenMachine, u64)>>),
    FreezeIfDue(oneshot::Sender<Option<(FrozenMachine, u64)>>),
    Stored { snapshot_bytes: u64, log_bytes_covered: u64 },
    Install(Box<Machine>, u64, oneshot::Sender<()>),
    Digest(oneshot::Sender<(Option<LogPosition>, MachineDigest)>),
}

/// Reaches the applier, and the snapshots. Clones reach the same.
#[derive(Clone)]
pub struct Applier {
    desk: Desk,
    files: Files,
    reading: Reading,
    wanted: Arc<AtomicBool>,
    /// One snapshot is taken in at a time: each is as large as an index.
    arrivals: Arc<Semaphore>,
    threads: Threads,
}

#[derive(Clone)]
enum Desk {
    Thread(mpsc::Sender<Job>),
    Here(Arc<Mutex<Owner>>),
}

/// Why an applier does not start.
#[derive(Debug, thiserror::Error)]
pub enum ApplierStartError {
    #[error(transparent)]
    Snapshots(#[from] SnapshotOpenError),
    #[error("cannot start the applier's thread")]
    Thread(#[source] io::Error),
}

impl Applier {
    /// Starts an applier with the snapshot in `directory`, or empty.
    pub fn start(
        directory: &Path,
        threads: Threads,
        listener: Listener,
    ) -> Result<Self, ApplierStartError> {
        let (files, machine) = Files::open(directory)?;
        let snapshot_bytes = files.current().map_or(0, |stored| stored.bytes);
        let (owner, reading) = Owner::new(machine.unwrap_or_default(), snapshot_bytes, listener);
        let desk = match threads {
            Threads::None => Desk::Here(Arc::new(Mutex::new(owner))),
            Threads::Own => Desk::Thread(spawn(owner).map_err(ApplierStartError::Thread)?),
        };
        let (wanted, arrivals) = (Arc::new(AtomicBool::new(false)), Arc::new(Semaphore::new(1)));
        Ok(Self { desk, files, reading, wanted, arrivals, threads })
    }

    /// Where everyone reads what is applied.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The digest of the machine, and the position that it is of.
    pub async fn digest(&self) -> io::Result<(Option<LogPosition>, MachineDigest)> {
        self.ask(Job::Digest).await
    }

    /// Asks for a snapshot, whatever the log's size, at the engine's next occasion: trigger it.
    pub fn want_snapshot(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Writes what the machine holds where nobody uses it, for diagnosis, and answers where.
    pub async fn set_aside(&self) -> io::Result<PathBuf> {
        let (frozen, _) = self.ask(Job::Freeze).await?.ok_or_else(torn)?;
        let files = self.files.clone();
        self.blocking(move || files.write_aside(frozen)).await
    }

    /// A machine that holds what this one holds.
    pub async fn copy(&self) -> io::Result<Machine> {
        let (frozen, _) = self.ask(Job::Freeze).await?.ok_or_else(torn)?;
        self.blocking(move || {
            let mut restore = MachineRestore::new();
            for chunk in frozen.chunks() {
                restore.push(&chunk).map_err(io::Error::other)?;
            }
            restore.finish().map_err(io::Error::other)
        })
        .await
    }

    /// The snapshot that counts.
    pub fn snapshot(&self) -> Option<SnapshotData> {
        self.files.current().map(SnapshotData::of)
    }

    /// Begins to take in a snapshot from another replica. Fails while another is taken in, or was
    /// and is not installed yet: the leader tries again.
    pub fn incoming(&self) -> io::Result<Incoming> {
        let place = Arc::clone(&self.arrivals).try_acquire_owned().map_err(|_| {
            io::Error::new(io::ErrorKind::ResourceBusy, "another snapshot is being taken in")
        })?;
        Incoming::begin(&self.files, place)
    }

    pub(super) async fn apply(&self, entries: Vec<Committed>) -> io::Result<()> {
        self.ask(|done| Job::Apply(entries, done)).await
    }

    /// A copy of the machine, when it is time for a snapshot or one is wanted.
    pub(super) async fn freeze(&self, force: bool) -> io::Result<Option<(FrozenMachine, u64)>> {
        let wanted = self.wanted.swap(false, Ordering::Relaxed);
        self.ask(if force || wanted { Job::Freeze } else { Job::FreezeIfDue }).await
    }

    /// Writes a copy of the machine to where it counts.
    pub(super) async fn store(&self, frozen: FrozenMachine, covered: u64) -> io::Result<Stored> {
        let files = self.files.clone();
        let stored = self.blocking(move || files.write(frozen)).await?;
        let snapshot_bytes = stored.bytes;
        self.send(Job::Stored { snapshot_bytes, log_bytes_covered: covered }).await?;
        Ok(stored)
    }

    /// Lets a snapshot count that was received or kept, and goes on with it.
    pub(super) async fn install(&self, snapshot: SnapshotData) -> io::Result<()> {
        let (files, threads) = (self.files.clone(), self.threads);
        let bytes = snapshot.bytes();
        let installed = move || snapshot.install(&files);
        let machine = run(threads, installed).await?;
        self.ask(|done| Job::Install(machine, bytes, done)).await
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        self.send(job(answer)).await?;
        answered.await.map_err(|_| gone())
    }

    async fn send(&self, job: Job) -> io::Result<()> {
        match &self.desk {
            Desk::Thread(jobs) => jobs.send(job).await.map_err(|_| gone()),
            Desk::Here(owner) => {
                let mut owner = owner.lock().unwrap_or_else(PoisonError::into_inner);
                carry_out(&mut owner, job);
                Ok(())
            }
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        run(self.threads, work).await
    }
}

impl fmt::Debug for Applier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, threads, .. } = self;
        out.debug_struct("Applier").field("files", files).field("threads", threads).finish()
    }
}

async fn run<T: Send + 'static>(
    threads: Threads,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match threads {
        Threads::Own => tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?,
        Threads::None => work(),
    }
}

fn spawn(mut owner: Owner) -> io::Result<mpsc::Sender<Job>> {
    let (jobs, mut waiting) = mpsc::channel(WAITING_MAX);
    std::thread::Builder::new().name("applier".to_owned()).spawn(move || {
        while let Some(job) = waiting.blocking_recv() {
            carry_out(&mut owner, job);
        }
    })?;
    Ok(jobs)
}

fn carry_out(owner: &mut Owner, job: Job) {
    match job {
        Job::Apply(entries, done) => {
            for entry in entries {
                owner.apply(entry);
            }
            answer(done, ());
        }
        Job::Freeze(asked) => answer(asked, owner.freeze()),
        Job::FreezeIfDue(asked) => {
            let due = owner.snapshot_is_due();
            answer(asked, due.then(|| owner.freeze()).flatten());
        }
        Job::Stored { snapshot_bytes, log_bytes_covered } => {
            owner.stored(snapshot_bytes, log_bytes_covered);
        }
        Job::Install(machine, bytes, done) => {
            owner.install(*machine, bytes);
            answer(done, ());
        }
        Job::Digest(asked) => answer(asked, owner.digest()),
    }
}

/// Whoever asked may be gone: then nobody hears the answer.
fn answer<T>(asked: oneshot::Sender<T>, value: T) {
    let _unheard = asked.send(value);
}

fn gone() -> io::Error {
    io::Error::other("the applier is gone")
}

fn torn() -> io::Error {
    io::Error::other("applying panicked; what the machine holds may be half of something")
}
