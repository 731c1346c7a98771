//! A process of its own that opens a log, says what it holds, and writes to it until it is killed.
//!
//! What it says goes to a file, one line for each thing, each written at once:
//!
//! ```text
//! held vote 3 1           what the log held when it was opened: vote, purge, append, note lines
//! aside <damage>          it was set aside
//! healed 2                commits that the side file gave back
//! open                    that was all
//! + append 3 17 4         asked for
//! - 0                     the operation of this number, counted from zero, was answered
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use convoy_raft::Types;
use convoy_raft::store::{LogStore, Opened};
use convoy_raft::types::{Entry, LogId};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, alias};

use super::model::{Held, Operation};
use super::tools;

/// What a child is to do. Given to it in its environment.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    pub(super) directory: PathBuf,
    pub(super) report: PathBuf,
    pub(super) seed: u64,
    /// How many operations; zero only looks.
    pub(super) operations: u64,
    /// Payloads are some of these bytes long, and sometimes far longer.
    pub(super) bytes: u64,
}

const ORDERS: &str = "CONVOY_STORE_CHILD";

impl Orders {
    pub(super) fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }

    /// Starts a child that is recorded, with these limits.
    pub(super) fn start_recorded(&self, recorder: &Recorder, limits: &[(&str, u64)]) -> Child {
        let mut command = self.command();
        command.env("LD_PRELOAD", &recorder.library);
        command.env("CONVOY_RECORD_TO", &recorder.recording);
        command.env("CONVOY_RECORD_UNDER", self.directory.parent().unwrap());
        command.envs(limits.iter().map(|(name, limit)| (name, limit.to_string())));
        command.spawn().unwrap()
    }

    fn command(&self) -> Command {
        let Self { directory, report, seed, operations, bytes } = self;
        let (directory, report) = (directory.display(), report.display());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "store::child::a_process_that_writes_until_it_is_killed"])
            .args(["--ignored", "--nocapture"])
            .env(ORDERS, format!("{directory}\n{report}\n{seed}\n{operations}\n{bytes}"))
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn from_environment() -> Option<Self> {
        let orders = std::env::var(ORDERS).ok()?;
        let mut lines = orders.lines();
        let directory = lines.next()?.into();
        let report = lines.next()?.into();
        let mut number = || lines.next()?.parse().ok();
        Some(Self { directory, report, seed: number()?, operations: number()?, bytes: number()? })
    }
}

/// A library that records what a process does to its files, and where it records it.
pub(super) struct Recorder {
    library: PathBuf,
    pub(super) recording: PathBuf,
}

impl Recorder {
    /// Compiles the library, in `directory`.
    pub(super) fn in_directory(directory: &Path) -> Self {
        let library = directory.join("recorder.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/store/recorder.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .expect("a C compiler, which ring needs as well");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Self { library, recording: directory.join("recording") }
    }
}

/// What a process finds in the log at `log`, if it gets so far.
pub(super) fn look(log: &Path, bytes: u64) -> Said {
    let report = log.with_extension("report");
    let directory = log.to_owned();
    let orders = Orders { directory, report: report.clone(), seed: 0, operations: 0, bytes };
    orders.start().wait().unwrap();
    Said::read(&fs::read_to_string(report).unwrap_or_default())
}

/// What a child said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// What the log held, if the child came so far.
    pub(super) held: Option<Held>,
    /// Why the log was set aside.
    pub(super) aside: Option<String>,
    pub(super) healed: u64,
    pub(super) operations: Vec<Operation>,
    /// How many of them were answered.
    pub(super) acknowledged: usize,
}

impl Said {
    /// Reads a report; a last line that was cut off counts as not said.
    pub(super) fn read(report: &str) -> Self {
        let whole = report.rfind('\n').map_or("", |end| &report[..end]);
        let mut said = Self::default();
        let mut held = Held::default();
        for line in whole.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("held", operation) => held.apply(&operation.parse().unwrap()),
                ("aside", damage) => said.aside = Some(damage.to_owned()),
                ("healed", commits) => said.healed = commits.parse().unwrap(),
                ("open", "") => said.held = Some(held.clone()),
                ("+", operation) => said.operations.push(operation.parse().unwrap()),
                ("-", number) => {
                    let number: usize = number.parse().unwrap();
                    said.acknowledged = said.acknowledged.max(number + 1);
                }
                other => panic!("a child said {other:?}"),
            }
        }
        said
    }
}

#[test]
#[ignore = "started and killed by the tests of crashes; alone it does nothing"]
fn a_process_that_writes_until_it_is_killed() {
    if let Some(orders) = Orders::from_environment() {
        let report = File::options().append(true).create(true).open(&orders.report).unwrap();
        tools::runtime().block_on(async {
            let opened = tools::try_open(&orders.directory).await.unwrap();
            let mut writer = Writer::new(opened, report, &orders).await;
            for _ in 0..orders.operations {
                writer.operate().await;
            }
            writer.wait_for_appends(0).await;
            if orders.operations == 0 {
                writer.store.close().await;
            }
        });
    }
}

type Flushed = alias::OneshotReceiverOf<Types, std::io::Result<()>>;

struct Writer {
    store: LogStore,
    held: Held,
    report: File,
    random: fastrand::Rng,
    bytes: u64,
    number: usize,
    appends: VecDeque<(usize, Flushed)>,
}

impl Writer {
    async fn new(opened: Opened, report: File, orders: &Orders) -> Self {
        let Opened { mut store, set_aside, healed, .. } = opened;
        let held = held(&mut store, orders.bytes).await;
        let random = fastrand::Rng::with_seed(orders.seed);
        let (number, appends, bytes) = (0, VecDeque::new(), orders.bytes);
        let mut writer = Self { store, held, report, random, bytes, number, appends };
        let held = operations_to(&writer.held);
        let held = held.into_iter().map(|operation| format!("held {operation}"));
        let aside = set_aside.map(|aside| format!("aside {:?}", aside.damage));
        let healed = [format!("healed {healed}"), "open".to_owned()];
        writer.say(held.chain(aside).chain(healed).collect::<Vec<_>>().join("\n"));
        writer
    }

    fn say(&mut self, line: impl Display) {
        self.report.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    async fn operate(&mut self) {
        let operation = self.choose();
        self.say(format!("+ {operation}"));
        let number = self.number;
        self.number += 1;
        self.held.apply(&operation);
        match operation {
            Operation::Append { term, first, count } => {
                let entries = entries(term, first..first + count, self.bytes);
                let (sender, flushed) = Types::oneshot();
                self.store.append(entries, IOFlushed::signal(sender)).await.unwrap();
                self.appends.push_back((number, flushed));
                let in_flight = self.random.usize(0..8);
                return self.wait_for_appends(in_flight).await;
            }
            Operation::Vote { term, replica } => {
                self.store.save_vote(&tools::vote(term, replica)).await.unwrap();
            }
            Operation::Truncate { after } => {
                let after = after.map(|(index, term)| tools::log_id(term, index));
                self.store.truncate_after(after).await.unwrap();
            }
            Operation::Purge { upto: (index, term) } => {
                self.store.purge(tools::log_id(term, index)).await.unwrap();
            }
            Operation::Note { name, value } => {
                let value = Bytes::from(value.to_string());
                self.store.set_note(&name.to_string(), Some(value)).await.unwrap();
            }
        }
        self.say(format!("- {number}"));
    }

    async fn wait_for_appends(&mut self, in_flight_max: usize) {
        while in_flight_max < self.appends.len() {
            let (number, flushed) = self.appends.pop_front().unwrap();
            flushed.await.unwrap().unwrap();
            self.say(format!("- {number}"));
        }
    }

    fn choose(&mut self) -> Operation {
        let term = self.held.vote.map_or(1, |(term, _)| term);
        let last = self.held.last();
        let vote = Operation::Vote { term: term + 1, replica: self.random.u64(1..4) };
        match (self.random.u32(0..100), last) {
            (0..5, _) => vote,
            (5..8, _) => {
                Operation::Note { name: self.random.u64(0..3), value: self.random.u64(..) }
            }
            // A new leader truncates: what follows is of a term of its own.
            (8..11, Some((_, last_term))) if last_term < term => {
                let mut indexes = self.held.entries.iter().rev();
                let after =
                    indexes.nth(self.random.usize(0..40)).map(|(&index, &term)| (index, term));
                Operation::Truncate { after: after.or(self.held.purged) }
            }
            (11..14, Some(_)) if 20 < self.held.entries.len() => {
                let at = self.random.usize(0..self.held.entries.len() - 10);
                let (&index, &term) = self.held.entries.iter().nth(at).unwrap();
                Operation::Purge { upto: (index, term) }
            }
            _ => {
                let first = self.held.next_index();
                let term = term.max(last.map_or(1, |(_, term)| term));
                Operation::Append { term, first, count: self.random.u64(1..12) }
            }
        }
    }
}

/// What `store` holds. Every entry's content is checked.
async fn held(store: &mut LogStore, bytes: u64) -> Held {
    let positions = store.positions();
    let place = |log_id: LogId| (log_id.index, log_id.leader_id.term);
    let mut terms = BTreeMap::new();
    for entry in tools::read(store, ..).await {
        let (index, term) = place(entry.log_id);
        assert_eq!(vec![entry], entries(term, index..index + 1, bytes), "content of {index}");
        terms.insert(index, term);
    }
    assert_eq!(terms.keys().next_back().copied(), positions.last.map(|last| last.index));
    let note = |name: u64| {
        let value = store.note(&name.to_string())?;
        Some((name, std::str::from_utf8(&value).unwrap().parse().unwrap()))
    };
    Held {
        vote: positions.vote.map(|vote| (vote.leader_id().term, vote.leader_id().node_id)),
        purged: positions.purged.map(place),
        entries: terms,
        notes: (0..3).filter_map(note).collect(),
    }
}

/// Operations that lead from nothing to `held`.
fn operations_to(held: &Held) -> Vec<Operation> {
    let Held { vote, purged, entries, notes } = held;
    let vote = vote.map(|(term, replica)| Operation::Vote { term, replica });
    let purged = purged.map(|upto| Operation::Purge { upto });
    let entries = entries.iter().map(|(&first, &term)| Operation::Append { term, first, count: 1 });
    let notes = notes.iter().map(|(&name, &value)| Operation::Note { name, value });
    vote.into_iter().chain(purged).chain(entries).chain(notes).collect()
}

/// Entries whose content follows from where they stand.
fn entries(term: u64, range: std::ops::Range<u64>, bytes: u64) -> Vec<Entry> {
    let entry = |index: u64| {
        let log_id = tools::log_id(term, index);
        let mut random = fastrand::Rng::with_seed(index.wrapping_mul(31) ^ term);
        let bytes = match random.u32(0..60) {
            0 => random.u64(0..20 * bytes + 100_000),
            1 => 0,
            _ => random.u64(1..=bytes),
        };
        let entry = tools::entry(log_id, tools::content(log_id, bytes as usize));
        assert!(matches!(entry.payload, EntryPayload::Normal(_)));
        entry
    };
    range.map(entry).collect()
}
