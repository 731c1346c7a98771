//! The log on disk: entries and the vote in sled, beside it a file that tells what sled must hold.
//!
//! [`LogStore`] is what openraft writes to. Every change goes to one writing thread; reading
//! goes on beside it. Whatever was acknowledged is on disk twice: in sled, and in the side file.
//! See `store::side` for why.

mod binary;
mod changes;
mod engine;
mod error;
mod figures;
mod home;
mod job;
mod reader;
mod record;
mod recovery;
mod side;
mod state;
mod storage;
mod tail;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::engine::Engine;
use self::figures::Counters;
use self::home::Home;
use self::job::{Done, Job};
use self::tail::Tail;
use self::writer::Writer;
use crate::types::{LogId, Vote};

pub use self::error::{Damage, OpenError, OpenRemedy, ReadError, WriteError, WriteRemedy};
pub use self::figures::Figures;
pub use self::reader::LogReader;
pub use self::record::{ENTRY_BYTES_MAX, RecordError};
pub use self::recovery::SetAside;
pub use self::state::StateError;

/// Requests that may wait for the writing thread.
const JOBS_MAX: usize = 1024;

/// Bytes of entries that may wait for the writing thread.
const WAITING_BYTES_MAX: usize = 2 * ENTRY_BYTES_MAX;

/// Names and values of notes are small: identities, grants, what a snapshot covers.
const NOTE_NAME_BYTES_MAX: usize = 64;
const NOTE_BYTES_MAX: usize = 16 * 1024;

/// Where a log is kept, and how time is told.
#[derive(Clone, Debug)]
pub struct Settings {
    pub place: Place,
    pub clock: fn() -> Instant,
}

/// Where a log is kept.
#[derive(Clone, Debug)]
pub enum Place {
    /// A directory of its own, made if it is missing.
    Directory(PathBuf),
    /// A directory that is gone when the store is closed, for a replica without a disk.
    Temporary,
}

/// A log that was opened.
#[derive(Debug)]
pub struct Opened {
    pub store: LogStore,
    /// Where it is.
    pub path: PathBuf,
    /// The log that stood there before and could not be trusted, if so. This one is empty.
    pub set_aside: Option<SetAside>,
    /// Commits that sled had lost to a crash, and that the side file gave back.
    pub healed: usize,
}

/// Where the log begins and ends, and who leads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    pub purged: Option<LogId>,
    pub last: Option<LogId>,
    pub committed: Option<LogId>,
    pub vote: Option<Vote>,
}

/// The log on disk. Copies are handles of the same log; it is closed with the last, or by
/// [`LogStore::close`].
#[derive(Clone, Debug)]
pub struct LogStore {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    /// A permit is a KiB of entries that waits.
    room: Arc<Semaphore>,
}

/// What writer and readers share.
#[derive(Debug)]
struct Shared {
    tail: Mutex<Tail>,
    /// `None` once closed.
    engine: Mutex<Option<Engine>>,
    counters: Counters,
}

impl LogStore {
    /// Opens the log, or makes one. A log that cannot be trusted is set aside, and a new one made.
    pub async fn open(settings: Settings) -> Result<Opened, OpenError> {
        let place = format!("{:?}", settings.place);
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(&settings)).await;
        opening.unwrap_or_else(|error| {
            let source = io::Error::other(error);
            Err(OpenError::Io { doing: "open", path: place.into(), source })
        })
    }

    fn open_blocking(settings: &Settings) -> Result<Opened, OpenError> {
        let home = match &settings.place {
            Place::Directory(path) => Home::at(path)?,
            Place::Temporary => Home::temporary()?,
        };
        let path = home.path().to_owned();
        let (mut recovered, set_aside) = recovery::open(&home)?;
        report(&path, set_aside.as_ref(), recovered.healed);
        let healed = recovered.healed;
        let mut tail = Tail::recovered(recovered.bounds, std::mem::take(&mut recovered.entries));
        tail.vote = recovered.state.vote;
        tail.committed = recovered.state.committed;
        tail.notes.clone_from(&recovered.notes);
        let shared = Arc::new(Shared {
            tail: Mutex::new(tail),
            engine: Mutex::new(Some(recovered.engine.clone())),
            counters: Counters::default(),
        });
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let writer = Writer::new(recovered, Arc::clone(&shared), settings.clock, home);
        thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|source| OpenError::Io {
                doing: "start the writing thread of",
                path: path.clone(),
                source,
            })?;
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX / 1024));
        let store = Self { shared, jobs, room };
        Ok(Opened { store, path, set_aside, healed })
    }

    /// Writes what waits and closes the log; afterwards it can be opened again.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close { done }).await.is_ok() {
            // An error means that the thread is gone, which is what was asked for.
            let _ = closed.await;
        }
    }

    /// Keeps `value` under `name`, or forgets it; durable when this returns, and in order with votes
    /// and entries. For what a replica must not forget: who it is, whom it granted what.
    pub async fn set_note(&self, name: &str, value: Option<Bytes>) -> io::Result<()> {
        let fits = name.len() <= NOTE_NAME_BYTES_MAX
            && value.as_ref().is_none_or(|value| value.len() <= NOTE_BYTES_MAX);
        if !fits {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let name = name.to_owned();
        self.ask(|done| Job::Note { name, value, done }).await
    }

    /// What is kept under `name`.
    pub fn note(&self, name: &str) -> Option<Bytes> {
        lock(&self.shared.tail).notes.get(name).cloned()
    }

    pub fn positions(&self) -> Positions {
        let tail = lock(&self.shared.tail);
        Positions {
            purged: tail.purged,
            last: tail.last(),
            committed: tail.committed,
            vote: tail.vote,
        }
    }

    pub fn figures(&self) -> Figures {
        self.shared.counters.read(JOBS_MAX - self.jobs.capacity())
    }

    /// Why nothing is written any more, if so.
    pub fn failure(&self) -> Option<Arc<WriteError>> {
        lock(&self.shared.tail).failed.clone()
    }

    /// Has the writing thread do something, and waits until it is on disk.
    async fn ask(&self, job: impl FnOnce(Done) -> Job) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let closed = || io::Error::other(WriteError::Closed);
        self.jobs.send(job(done)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

fn report(path: &Path, set_aside: Option<&SetAside>, healed: usize) {
    let path = path.display();
    if healed != 0 {
        tracing::warn!(%path, commits = healed, "sled had lost commits; the side file had them");
    }
    if let Some(SetAside { path: aside, damage }) = set_aside {
        tracing::error!(
            %path,
            aside = %aside.display(),
            damage = damage as &dyn std::error::Error,
            "the log cannot be trusted and was set aside; this replica has to join again"
        );
    }
}

/// Nothing panics under these locks that would leave what they guard half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
