//! What the store does while nothing goes wrong, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use convoy_raft::store::{LogStore, OpenError, Place, Settings};
use futures_util::TryStreamExt;
use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;

use super::tools::{append, clock, entries, log_id, open, read, runtime, try_open, vote};

#[test]
fn what_was_written_is_there_after_closing() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut store = open(directory.path()).await;
        append(&mut store, entries(1, 0..10, 100)).await.unwrap();
        append(&mut store, entries(2, 10..12, 0)).await.unwrap();
        store.save_vote(&vote(3, 7)).await.unwrap();
        store.save_committed(Some(log_id(1, 8))).await.unwrap();
        store.set_note("identity", Some(Bytes::from_static(b"five"))).await.unwrap();
        let before = store.positions();
        store.close().await;

        let mut store = open(directory.path()).await;
        assert_eq!(store.positions(), before);
        assert_eq!(store.note("identity").unwrap(), "five");
        let expected = [entries(1, 0..10, 100), entries(2, 10..12, 0)].concat();
        assert_eq!(read(&mut store, ..).await, expected);
        assert_eq!(read(&mut store, 3..=4).await, expected[3..=4]);
    });
}

#[test]
fn truncated_entries_are_gone_and_others_take_their_place() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut store = open(directory.path()).await;
        append(&mut store, entries(1, 0..600, 10)).await.unwrap();
        store.truncate_after(Some(log_id(1, 4))).await.unwrap();
        append(&mut store, entries(2, 5..8, 10)).await.unwrap();
        let expected = [entries(1, 0..5, 10), entries(2, 5..8, 10)].concat();
        assert_eq!(read(&mut store, ..).await, expected);
        store.close().await;
        assert_eq!(read(&mut open(directory.path()).await, ..).await, expected);
    });
}

#[test]
fn purged_entries_are_gone_at_once_and_their_records_soon() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut store = open(directory.path()).await;
        append(&mut store, entries(1, 0..2000, 10)).await.unwrap();
        store.purge(log_id(1, 1989)).await.unwrap();
        assert_eq!(read(&mut store, ..).await, entries(1, 1990..2000, 10));
        // Each removal follows a commit, or happens while nobody asks for anything.
        while store.figures().swept < 1990 {
            store.save_vote(&vote(1, 1)).await.unwrap();
        }
        store.close().await;
        let mut store = open(directory.path()).await;
        assert_eq!(store.positions().purged, Some(log_id(1, 1989)));
        assert_eq!(read(&mut store, ..).await, entries(1, 1990..2000, 10));
    });
}

#[test]
fn a_log_goes_on_after_a_snapshot_that_lies_beyond_its_end() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut store = open(directory.path()).await;
        append(&mut store, entries(1, 0..5, 10)).await.unwrap();
        store.purge(log_id(2, 100)).await.unwrap();
        let state = store.get_log_state().await.unwrap();
        assert_eq!(state.last_log_id, Some(log_id(2, 100)));
        append(&mut store, entries(3, 101..104, 10)).await.unwrap();
        store.close().await;
        let mut store = open(directory.path()).await;
        assert_eq!(read(&mut store, ..).await, entries(3, 101..104, 10));
    });
}

#[test]
fn entries_beyond_a_record_span_several_and_sled_keeps_them_in_its_log() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut store = open(directory.path()).await;
        for index in 0..60 {
            append(&mut store, entries(1, index..index + 1, 300_000)).await.unwrap();
        }
        let mut reader = store.get_log_reader().await;
        let whole = reader.try_get_log_entries(..).await.unwrap();
        assert_eq!(whole, entries(1, 0..60, 300_000));
        assert!(0 < store.figures().entries_from_disk, "all came from memory");
        let limited = reader.limited_get_log_entries(0, 60).await.unwrap();
        assert!(limited.len() < 10, "{} entries at once", limited.len());
        let stream: Vec<_> = reader.entries_stream(2..50).await.try_collect().await.unwrap();
        assert_eq!(stream, whole[2..50]);
        store.close().await;
        let blobs = fs::read_dir(directory.path().join("log/sled/blobs")).unwrap();
        assert_eq!(blobs.count(), 0, "sled never syncs these");
        assert_eq!(read(&mut open(directory.path()).await, ..).await, whole);
    });
}

#[test]
fn an_entry_that_would_leave_a_hole_is_refused_and_harms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut store = open(directory.path()).await;
        append(&mut store, entries(1, 0..3, 10)).await.unwrap();
        let error = append(&mut store, entries(1, 4..5, 10)).await.unwrap_err();
        assert_eq!(error.to_string(), "entry 4 does not follow on the log, which ends before 3");
        append(&mut store, entries(1, 3..4, 10)).await.unwrap();
        assert_eq!(read(&mut store, ..).await, entries(1, 0..4, 10));
    });
}

#[test]
fn a_directory_serves_one_store_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path()).await;
        let error = try_open(directory.path()).await.unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        store.close().await;
        open(directory.path()).await;
    });
}

#[test]
fn a_directory_that_cannot_be_made_says_what_helps() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "no directory").unwrap();
    runtime().block_on(async {
        let error = try_open(&file.join("log")).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot keep the log in {}/log", file.display()));
        assert_eq!(error.remedy(), convoy_raft::store::OpenRemedy::Temporary);
    });
}

#[test]
fn a_temporary_log_is_gone_when_it_is_closed() {
    runtime().block_on(async {
        let settings = Settings { place: Place::Temporary, clock };
        let opened = LogStore::open(settings).await.unwrap();
        let mut store = opened.store;
        append(&mut store, entries(1, 0..3, 10)).await.unwrap();
        assert!(opened.path.join("log").exists());
        store.close().await;
        assert!(!opened.path.exists());
    });
}

#[test]
fn a_closed_store_says_so() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut store = open(directory.path()).await;
        store.close().await;
        let error = store.save_vote(&vote(1, 1)).await.unwrap_err();
        assert_eq!(error.to_string(), "the store is closed");
    });
}

#[test]
fn nobody_else_may_read_the_log() {
    let parent = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(&parent.path().join("data")).await;
        for file in ["log", "log/sled/db", "log/side-0"] {
            let path = parent.path().join("data").join(file);
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
        }
        store.close().await;
    });
}
