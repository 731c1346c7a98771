//! The directory that a store lives in: its lock, what is where, and what is set aside.
//!
//! ```text
//! <home>/lock         held while a store is open
//! <home>/openings     how many openings in a row did not come through
//! <home>/log/sled/    sled's files
//! <home>/log/side-0   the side file, in two halves
//! <home>/log/side-1
//! <home>/log.new/     a log that was not made to its end
//! <home>/damaged-<n>/ the last log that was set aside
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// A locked directory. Unlocked when dropped; if it is temporary, removed.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    temporary: bool,
    _lock: File,
}

impl Home {
    /// Takes `path`, making it if it is missing.
    pub(super) fn at(path: &Path) -> Result<Self, OpenError> {
        Self::take(path, false)
    }

    /// Makes a directory that is gone when the store is closed.
    pub(super) fn temporary() -> Result<Self, OpenError> {
        let parent = std::env::temp_dir();
        let process = std::process::id();
        for number in 0..1000 {
            let path = parent.join(format!("convoy-{process}-{number}"));
            match private().create(&path) {
                Ok(()) => return Self::take(&path, true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(OpenError::Directory { path, source }),
            }
        }
        let source = io::Error::from(ErrorKind::AlreadyExists);
        Err(OpenError::Directory { path: parent, source })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(super) fn unfinished(&self) -> PathBuf {
        self.path.join("log.new")
    }

    /// Counts an opening that begins, and says how many before it did not come through.
    pub(super) fn begin_opening(&self) -> io::Result<u8> {
        let path = self.path.join("openings");
        let before = match fs::read(&path) {
            Ok(content) => content.first().copied().unwrap_or(0),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        fs::write(path, [before.saturating_add(1)])?;
        Ok(before)
    }

    pub(super) fn end_opening(&self) -> io::Result<()> {
        fs::remove_file(self.path.join("openings"))
    }

    /// Moves the log out of the way, and removes what was moved before. Says where it is.
    pub(super) fn set_aside(&self) -> io::Result<PathBuf> {
        let mut last = 0;
        for file in fs::read_dir(&self.path)? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(number) = name.strip_prefix("damaged-").and_then(|text| text.parse().ok()) {
                last = last.max(number);
                fs::remove_dir_all(&path)?;
            }
        }
        let aside = self.path.join(format!("damaged-{}", last + 1_u64));
        fs::rename(self.log(), &aside)?;
        sync_directory(&self.path)?;
        Ok(aside)
    }

    fn take(path: &Path, temporary: bool) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { path: path.to_owned(), source };
        private().recursive(true).create(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), temporary, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "temporary log not removed");
        }
    }
}

/// The log holds the key of the block hashes: nobody else may read it.
pub(super) fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Makes names in `path` durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Syncs every file under `path`, and every directory.
pub(super) fn sync_tree(path: &Path) -> io::Result<()> {
    for file in fs::read_dir(path)? {
        let file = file?;
        if file.file_type()?.is_dir() {
            sync_tree(&file.path())?;
        } else {
            File::open(file.path())?.sync_all()?;
        }
    }
    sync_directory(path)
}
