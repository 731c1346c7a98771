//! The disk refuses: what was answered before is there, and nothing is answered after.
//!
//! `CONVOY_STORE_FAILURES` says how often, `CONVOY_STORE_SEED` with which seed.

use std::fs;

use super::child::{self, Orders, Recorder, Said};
use super::model::{self, Held};
use super::tools;

#[test]
fn what_was_answered_survives_a_disk_that_is_full() {
    fail_often("CONVOY_RECORD_WRITES_MAX", 200..3000);
}

#[test]
fn what_was_answered_survives_a_disk_that_cannot_sync() {
    fail_often("CONVOY_RECORD_SYNCS_MAX", 50..1000);
}

fn fail_often(limit: &str, calls: std::ops::Range<u64>) {
    let seed = tools::number("CONVOY_STORE_SEED", tools::random_seed());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut answered = 0;
    for number in 0..tools::number("CONVOY_STORE_FAILURES", 10) {
        let calls = random.u64(calls.clone());
        let directory = tempfile::tempdir().unwrap();
        let orders = Orders {
            directory: directory.path().join("run").join("log"),
            report: directory.path().join("run").join("report"),
            seed: random.u64(..),
            operations: 100_000,
            bytes: 400,
        };
        fs::create_dir(directory.path().join("run")).unwrap();
        let recorder = Recorder::in_directory(directory.path());
        // It ends by itself: whatever it asks for is refused.
        let ended = orders.start_recorded(&recorder, &[(limit, calls)]).wait().unwrap();
        assert!(!ended.success(), "it went on after {calls} calls");
        let before = Said::read(&fs::read_to_string(&orders.report).unwrap_or_default());
        answered += before.acknowledged;
        let found = child::look(&orders.directory, orders.bytes);
        if let Err(wrong) = check(&before, &found) {
            let replay = tools::replay("failing", seed);
            panic!("{number}, failing after {calls} calls: {wrong}\n{replay}");
        }
    }
    eprintln!("{limit}: {answered} operations answered before the disk failed");
}

fn check(before: &Said, found: &Said) -> Result<(), String> {
    let held = found.held.as_ref().ok_or("the log was not opened")?;
    if let Some(damage) = &found.aside {
        return Err(format!("set aside: {damage}"));
    }
    model::check(&Held::default(), &before.operations, before.acknowledged, held)
}
