//! What the side file gives back, whole and damaged.

use std::os::unix::fs::FileExt;

use super::super::changes::Tree;
use super::*;

fn changes(commit: u64, bytes: usize) -> Changes {
    let mut changes = Changes::default();
    changes.put(Tree::Log, &commit.to_be_bytes(), &vec![7; bytes]);
    changes.delete(Tree::State, b"other");
    changes
}

/// Writes commits from one to `last`, and gives back the directory.
fn written(last: u64, bytes: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (mut side, _) = Side::open(directory.path()).unwrap();
    for commit in 1..=last {
        side.append(commit, &changes(commit, bytes)).unwrap();
    }
    directory
}

fn since(directory: &Path, commit: u64) -> Option<usize> {
    let (_, records) = Side::open(directory).unwrap();
    let found = records.since(commit)?;
    for (number, found) in (commit + 1..).zip(&found) {
        assert_eq!(found.written()[8..16], number.to_be_bytes());
    }
    Some(found.len())
}

#[test]
fn commits_come_back_in_order_from_any_on() {
    let directory = written(20, 700);
    assert_eq!(since(directory.path(), 0), Some(20));
    assert_eq!(since(directory.path(), 17), Some(3));
    assert_eq!(since(directory.path(), 20), Some(0));
}

#[test]
fn a_file_that_is_written_over_still_holds_what_it_held_last() {
    let directory = written(60, 600_000);
    let (_, records) = Side::open(directory.path()).unwrap();
    assert_eq!(records.last(), Some(60));
    let first = *records.found.first_key_value().unwrap().0;
    assert!(first < 50, "{first}");
    assert_eq!(since(directory.path(), 49), Some(11));
    assert_eq!(since(directory.path(), 0), None, "commit 1 is long gone");
}

#[test]
fn appending_goes_on_where_it_ended() {
    let directory = written(5, 100);
    let (mut side, _) = Side::open(directory.path()).unwrap();
    side.append(6, &changes(6, 100)).unwrap();
    assert_eq!(since(directory.path(), 0), Some(6));
}

#[test]
fn a_damaged_commit_is_missed_and_those_after_it_are_found() {
    let directory = written(10, 700);
    let [first, _] = paths(directory.path());
    let file = OpenOptions::new().write(true).open(first).unwrap();
    file.write_all_at(&[0xff], 3 * padded(changes(1, 700).bytes()) as u64 + 300).unwrap();
    assert_eq!(since(directory.path(), 0), None);
    assert_eq!(since(directory.path(), 4), Some(6));
}

#[test]
fn a_torn_last_commit_is_as_if_it_had_not_been() {
    let directory = written(3, 2000);
    let [first, _] = paths(directory.path());
    let file = OpenOptions::new().write(true).open(first).unwrap();
    file.write_all_at(&[0; 512], 2 * padded(changes(1, 2000).bytes()) as u64 + 512).unwrap();
    assert_eq!(since(directory.path(), 0), Some(2));
}
