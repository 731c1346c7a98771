//! A directory of one run: under `target/`, gone when the run ends well, kept when it panics.

use std::env;
use std::path::Path;

use crate::binaries;

/// A directory that nothing else uses. Dropping it removes it, unless the thread is panicking:
/// then the logs in it are what explains the failure, and its path is printed. `CONVOY_KEEP=1`
/// keeps it in any case.
#[derive(Debug)]
pub struct Scratch {
    directory: Option<tempfile::TempDir>,
}

impl Scratch {
    /// Makes `target/tmp/<name>-<random>`.
    pub fn new(name: &str) -> std::io::Result<Self> {
        let parent = binaries::target_directory().join("tmp");
        std::fs::create_dir_all(&parent)?;
        let directory = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(parent)?;
        Ok(Self { directory: Some(directory) })
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
            eprintln!("logs are kept in {}", directory.keep().display());
        }
    }
}
