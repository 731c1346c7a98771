//! The data directory: the record of forming, and a directory for each seat.
//!
//! `replica` holds the [`Record`]. It is written under another name, synced, and renamed, so there is always a
//! whole one. A new generation's store is written into a directory of its own before the record names it, so
//! whenever a crash comes, the record names a store that is whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bincode::Options as _;
use xxhash_rust::xxh3::xxh3_64;

use crate::{forming::Record, identity::Seat};

const RECORD: &str = "replica";
const UNFINISHED: &str = "replica.unfinished";
const SEATS: &str = "seat-";
/// Where snapshots of a replica that differed are kept, for diagnosis.
const ASIDE: &str = "aside";
/// Each may be hundreds of megabytes.
const ASIDE_MAX: usize = 3;
const MAGIC: [u8; 4] = *b"CvRe";
const FORMAT: u16 = 1;
/// Magic, format, checksum.
const HEAD_BYTES: usize = 14;
/// A record is a few hundred bytes; names and lineage bound it.
const RECORD_BYTES_MAX: u64 = 16 * 1024;

/// A replica's data directory.
#[derive(Clone, Debug)]
pub(super) struct Home {
    path: PathBuf,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{} has format {found}, where this version reads {FORMAT}", path.display())]
    Format { path: PathBuf, found: u16 },
}

impl HomeError {
    /// What helps.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Io { .. } => "make the data directory readable and writable for this user",
            Self::Damaged { .. } => "set the data directory aside; the replica then joins anew",
            Self::Format { .. } => "start this replica with the newer version",
        }
    }
}

impl Home {
    pub(super) fn open(path: &Path) -> Result<Self, HomeError> {
        let home = Self { path: path.to_owned() };
        fs::create_dir_all(path).map_err(|source| io_error("make", path, source))?;
        Ok(home)
    }

    /// The record, unless the directory is empty.
    pub(super) fn load(&self) -> Result<Option<Record>, HomeError> {
        let path = self.path.join(RECORD);
        match fs::read(&path) {
            Ok(bytes) => decode(&path, &bytes).map(Some),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error("read", &path, source)),
        }
    }

    /// Durable when it returns.
    pub(super) fn save(&self, record: &Record) -> Result<(), HomeError> {
        let (unfinished, path) = (self.path.join(UNFINISHED), self.path.join(RECORD));
        let body = options().serialize(record).map_err(|fault| HomeError::Damaged {
            path: path.clone(),
            what: format!("the record cannot be written: {fault}"),
        })?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(xxh3_64(&body).to_le_bytes());
        bytes.extend(body);
        let written = (|| {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&unfinished)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.path)?.sync_all()
        })();
        written.map_err(|source| io_error("write", &path, source))
    }

    /// Where the store of `seat` is.
    pub(super) fn of_seat(&self, seat: &Seat) -> PathBuf {
        self.path.join(format!("{SEATS}{}-{}", seat.generation, seat.id))
    }

    pub(super) fn log_of(&self, seat: &Seat) -> PathBuf {
        self.of_seat(seat).join("log")
    }

    pub(super) fn snapshots_of(&self, seat: &Seat) -> PathBuf {
        self.of_seat(seat).join("snapshots")
    }

    /// Moves a file to where it outlives the seat that it comes from. A few of the latest are kept.
    pub(super) fn keep_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let aside = self.path.join(ASIDE);
        fs::create_dir_all(&aside)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut before: Vec<_> = fs::read_dir(&aside)?.collect::<Result<_, _>>()?;
        before.sort_by_cached_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
        let gone = (before.len() + 1).saturating_sub(ASIDE_MAX);
        for entry in before.into_iter().take(gone) {
            fs::remove_file(entry.path())?;
        }
        let kept = aside.join(name);
        fs::rename(path, &kept)?;
        Ok(kept)
    }

    /// Removes the stores of all seats but these.
    pub(super) fn remove_others(&self, kept: &[PathBuf]) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let is_seat = entry.file_name().to_string_lossy().starts_with(SEATS);
            if is_seat && !kept.contains(&entry.path()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Record, HomeError> {
    let damaged = |what: &str| HomeError::Damaged { path: path.into(), what: what.into() };
    let (head, body) =
        bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("it is too short"))?;
    let (magic, rest) = head.split_at(MAGIC.len());
    let (format, checksum) = rest.split_at(2);
    if magic != MAGIC {
        return Err(damaged("it does not begin as a record does"));
    }
    let format = u16::from_le_bytes(format.try_into().unwrap_or_default());
    if format != FORMAT {
        return Err(HomeError::Format { path: path.into(), found: format });
    }
    if checksum != xxh3_64(body).to_le_bytes() {
        return Err(damaged("its checksum is wrong"));
    }
    let record = options().deserialize(body);
    record.map_err(|fault| damaged(&fault.to_string()))
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> HomeError {
    HomeError::Io { doing, path: path.to_owned(), source }
}

fn options() -> impl bincode::Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(RECORD_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::DiskId;

    #[test]
    fn a_record_is_read_as_it_was_saved() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(&directory.path().join("data")).unwrap();
        assert_eq!(home.load().unwrap(), None);
        for disk in [7, 8] {
            let record = Record::of_empty_disk(DiskId(disk));
            home.save(&record).unwrap();
            assert_eq!(home.load().unwrap(), Some(record));
        }
    }

    #[test]
    fn every_flipped_or_missing_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        home.save(&Record::of_empty_disk(DiskId(7))).unwrap();
        let path = directory.path().join(RECORD);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            home.load().unwrap_err();
            fs::write(&path, &bytes[..at]).unwrap();
            home.load().unwrap_err();
        }
    }
}
