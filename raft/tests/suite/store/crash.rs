//! A process that writes is killed, again and again, and what it had been answered is there.
//!
//! `CONVOY_STORE_KILLS` says how often, `CONVOY_STORE_SEED` with which seed to begin.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::child::{Orders, Said};
use super::model::{self, Held, Operation};
use super::tools;

/// A log is written to by this many processes, one after the other; then a new one begins.
const LIVES: u64 = 15;

#[test]
fn what_was_answered_survives_kill_9() {
    let kills = tools::number("CONVOY_STORE_KILLS", 60);
    let first = tools::number("CONVOY_STORE_SEED", tools::random_seed());
    let (mut operations, mut unopened, mut healed) = (0, 0, 0);
    for seed in (0..kills.div_ceil(LIVES)).map(|log| first.wrapping_add(log)) {
        let log = Log::kill_again_and_again(seed, LIVES.min(kills));
        operations += log.answered;
        unopened += log.unopened;
        healed += log.healed;
    }
    eprintln!(
        "{kills} kills, {unopened} of them before the log was open; {operations} operations \
         answered, {healed} commits healed by the side file"
    );
}

/// A log in its many lives, and what it must hold.
#[derive(Default)]
struct Log {
    /// What it held when it was last looked at, and what it was asked for since.
    base: Held,
    operations: Vec<Operation>,
    acknowledged: usize,
    answered: usize,
    unopened: usize,
    unopened_in_a_row: usize,
    healed: u64,
}

impl Log {
    fn kill_again_and_again(seed: u64, lives: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut log = Self::default();
        for life in 0..=lives {
            let orders = Orders {
                directory: directory.path().join("log"),
                report: directory.path().join(format!("report-{life}")),
                seed: random.u64(..),
                operations: if life == lives { 0 } else { 100_000 },
                bytes: 400,
            };
            // A log that is never opened to its end is set aside at last.
            let at_start = log.unopened_in_a_row < 4 && random.u32(0..3) == 0;
            let said = live(&orders, at_start, &mut random);
            if let Err(wrong) = log.look(&said) {
                panic!("life {life}: {wrong}\n{}", tools::replay("crash", seed));
            }
        }
        assert!(log.operations.is_empty(), "the last life only looks");
        log
    }

    fn look(&mut self, said: &Said) -> Result<(), String> {
        let Some(held) = &said.held else {
            self.unopened += 1;
            self.unopened_in_a_row += 1;
            return Ok(());
        };
        if let Some(damage) = &said.aside {
            return Err(format!("set aside: {damage}"));
        }
        self.unopened_in_a_row = 0;
        model::check(&self.base, &self.operations, self.acknowledged, held)?;
        self.base = held.clone();
        self.operations.clone_from(&said.operations);
        self.acknowledged = said.acknowledged;
        self.answered += said.acknowledged;
        self.healed += said.healed;
        Ok(())
    }
}

/// Runs a child until it has said enough, or kills it at some moment after its start.
fn live(orders: &Orders, at_start: bool, random: &mut fastrand::Rng) -> Said {
    let mut child = orders.start();
    if orders.operations == 0 {
        assert!(child.wait().unwrap().success(), "cannot look at the log");
    } else {
        if !at_start {
            let lines = random.usize(1..300);
            tools::eventually(|| {
                lines <= lines_of(&orders.report) || child.try_wait().unwrap().is_some()
            });
        }
        // The moment is what is random here; nothing is waited for.
        thread::sleep(Duration::from_micros(random.u64(0..40_000)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut report = String::new();
    if let Ok(mut file) = fs::File::open(&orders.report) {
        file.read_to_string(&mut report).unwrap();
    }
    Said::read(&report)
}

/// How often a child said that it asked for something, or was answered.
fn lines_of(path: &Path) -> usize {
    let report = fs::read_to_string(path).unwrap_or_default();
    report.lines().filter(|line| line.starts_with(['+', '-'])).count()
}
