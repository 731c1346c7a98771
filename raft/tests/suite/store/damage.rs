//! A disk gives back something else than what was written: it is noticed, or does no harm.
//!
//! `CONVOY_STORE_DAMAGES` says how often, `CONVOY_STORE_SEED` with which seed.
//!
//! Of a young log the side file holds every commit, and gives back what sled lost. Of an old one it
//! holds the last few, and most damage to sled's file is found by reading all entries.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::child::{self, Orders, Said};
use super::model::{self, Held};
use super::tools;

/// More than the store takes before it sets a log aside that it cannot open.
const OPENINGS_MAX: usize = 10;

#[test]
fn damage_to_a_young_log_is_noticed_or_harmless() {
    inflict_often(tools::number("CONVOY_STORE_DAMAGES", 40), 300, 1000);
}

#[test]
fn damage_to_an_old_log_is_noticed_or_harmless() {
    inflict_often(tools::number("CONVOY_STORE_DAMAGES", 20), 700, 12_000);
}

fn inflict_often(damages: u64, operations: u64, bytes: u64) {
    let seed = tools::number("CONVOY_STORE_SEED", tools::random_seed());
    let directory = tempfile::tempdir().unwrap();
    let orders = Orders {
        directory: directory.path().join("whole"),
        report: directory.path().join("report"),
        seed,
        operations,
        bytes,
    };
    assert!(orders.start().wait().unwrap().success());
    let whole = Said::read(&fs::read_to_string(&orders.report).unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut outcomes = BTreeMap::new();
    for number in 0..damages {
        let log = directory.path().join(format!("damaged-{number}"));
        copy(&orders.directory, &log);
        let damage = Damage::choose(&log, &mut random);
        damage.inflict(&log);
        let outcome = outcome(&log, &whole, bytes).unwrap_or_else(|wrong| {
            panic!("{number}, {damage:?}: {wrong}\n{}", tools::replay("damage", seed));
        });
        *outcomes.entry((damage.file_name(), outcome)).or_insert(0) += 1;
        fs::remove_dir_all(&log).unwrap();
    }
    eprintln!("{damages} damages: {outcomes:?}");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Harmless,
    Healed,
    SetAside,
    SetAsideAfterSomeOpenings,
}

fn outcome(log: &Path, whole: &Said, bytes: u64) -> Result<Outcome, String> {
    for opening in 0..OPENINGS_MAX {
        let said = child::look(log, bytes);
        let Some(held) = said.held else {
            continue;
        };
        if said.aside.is_some() {
            let kept = fs::read_dir(log).unwrap().filter(|file| {
                file.as_ref().unwrap().file_name().to_str().unwrap().starts_with("damaged-")
            });
            return match (held == Held::default(), kept.count(), opening) {
                (true, 1, 0) => Ok(Outcome::SetAside),
                (true, 1, _) => Ok(Outcome::SetAsideAfterSomeOpenings),
                (empty, kept, _) => Err(format!("afterwards empty: {empty}, set aside: {kept}")),
            };
        }
        model::check(&Held::default(), &whole.operations, whole.acknowledged, &held)?;
        return Ok(if said.healed == 0 { Outcome::Harmless } else { Outcome::Healed });
    }
    Err(format!("{OPENINGS_MAX} processes did not open the log"))
}

#[derive(Debug)]
struct Damage {
    file: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Bytes at these offsets are changed by these bits.
    Flipped(Vec<(u64, u8)>),
    /// The file ends here.
    Cut(u64),
    /// So many bytes from here on are zero.
    Zeroed(u64, u64),
    Removed,
}

impl Damage {
    fn choose(log: &Path, random: &mut fastrand::Rng) -> Self {
        let files: Vec<(PathBuf, u64)> = files_under(log);
        // sled's log is where nearly all bytes are.
        let database = log.join("log/sled/db");
        let (file, bytes) = match random.u32(0..2) {
            0 => files.iter().find(|(path, _)| *path == database).unwrap(),
            _ => &files[random.usize(0..files.len())],
        };
        let kind = match random.u32(0..8) {
            0..4 => {
                let flip = |_| (random.u64(0..*bytes), 1 << random.u32(0..8));
                Kind::Flipped((0..16).map(flip).collect())
            }
            4..6 => Kind::Cut(random.u64(0..*bytes)),
            6 => Kind::Zeroed(random.u64(0..*bytes), random.u64(1..100_000)),
            _ => Kind::Removed,
        };
        Self { file: file.strip_prefix(log).unwrap().to_owned(), kind }
    }

    fn inflict(&self, log: &Path) {
        let path = log.join(&self.file);
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        match &self.kind {
            Kind::Flipped(flips) => {
                for &(offset, bits) in flips {
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, offset).unwrap();
                    file.write_all_at(&[byte[0] ^ bits], offset).unwrap();
                }
            }
            Kind::Cut(bytes) => file.set_len(*bytes).unwrap(),
            Kind::Zeroed(from, bytes) => {
                let end = file.metadata().unwrap().len().min(from + bytes);
                file.write_all_at(&vec![0; (end - from) as usize], *from).unwrap();
            }
            Kind::Removed => fs::remove_file(path).unwrap(),
        }
    }

    fn file_name(&self) -> String {
        let name = self.file.file_name().unwrap().to_str().unwrap();
        name.split('.').next().unwrap().to_owned()
    }
}

/// All files that are not empty, and their sizes.
fn files_under(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        match path.metadata().unwrap() {
            metadata if metadata.is_dir() => files.extend(files_under(&path)),
            metadata if metadata.len() == 0 => {}
            metadata => files.push((path, metadata.len())),
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}
