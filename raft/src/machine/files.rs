//! Snapshots as plain files, beside the log.
//!
//! `current.snapshot` is the snapshot that counts. Another is written under a name of its own,
//! synced, and renamed over it; then the directory is synced. So there is always one whole file or
//! none. Who reads the old one goes on reading it: the file lives until it is closed. Files hold
//! the key of the block hashes, so they are their owner's alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    FrozenMachine, LogPosition, Machine, MachineDigest, MachineRestore, MachineRestoreError,
    Membership,
};

const CURRENT: &str = "current.snapshot";

/// Ends the name of a file that is being written.
const UNFINISHED: &str = ".unfinished";

/// Where snapshots of odd replicas are kept, for diagnosis.
const ASIDE: &str = "aside";

/// Snapshots kept aside. Each may be hundreds of megabytes.
const ASIDE_KEPT: usize = 3;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// Where snapshots are kept. Clones are the same place.
#[derive(Clone, Debug)]
pub(super) struct Files {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    current: Mutex<Option<Stored>>,
    /// Tells unfinished files apart.
    number: AtomicU64,
}

/// A snapshot in a file.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) file: Arc<File>,
    pub(super) bytes: u64,
    pub(super) position: Option<LogPosition>,
    pub(super) membership: Membership,
    pub(super) digest: MachineDigest,
}

/// Why the snapshots of a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotOpenError {
    #[error("cannot use the snapshot directory {}", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    #[error("cannot read the snapshot {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the snapshot {} is damaged", path.display())]
    Damaged { path: PathBuf, source: MachineRestoreError },
}

impl SnapshotOpenError {
    /// What helps.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Directory { .. } | Self::Read { .. } => {
                "make the data directory readable and writable for this user"
            }
            Self::Damaged { source: MachineRestoreError::Format { .. }, .. }
            | Self::Damaged { source: MachineRestoreError::Semantics { .. }, .. } => {
                "start this replica with the newer version"
            }
            Self::Damaged { .. } => "set the data directory aside and let the replica join anew",
        }
    }
}

impl Files {
    /// Opens or makes `directory`, removes what was never finished, and restores the snapshot in it.
    pub(super) fn open(directory: &Path) -> Result<(Self, Option<Machine>), SnapshotOpenError> {
        let in_directory =
            |source| SnapshotOpenError::Directory { directory: directory.to_owned(), source };
        prepare(directory).map_err(in_directory)?;
        let path = directory.join(CURRENT);
        let (stored, machine) = match File::open(&path) {
            Ok(file) => {
                let (stored, machine) = restore(Arc::new(file)).map_err(|fault| match fault {
                    Fault::Read(source) => SnapshotOpenError::Read { path: path.clone(), source },
                    Fault::Damaged(source) => {
                        SnapshotOpenError::Damaged { path: path.clone(), source }
                    }
                })?;
                (Some(stored), Some(machine))
            }
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => (None, None),
            Err(source) => return Err(SnapshotOpenError::Read { path, source }),
        };
        let (directory, number) = (directory.to_owned(), AtomicU64::new(0));
        let inner = Inner { directory, current: Mutex::new(stored), number };
        Ok((Self { inner: Arc::new(inner) }, machine))
    }

    /// The snapshot that counts.
    pub(super) fn current(&self) -> Option<Stored> {
        self.lock().clone()
    }

    /// Writes a snapshot, and lets it count unless a later one does. Blocks.
    pub(super) fn write(&self, frozen: FrozenMachine) -> io::Result<Stored> {
        let (position, digest) = (frozen.position(), frozen.digest());
        let membership = frozen.membership().clone();
        let mut unfinished = self.begin()?;
        for chunk in frozen.chunks() {
            unfinished.file.write_all(&chunk)?;
        }
        let bytes = unfinished.file.metadata()?.len();
        let file = Arc::clone(&unfinished.file);
        let stored = Stored { file, bytes, position, membership, digest };
        self.adopt(unfinished, stored.clone())?;
        Ok(stored)
    }

    /// Writes a snapshot where nobody uses it, and answers where. Blocks.
    pub(super) fn write_aside(&self, frozen: FrozenMachine) -> io::Result<PathBuf> {
        let aside = self.inner.directory.join(ASIDE);
        fs::create_dir_all(&aside)?;
        let index = frozen.position().map_or(0, |position| position.index);
        let name = format!("{index:020}-{:016x}.snapshot", frozen.digest().0);
        let mut unfinished = self.begin()?;
        for chunk in frozen.chunks() {
            unfinished.file.write_all(&chunk)?;
        }
        let path = aside.join(name);
        unfinished.finish(&path)?;
        keep_latest(&aside)?;
        Ok(path)
    }

    /// A file to write a snapshot to.
    pub(super) fn begin(&self) -> io::Result<Unfinished> {
        let number = self.inner.number.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.directory.join(format!("{number}{UNFINISHED}"));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Unfinished { file: Arc::new(file), path: Some(path) })
    }

    /// Lets a snapshot that was written count, unless a later one does.
    pub(super) fn adopt(&self, unfinished: Unfinished, stored: Stored) -> io::Result<()> {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| stored.position < current.position) {
            return Ok(());
        }
        unfinished.finish(&self.inner.directory.join(CURRENT))?;
        *current = Some(stored);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Stored>> {
        // What is in it is replaced whole.
        self.inner.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is being written. Removed unless it is finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) file: Arc<File>,
    path: Option<PathBuf>,
}

impl Unfinished {
    /// Gives the file its name, for good.
    fn finish(mut self, name: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(path) = &self.path {
            fs::rename(path, name)?;
        }
        self.path = None;
        sync_directory(name.parent().unwrap_or(name))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(fault) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %fault, "cannot remove an unfinished snapshot");
        }
    }
}

impl Stored {
    /// The machine in it. Blocks.
    pub(super) fn restore(self) -> io::Result<Box<Machine>> {
        match restore(self.file) {
            Ok((_, machine)) => Ok(Box::new(machine)),
            Err(Fault::Read(fault)) => Err(fault),
            Err(Fault::Damaged(fault)) => Err(io::Error::new(io::ErrorKind::InvalidData, fault)),
        }
    }
}

/// Why a file gives no machine.
enum Fault {
    Read(io::Error),
    Damaged(MachineRestoreError),
}

/// Reads a snapshot from a file.
fn restore(file: Arc<File>) -> Result<(Stored, Machine), Fault> {
    let mut restore = MachineRestore::new();
    let (mut buffer, mut bytes) = (vec![0; READ_BYTES], 0);
    loop {
        let read = file.read_at(&mut buffer, bytes).map_err(Fault::Read)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        restore.push(buffer.get(..read).unwrap_or_default()).map_err(Fault::Damaged)?;
    }
    let machine = restore.finish().map_err(Fault::Damaged)?;
    let stored = Stored {
        file,
        bytes,
        position: machine.applied(),
        membership: machine.facts().membership.clone(),
        digest: machine.digest(),
    };
    Ok((stored, machine))
}

fn prepare(directory: &Path) -> io::Result<()> {
    if !directory.is_dir() {
        fs::create_dir_all(directory)?;
        sync_directory(directory.parent().unwrap_or(directory))?;
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(&path)?;
        }
    }
    sync_directory(directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    // The parent of a relative path of one part is empty.
    let named = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(named)?.sync_all()
}

/// Removes all but the latest of the snapshots kept aside.
fn keep_latest(aside: &Path) -> io::Result<()> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(aside)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    for path in paths.iter().rev().skip(ASIDE_KEPT) {
        fs::remove_file(path)?;
    }
    Ok(())
}
