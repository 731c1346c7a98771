//! Power is cut at any moment, and what had been answered is there.
//!
//! A process that writes is recorded by a library that it loads before all others. From the
//! recording, disks are built as power cuts at some moments would leave them, and opened.
//!
//! `CONVOY_STORE_CUTS` says how many, `CONVOY_STORE_SEED` with which seed, `CONVOY_STORE_OPERATIONS`
//! and `CONVOY_STORE_BYTES` how much is written.

use std::fs;
use std::path::Path;

use super::child::{self, Orders, Recorder, Said};
use super::disk::{self, Disk, FATES, Fate};
use super::model::{self, Held};
use super::tools;

#[test]
fn what_was_answered_survives_a_power_cut() {
    let cuts = tools::number("CONVOY_STORE_CUTS", 60) as usize;
    let seed = tools::number("CONVOY_STORE_SEED", tools::random_seed());
    let directory = tempfile::tempdir().unwrap();
    let orders = Orders {
        directory: directory.path().join("run").join("log"),
        report: directory.path().join("run").join("report"),
        seed,
        operations: tools::number("CONVOY_STORE_OPERATIONS", 800),
        bytes: tools::number("CONVOY_STORE_BYTES", 2000),
    };
    let events = disk::events(&record(&orders, directory.path()));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut moments: Vec<usize> = (0..cuts).map(|_| random.usize(0..=events.len())).collect();
    moments.sort_unstable();
    let (mut disk, mut played, mut healed) = (Disk::default(), 0, 0);
    for (number, moment) in moments.into_iter().enumerate() {
        events[played..moment].iter().for_each(|event| disk.play(event));
        played = moment;
        let fate = FATES[number % FATES.len()];
        let before = Said::read(&String::from_utf8(disk.written(&orders.report)).unwrap());
        let found = open_after_cut(&disk, &orders, fate, &mut random);
        healed += found.healed;
        if let Err(wrong) = check(&before, &found) {
            let of = events.len();
            panic!("cut at {moment} of {of}, {fate:?}: {wrong}\n{}", tools::replay("power", seed));
        }
    }
    eprintln!("{cuts} power cuts over {} calls; {healed} commits healed", events.len());
}

fn check(before: &Said, found: &Said) -> Result<(), String> {
    let held = found.held.as_ref().ok_or("the log was not opened")?;
    if let Some(damage) = &found.aside {
        return Err(format!("set aside: {damage}"));
    }
    model::check(&Held::default(), &before.operations, before.acknowledged, held)
}

/// Runs a child to its end, and gives back what was recorded of it.
fn record(orders: &Orders, directory: &Path) -> Vec<u8> {
    let recorder = Recorder::in_directory(directory);
    fs::create_dir(orders.report.parent().unwrap()).unwrap();
    let ended = orders.start_recorded(&recorder, &[]).wait().unwrap();
    assert!(ended.success(), "the recorded process failed: {ended}");
    fs::read(recorder.recording).unwrap()
}

fn open_after_cut(disk: &Disk, orders: &Orders, fate: Fate, random: &mut fastrand::Rng) -> Said {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("log");
    disk.cut_power(&orders.directory, &image, fate, random);
    child::look(&image, orders.bytes)
}
