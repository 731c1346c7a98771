//! The side file: the last commits once more, so that what sled loses is noticed, and mostly healed.
//!
//! Two files take turns. Each commit is appended as one record and synced before sled is given the
//! same changes. A record carries the whole commit, the state included: if sled comes back older
//! than the last record, the records between are carried out again. A file is written over only when
//! the other one is full, and by then sled has synced all that it holds.
//!
//! Records begin at multiples of [`ALIGN_BYTES`], so that readers find those that follow a damaged
//! one, and no write touches a sector that an older record lies in.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::changes::Changes;

/// A file that has grown to this is full. A single commit may be larger.
const FULL_BYTES: u64 = 8 * 1024 * 1024;

const ALIGN_BYTES: usize = 512;

const MAGIC: [u8; 4] = *b"CvyS";
const FORMAT: u16 = 1;
/// Magic, format, two bytes unused, length, commit, checksum.
const HEAD_BYTES: usize = 4 + 2 + 2 + 4 + 8 + 8;

/// The two files, and where the next record goes.
#[derive(Debug)]
pub(super) struct Side {
    files: [File; 2],
    current: usize,
    offset: u64,
    buffer: Vec<u8>,
}

/// Where the records stand that can be read, by the number of their commit.
#[derive(Debug, Default)]
pub(super) struct Records {
    found: BTreeMap<u64, (usize, u64, Vec<u8>)>,
}

pub(super) fn paths(directory: &Path) -> [PathBuf; 2] {
    [directory.join("side-0"), directory.join("side-1")]
}

impl Side {
    /// Opens the files in `directory`, making them if they are missing, and reads what they hold.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Records)> {
        let open = |path: PathBuf| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
        };
        let [first, second] = paths(directory);
        let files = [open(first)?, open(second)?];
        let mut records = Records::default();
        for (number, file) in files.iter().enumerate() {
            records.scan(number, &read_whole(file)?);
        }
        let (current, offset) = match records.found.last_key_value() {
            Some((_, (file, offset, body))) => (*file, offset + padded(body.len()) as u64),
            None => (0, 0),
        };
        Ok((Self { files, current, offset, buffer: Vec::new() }, records))
    }

    /// Appends a commit, and returns when it is on disk.
    pub(super) fn append(&mut self, commit: u64, changes: &Changes) -> io::Result<()> {
        if FULL_BYTES <= self.offset {
            self.current ^= 1;
            self.offset = 0;
        }
        self.buffer.clear();
        frame(commit, changes.written(), &mut self.buffer);
        let [first, second] = &self.files;
        let file = if self.current == 0 { first } else { second };
        file.write_all_at(&self.buffer, self.offset)?;
        file.sync_data()?;
        self.offset += self.buffer.len() as u64;
        Ok(())
    }
}

impl Records {
    /// The last commit that can be read.
    pub(super) fn last(&self) -> Option<u64> {
        self.found.last_key_value().map(|(&commit, _)| commit)
    }

    /// The commits after `commit`, to the last; `None` if one between is missing.
    pub(super) fn since(self, commit: u64) -> Option<Vec<Changes>> {
        let mut expected = commit;
        self.found
            .into_iter()
            .filter(|&(found, _)| commit < found)
            .map(|(found, (_, _, body))| {
                expected += 1;
                (found == expected).then(|| Changes::read(body)).flatten()
            })
            .collect()
    }

    fn scan(&mut self, number: usize, content: &[u8]) {
        let mut at = 0;
        while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
            match parse(rest) {
                Some((commit, body)) => {
                    self.found.insert(commit, (number, at as u64, body.to_vec()));
                    at += padded(body.len());
                }
                None => at += ALIGN_BYTES,
            }
        }
    }
}

fn padded(body_bytes: usize) -> usize {
    (HEAD_BYTES + body_bytes).next_multiple_of(ALIGN_BYTES)
}

fn frame(commit: u64, body: &[u8], buffer: &mut Vec<u8>) {
    let bytes = u32::try_from(body.len()).expect("commits are far smaller than 4 GiB");
    buffer.extend(MAGIC);
    buffer.extend(FORMAT.to_le_bytes());
    buffer.extend([0; 2]);
    buffer.extend(bytes.to_le_bytes());
    buffer.extend(commit.to_le_bytes());
    buffer.extend(checksum(commit, body).to_le_bytes());
    buffer.extend(body);
    buffer.resize(padded(body.len()), 0);
}

fn parse(content: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = content.split_first_chunk::<HEAD_BYTES>()?;
    let (magic, rest_of_head) = head.split_first_chunk::<4>()?;
    let (format, rest_of_head) = rest_of_head.split_first_chunk::<4>()?;
    let (bytes, rest_of_head) = rest_of_head.split_first_chunk::<4>()?;
    let (commit, sum) = rest_of_head.split_first_chunk::<8>()?;
    let format_expected = [FORMAT.to_le_bytes(), [0; 2]].concat();
    if *magic != MAGIC || format[..] != format_expected {
        return None;
    }
    let body = rest.get(..usize::try_from(u32::from_le_bytes(*bytes)).ok()?)?;
    let commit = u64::from_le_bytes(*commit);
    (checksum(commit, body).to_le_bytes() == sum).then_some((commit, body))
}

fn checksum(commit: u64, body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, xxh3_64(&commit.to_le_bytes()))
}

fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut content = vec![0; bytes];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}

#[cfg(test)]
mod tests;
