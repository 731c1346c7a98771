//! sled, as the store uses it: opened where a panic is caught, and synced for good.
//!
//! sled's `flush` writes and waits, but never tells the disk to sync: that is done here, on an own
//! handle of its file. It panics on much of what it finds damaged, and does not notice the rest;
//! who calls this catches panics, and checks what comes back.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::changes::{Change, Changes, Tree};
use super::record;

/// sled allocates and frees its file in pieces of this size. Whatever it writes at once that is
/// larger than a quarter of it goes to a file of its own, which it never syncs.
pub(super) const SEGMENT_BYTES: usize = 4 * 1024 * 1024;

const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Nobody else opens sled's file: the directory around it is locked.
const LOCK_ATTEMPTS_MAX: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

const STATE_KEY: &[u8] = b"state";

/// An open sled.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    database: sled::Db,
    log: sled::Tree,
    state: sled::Tree,
    notes: sled::Tree,
}

impl Engine {
    pub(super) fn open(directory: &Path) -> Result<Self, sled::Error> {
        remove_half_written(directory)?;
        let database = open_unlocked(directory)?;
        let log = database.open_tree("log")?;
        let state = database.open_tree("state")?;
        let notes = database.open_tree("notes")?;
        Ok(Self { database, log, state, notes })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.log.is_empty() && self.notes.is_empty()
    }

    /// sled's file, to sync it.
    pub(super) fn file(directory: &Path) -> io::Result<File> {
        File::options().read(true).write(true).open(directory.join("db"))
    }

    /// Carries out `changes`, in order; the state is the last of them.
    ///
    /// A crash may leave the first few. The side file has all by then. sled's batches would keep them
    /// together, but each is a write of its own, over which all of sled's threads are woken.
    pub(super) fn apply(&self, changes: &Changes) -> Result<(), sled::Error> {
        for change in changes.iter().flatten() {
            match change {
                Change::Put { tree, key, value } => self.tree(tree).insert(key, value)?,
                Change::Delete { tree, key } => self.tree(tree).remove(key)?,
            };
        }
        Ok(())
    }

    /// Hands everything to the operating system. Not yet durable: see [`Engine::file`].
    pub(super) fn flush(&self) -> Result<(), sled::Error> {
        self.database.flush().map(drop)
    }

    pub(super) fn state(&self) -> Result<Option<sled::IVec>, sled::Error> {
        self.state.get(STATE_KEY)
    }

    pub(super) fn put_state(changes: &mut Changes, written: &[u8]) {
        changes.put(Tree::State, STATE_KEY, written);
    }

    /// Parts of entries from index `from` on, in order.
    pub(super) fn parts(&self, from: u64) -> sled::Iter {
        self.log.range(record::key(from, 0)..)
    }

    /// Parts of entries up to index `upto`, in order.
    pub(super) fn parts_upto(&self, upto: u64) -> sled::Iter {
        self.log.range(..=record::key(upto, u16::MAX))
    }

    /// The first part of entry `index`.
    pub(super) fn first_part(&self, index: u64) -> Result<Option<sled::IVec>, sled::Error> {
        self.log.get(record::key(index, 0))
    }

    pub(super) fn notes(&self) -> sled::Iter {
        self.notes.iter()
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        match tree {
            Tree::Log => &self.log,
            Tree::State => &self.state,
            Tree::Notes => &self.notes,
        }
    }
}

/// Opens sled. Threads of one that was just closed may hold its lock for a moment longer.
fn open_unlocked(directory: &Path) -> Result<sled::Db, sled::Error> {
    let config = sled::Config::default()
        .path(directory)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    for _ in 1..LOCK_ATTEMPTS_MAX {
        match config.open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                thread::sleep(LOCK_PAUSE);
            }
            outcome => return outcome,
        }
    }
    config.open()
}

/// Removes what a crash left of a snapshot that sled was writing. sled would read it, and fail.
fn remove_half_written(directory: &Path) -> io::Result<()> {
    let files = match fs::read_dir(directory) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
