//! A disk as a power cut leaves it, rebuilt from a recording of what a process wrote and synced.
//!
//! What was synced is there. Of what was not, any of it may be: nothing, all, some writes and not
//! others, some sectors of a write and not others. Names are durable when their directory was
//! synced; of those that were not, the first few are, in order, as journals of file systems have it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

const SECTOR_BYTES: usize = 512;

/// One call that was recorded. See `recorder.c`.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Create { file: u64, path: String },
    Truncate { file: u64, length: usize },
    Write { file: u64, offset: usize, bytes: Vec<u8> },
    SyncBegins { number: u64 },
    SyncEnds { file: u64, number: u64 },
    DirectorySyncEnds { number: u64 },
    Rename { from: String, to: String },
    Unlink { path: String },
    MakeDirectory { path: String },
    RemoveDirectory { path: String },
}

/// What becomes of writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Kept,
    /// Each is lost or kept.
    Reordered,
    /// Each sector of each is lost or kept.
    Torn,
}

pub(super) const FATES: [Fate; 4] = [Fate::Lost, Fate::Kept, Fate::Reordered, Fate::Torn];

/// A disk while a recording is played back.
#[derive(Debug, Default)]
pub(super) struct Disk {
    played: usize,
    files: Vec<File>,
    /// By inode. An inode that is used again is another file.
    current: HashMap<u64, usize>,
    names: Vec<Name>,
    names_durable: usize,
    /// When syncs began: how much had been played, and how many names were there.
    syncs: HashMap<u64, (usize, usize)>,
}

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    /// When, and what.
    pending: Vec<(usize, Change)>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

#[derive(Clone, Debug)]
enum Name {
    Make { path: String, file: Option<usize> },
    Rename { from: String, to: String },
    Remove { path: String },
}

/// Reads a recording.
pub(super) fn events(mut recording: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((head, rest)) = recording.split_first_chunk::<21>() {
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let length = u32::from_le_bytes(head[17..].try_into().unwrap()) as usize;
        let (bytes, rest) = rest.split_at(length);
        recording = rest;
        let path = || String::from_utf8(bytes.to_vec()).unwrap();
        let (file, number) = (number(1), number(9));
        events.push(match head[0] {
            b'C' => Event::Create { file, path: path() },
            b'T' => Event::Truncate { file, length: number as usize },
            b'W' => Event::Write { file, offset: number as usize, bytes: bytes.to_vec() },
            b'B' | b'b' => Event::SyncBegins { number },
            b'E' => Event::SyncEnds { file, number },
            b'e' => Event::DirectorySyncEnds { number },
            b'R' => {
                let path = path();
                let (from, to) = path.split_once('\0').unwrap();
                Event::Rename { from: from.to_owned(), to: to.to_owned() }
            }
            b'U' => Event::Unlink { path: path() },
            b'M' => Event::MakeDirectory { path: path() },
            b'D' => Event::RemoveDirectory { path: path() },
            other => panic!("a recording has no kind {other}"),
        });
    }
    events
}

impl Disk {
    pub(super) fn play(&mut self, event: &Event) {
        self.played += 1;
        match event.clone() {
            Event::Create { file, path } => {
                self.files.push(File::default());
                let number = self.files.len() - 1;
                self.current.insert(file, number);
                self.names.push(Name::Make { path, file: Some(number) });
            }
            Event::Truncate { file, length } => self.change(file, Change::Truncate { length }),
            Event::Write { file, offset, bytes } => {
                self.change(file, Change::Write { offset, bytes });
            }
            Event::SyncBegins { number } => {
                self.syncs.insert(number, (self.played, self.names.len()));
            }
            Event::SyncEnds { file, number } => {
                let (before, _) = self.syncs.remove(&number).unwrap();
                if let Some(&file) = self.current.get(&file) {
                    self.files[file].sync(before);
                }
            }
            Event::DirectorySyncEnds { number } => {
                let (_, names) = self.syncs.remove(&number).unwrap();
                self.names_durable = self.names_durable.max(names);
            }
            Event::Rename { from, to } => self.names.push(Name::Rename { from, to }),
            Event::MakeDirectory { path } => self.names.push(Name::Make { path, file: None }),
            Event::Unlink { path } | Event::RemoveDirectory { path } => {
                self.names.push(Name::Remove { path });
            }
        }
    }

    /// What was written to `path`, synced or not. It must never have been renamed.
    pub(super) fn written(&self, path: &Path) -> Vec<u8> {
        let path = path.to_str().unwrap();
        let file = self.names.iter().find_map(|name| match name {
            Name::Make { path: made, file } if made == path => *file,
            Name::Make { .. } | Name::Rename { .. } | Name::Remove { .. } => None,
        });
        file.map(|file| self.files[file].image(Fate::Kept, &mut fastrand::Rng::with_seed(0)))
            .unwrap_or_default()
    }

    /// Writes to `to` what a power cut leaves of `from`.
    pub(super) fn cut_power(&self, from: &Path, to: &Path, fate: Fate, random: &mut fastrand::Rng) {
        let names = match fate {
            Fate::Lost => self.names_durable,
            Fate::Kept => self.names.len(),
            Fate::Reordered | Fate::Torn => random.usize(self.names_durable..=self.names.len()),
        };
        let mut tree = BTreeMap::new();
        for name in &self.names[..names] {
            rename(&mut tree, name);
        }
        for (path, file) in tree {
            let Ok(path) = Path::new(&path).strip_prefix(from) else {
                continue;
            };
            let path = to.join(path);
            match file {
                None => fs::create_dir_all(path).unwrap(),
                Some(file) => fs::write(path, self.files[file].image(fate, random)).unwrap(),
            }
        }
    }

    fn change(&mut self, file: u64, change: Change) {
        let file = self.current[&file];
        self.files[file].pending.push((self.played, change));
    }
}

impl File {
    fn sync(&mut self, before: usize) {
        let later = self.pending.partition_point(|&(at, _)| at < before);
        for (_, change) in self.pending.drain(..later) {
            change.apply(&mut self.durable);
        }
    }

    fn image(&self, fate: Fate, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (_, change) in &self.pending {
            match fate {
                Fate::Kept => change.apply(&mut content),
                Fate::Reordered if random.bool() => change.apply(&mut content),
                Fate::Lost | Fate::Reordered => {}
                Fate::Torn => change.tear(&mut content, random),
            }
        }
        content
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::Truncate { length } => content.resize(*length, 0),
        }
    }

    fn tear(&self, content: &mut Vec<u8>, random: &mut fastrand::Rng) {
        match self {
            Self::Write { offset, bytes } => {
                let (mut at, mut rest) = (*offset, bytes.as_slice());
                let mostly = random.f32();
                while !rest.is_empty() {
                    let length = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
                    let (sector, after) = rest.split_at(length);
                    if random.f32() < mostly {
                        put(content, at, sector);
                    }
                    (at, rest) = (at + length, after);
                }
            }
            Self::Truncate { .. } if random.bool() => self.apply(content),
            Self::Truncate { .. } => {}
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

fn rename(tree: &mut BTreeMap<String, Option<usize>>, name: &Name) {
    match name {
        Name::Make { path, file } => {
            tree.insert(path.clone(), *file);
        }
        Name::Remove { path } => {
            tree.remove(path);
        }
        Name::Rename { from, to } => {
            let inside = format!("{from}/");
            let moved: Vec<String> = tree
                .keys()
                .filter(|path| *path == from || path.starts_with(&inside))
                .cloned()
                .collect();
            for path in moved {
                let file = tree.remove(&path).unwrap();
                tree.insert(format!("{to}{}", &path[from.len()..]), file);
            }
        }
    }
}
