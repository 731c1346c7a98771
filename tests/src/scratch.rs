//! A directory of one run: under `target/`, gone when the run ends well, kept when it panics. What
//! runs that were killed left there goes when the next one begins.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{env, io};

use crate::binaries;

/// Held locked by the run that owns the directory, for as long as that lives.
const OWNED: &str = ".owned";

/// Stands in a directory that is to be looked at.
const KEPT: &str = ".kept";

/// How long what nobody owns is kept, if it is to be looked at, or may be about to be owned.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// A directory that nothing else uses. Dropping it removes it, unless the thread is panicking:
/// then the logs in it are what explains the failure, and its path is printed. `CONVOY_KEEP=1`
/// keeps it in any case. What was kept goes after a day.
#[derive(Debug)]
pub struct Scratch {
    directory: Option<tempfile::TempDir>,
    _owned: File,
}

impl Scratch {
    /// Makes `target/tmp/<name>-<process>-<random>`.
    pub fn new(name: &str) -> io::Result<Self> {
        let parent = binaries::target_directory().join("tmp");
        fs::create_dir_all(&parent)?;
        let scratch = Self::below(&parent, name)?;
        // What was made just now tells the time by the file system's own clock.
        sweep(&parent, scratch.path().metadata()?.modified()?);
        Ok(scratch)
    }

    fn below(parent: &Path, name: &str) -> io::Result<Self> {
        let prefix = format!("{name}-{}-", std::process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent)?;
        let owned = File::create(directory.path().join(OWNED))?;
        owned.lock()?;
        Ok(Self { directory: Some(directory), _owned: owned })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.as_ref().map_or(Path::new(""), tempfile::TempDir::path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let wanted = std::thread::panicking() || env::var_os("CONVOY_KEEP").is_some();
        if wanted && let Some(directory) = self.directory.take() {
            let path = directory.keep();
            // Without the mark it is kept until the next run begins.
            drop(File::create(path.join(KEPT)));
            eprintln!("logs are kept in {}", path.display());
        }
    }
}

/// Removes what is left below `parent` of runs that have ended, as far as that is possible.
fn sweep(parent: &Path, now: SystemTime) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_left = entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_left(&path, now);
        if is_left {
            // Another run may be sweeping, too.
            drop(fs::remove_dir_all(&path));
        }
    }
}

/// True if nobody owns or keeps the directory at `path`.
fn is_left(path: &Path, now: SystemTime) -> bool {
    let is_old = || {
        let changed = path.metadata().and_then(|metadata| metadata.modified());
        changed.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| KEPT_FOR < age))
    };
    match File::open(path.join(OWNED)) {
        Ok(owned) => owned.try_lock().is_ok() && (is_old() || !path.join(KEPT).exists()),
        Err(_not_owned_yet) => is_old(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_goes_and_what_is_owned_or_kept_stays() {
        let parent = tempfile::tempdir().unwrap();
        let owned = Scratch::below(parent.path(), "owned").unwrap();
        let made = |name: &str, files: &[&str]| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            for file in files {
                fs::write(path.join(file), "").unwrap();
            }
            path
        };
        let left = made("left", &[OWNED, "log"]);
        let kept = made("kept", &[OWNED, KEPT]);
        let begun = made("begun", &[]);
        let now = owned.path().metadata().unwrap().modified().unwrap();
        let there = |now| {
            sweep(parent.path(), now);
            [owned.path(), &left, &kept, &begun].map(Path::exists)
        };
        assert_eq!(there(now), [true, false, true, true]);
        assert_eq!(there(now + KEPT_FOR * 2), [true, false, false, false]);
        assert!(owned.path().file_name().unwrap().to_string_lossy().starts_with("owned-"));
    }
}
