//! Looking at the file: what stands there, and whether it is worth reading again.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::list;
use crate::{discovery::ListedEndpoint, document::Fault};

/// A larger file is refused. It is room for some 15,000 endpoints.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A list that can be used, and the file's bytes, by which a change is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub endpoints: Vec<ListedEndpoint>,
    pub(super) bytes: Vec<u8>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read endpoints file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("endpoints file {} is not a file", path.display())]
    NotAFile { path: PathBuf },
    #[error("endpoints file {} is longer than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("endpoints file {} is not UTF-8 text", path.display())]
    NotText { path: PathBuf },
    #[error("endpoints file {}: {fault}", path.display())]
    Content { path: PathBuf, fault: Fault },
}

impl LoadError {
    /// What helps.
    pub fn remedy(&self) -> String {
        match self {
            Self::Read { .. } | Self::NotAFile { .. } => {
                "put a readable file there, or correct the parameter path of file-discovery".into()
            }
            Self::TooLong { .. } => "list fewer endpoints, or shorten their labels".into(),
            Self::NotText { .. } => "write the file in UTF-8".into(),
            Self::Content { fault, .. } => fault.problem.remedy(),
        }
    }
}

/// Reads the list that stands in the file at `path`. Blocks.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let bytes = read(path)?;
    parse(path, bytes)
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    // Opening a pipe would wait for a writer.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if FILE_BYTES_MAX < bytes.len() as u64 {
        return Err(LoadError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

fn parse(path: &Path, bytes: Vec<u8>) -> Result<Loaded, LoadError> {
    let text =
        std::str::from_utf8(&bytes).map_err(|_| LoadError::NotText { path: path.to_owned() })?;
    let endpoints =
        list::parse(text).map_err(|fault| LoadError::Content { path: path.to_owned(), fault })?;
    Ok(Loaded { endpoints, bytes })
}

/// What a look found that was not there before.
#[derive(Debug)]
pub enum Look {
    Found(Loaded),
    Unusable(LoadError),
}

/// What was seen last, good or bad.
#[derive(Debug)]
pub(super) struct Seen {
    stamp: Option<Stamp>,
    content: Content,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Bytes(Vec<u8>),
    Unreadable(String),
}

/// What changes when the file is written or another is put in its place.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Seen {
    pub(super) fn new(loaded: &Loaded) -> Self {
        Self { stamp: None, content: Content::Bytes(loaded.bytes.clone()) }
    }

    /// Looks at the file, and reads it only if it may have changed; `None` if it has not. Blocks.
    pub(super) fn look(&mut self, path: &Path) -> Option<Look> {
        // The stamp is taken first: a write while the file is read makes the next stamp differ.
        let stamp = path.metadata().ok().as_ref().map(Stamp::of);
        if stamp.is_some() && stamp == self.stamp {
            return None;
        }
        self.stamp = stamp;
        let read = read(path);
        let content = match &read {
            Ok(bytes) => Content::Bytes(bytes.clone()),
            Err(error) => Content::Unreadable(error.to_string()),
        };
        if content == self.content {
            return None;
        }
        self.content = content;
        Some(match read.and_then(|bytes| parse(path, bytes)) {
            Ok(loaded) => Look::Found(loaded),
            Err(error) => Look::Unusable(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "endpoints: [{name: a, address: 10.0.0.1, port: '80'}]";

    fn names(look: Option<Look>) -> Vec<String> {
        match look {
            Some(Look::Found(loaded)) => {
                loaded.endpoints.into_iter().map(|endpoint| endpoint.key.name).collect()
            }
            Some(Look::Unusable(error)) => vec![format!("unusable: {error}")],
            None => vec!["same".to_owned()],
        }
    }

    #[test]
    fn a_look_finds_each_content_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("endpoints.yaml");
        std::fs::write(&path, GOOD).unwrap();
        let mut seen = Seen::new(&load(&path).unwrap());
        assert_eq!(names(seen.look(&path)), ["same"]);
        std::fs::write(&path, GOOD.replace("name: a", "name: b ")).unwrap();
        assert_eq!(names(seen.look(&path)), ["b"]);
        assert_eq!(names(seen.look(&path)), ["same"]);
        std::fs::write(&path, "endpoints: [").unwrap();
        assert!(names(seen.look(&path))[0].starts_with("unusable"));
        assert_eq!(names(seen.look(&path)), ["same"]);
        std::fs::remove_file(&path).unwrap();
        assert!(names(seen.look(&path))[0].contains("cannot read"));
        assert_eq!(names(seen.look(&path)), ["same"]);
        std::fs::write(&path, GOOD).unwrap();
        assert_eq!(names(seen.look(&path)), ["a"]);
    }

    #[test]
    fn what_cannot_be_used_names_the_file_and_what_helps() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("endpoints.yaml");
        let said = |path: &Path| {
            let error = load(path).unwrap_err();
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert!(!error.remedy().is_empty());
            error.to_string()
        };
        assert!(said(&path).contains("cannot read"));
        assert!(said(directory.path()).contains("is not a file"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(said(&path).contains("UTF-8"));
        std::fs::write(&path, "endpoints: 1").unwrap();
        assert!(said(&path).contains("endpoints: cannot be 1"));
        std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).unwrap();
        assert!(said(&path).contains("longer than 1048576 bytes"));
    }
}
