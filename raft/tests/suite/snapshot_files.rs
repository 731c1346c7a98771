//! Snapshots as files, and on their way between replicas.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use bytes::Bytes;
use convoy_prefix_index::Stamp;
use convoy_raft::{
    batch::{BATCH_BYTES_MAX, Batch, HELD_HASHES_MAX, Item, Seen, Sighted},
    identity::{DiskId, Generation},
    machine::{
        Applier, ApplierStartError, FoundError, Founder, MachineRestoreError, ReceiveError,
        SnapshotData, SnapshotOpenError, TRANSFER_CHUNK_BYTES, Threads, found,
    },
};
use openraft::{RaftSnapshotBuilder, storage::RaftStateMachine};
use tokio::sync::mpsc;

use crate::{
    appliers::Desk,
    history::{History, endpoint, hash, name, position},
    machines::{form, hold, join},
};

/// A desk whose machine went through a history.
async fn used(directory: &Path, seed: u64) -> Desk {
    let mut desk = Desk::open(directory);
    let mut history = History::new(seed);
    desk.apply(&[&[form(1), join(0), hold(1, 0)]]).await;
    for _ in 0..60 {
        desk.apply_bytes(history.batch().encode().unwrap()).await;
    }
    desk
}

async fn cut(desk: &mut Desk) -> SnapshotData {
    desk.applier.want_snapshot();
    let mut builder = desk.machine.try_create_snapshot_builder(false).await.unwrap();
    builder.build_snapshot().await.unwrap().snapshot
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_restart_begins_with_the_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = used(folder.path(), 1).await;
    let snapshot = cut(&mut desk).await;
    assert!(desk.machine.try_create_snapshot_builder(false).await.is_none(), "it was wanted once");
    let digest = desk.applier.digest().await.unwrap();
    assert_eq!((snapshot.position(), snapshot.digest()), digest);
    desk.apply(&[&[join(4)]]).await;
    drop(desk);
    let mut again = Desk::open(folder.path());
    assert_eq!(again.applier.digest().await.unwrap(), digest);
    let (applied, membership) = again.machine.applied_state().await.unwrap();
    assert_eq!(applied, snapshot.meta().last_log_id);
    assert_eq!(membership, snapshot.meta().last_membership);
    let current = again.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta, snapshot.meta());
}

#[tokio::test]
async fn snapshots_are_their_owners_alone_and_nothing_unfinished_stays() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("7.unfinished"), "half of something").unwrap();
    let mut desk = used(folder.path(), 2).await;
    assert_eq!(names(folder.path()), [""; 0]);
    cut(&mut desk).await;
    drop(desk.applier.incoming().unwrap());
    assert_eq!(names(folder.path()), ["current.snapshot"]);
    let mode = fs::metadata(folder.path().join("current.snapshot")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_damaged_file_is_told_with_its_name_and_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = used(folder.path(), 3).await;
    cut(&mut desk).await;
    let path = folder.path().join("current.snapshot");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let fault = Applier::start(folder.path(), Threads::None, Box::new(|_| ())).unwrap_err();
    let ApplierStartError::Snapshots(fault) = fault else { panic!("{fault}") };
    assert!(fault.to_string().contains("current.snapshot"), "{fault}");
    assert!(fault.remedy().contains("join anew"));
    let SnapshotOpenError::Damaged { source: MachineRestoreError::Index(place), .. } = fault else {
        panic!("{fault}")
    };
    assert!(place.to_string().starts_with("chunk 0"), "{place}");
}

#[tokio::test]
async fn a_snapshot_goes_from_one_replica_to_another() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sender = used(from.path(), 4).await;
    let snapshot = cut(&mut sender).await;
    let mut receiver = Desk::open(to.path());
    receiver.apply(&[&[form(1), join(3)]]).await;
    let before = receiver.applier.reading().load_full();
    let mut incoming = receiver.applier.incoming().unwrap();
    let mut outgoing = snapshot.outgoing();
    while let Some(chunk) = outgoing.next_chunk().unwrap() {
        assert!(chunk.len() <= TRANSFER_CHUNK_BYTES);
        incoming.push(&chunk).unwrap();
    }
    let taken = incoming.finish().unwrap();
    let meta = taken.meta();
    assert_eq!(meta, snapshot.meta());
    receiver.machine.install_snapshot(&meta, taken).await.unwrap();
    let after = receiver.applier.reading().load_full();
    assert_eq!(receiver.applier.digest().await.unwrap(), sender.applier.digest().await.unwrap());
    assert_eq!(after.applied, snapshot.position());
    let told = receiver.heard();
    assert!(told[1].starts_with("installed Some(60) with [(Origin"), "{told:?}");
    // Whoever still reads the old one can go on.
    assert_eq!(before.reader.known_depth(&[hash(1)]), 0);
    let sent = sender.applier.reading().load().reader.statistics().memberships;
    assert_eq!(after.reader.statistics().memberships, sent);
    assert_eq!(names(to.path()), ["current.snapshot"]);
    // It is restored from its own file from here on.
    let again = Desk::open(to.path());
    assert_eq!(again.applier.digest().await.unwrap(), sender.applier.digest().await.unwrap());
}

#[tokio::test]
async fn a_fast_sender_waits_for_a_slow_receiver() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sender = used(from.path(), 5).await;
    let snapshot = cut(&mut sender).await;
    let receiver = Desk::open(to.path());
    let incoming = receiver.applier.incoming().unwrap();
    let (read, mut reads) = mpsc::channel(1);
    let (network, arrivals) = mpsc::channel(1);
    let outgoing = snapshot.outgoing();
    let sends = std::thread::spawn(move || outgoing.send_all(&read).unwrap());
    let taken = std::thread::spawn(move || incoming.receive_all(arrivals));
    while let Some(chunk) = reads.recv().await {
        for piece in chunk.chunks(100) {
            network.send(Some(Bytes::copy_from_slice(piece))).await.unwrap();
        }
    }
    drop(network);
    assert!(sends.join().unwrap());
    assert_eq!(taken.join().unwrap().unwrap().digest(), snapshot.digest());
}

#[tokio::test]
async fn a_damaged_or_cut_transfer_changes_nothing() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sender = used(from.path(), 6).await;
    let snapshot = cut(&mut sender).await;
    let chunk = snapshot.outgoing().next_chunk().unwrap().unwrap();
    let receiver = Desk::open(to.path());
    let receive = |bytes: &[u8]| -> Result<SnapshotData, ReceiveError> {
        let mut incoming = receiver.applier.incoming().unwrap();
        incoming.push(bytes)?;
        incoming.finish()
    };
    assert!(matches!(receive(&chunk[..chunk.len() - 1]), Err(ReceiveError::Damaged { .. })));
    let mut flipped = chunk.to_vec();
    flipped[chunk.len() / 2] ^= 4;
    assert!(matches!(receive(&flipped), Err(ReceiveError::Damaged { .. })));
    let (network, arrivals) = mpsc::channel(2);
    network.send(Some(chunk)).await.unwrap();
    network.send(None).await.unwrap();
    let incoming = receiver.applier.incoming().unwrap();
    let cut = std::thread::spawn(move || incoming.receive_all(arrivals)).join().unwrap();
    assert!(matches!(cut, Err(ReceiveError::CutOff { .. })));
    assert_eq!(names(to.path()), [""; 0]);
    assert_eq!(receiver.applier.reading().load().applied, None);
}

#[tokio::test]
async fn one_snapshot_is_taken_in_at_a_time() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sender = used(from.path(), 12).await;
    let chunk = cut(&mut sender).await.outgoing().next_chunk().unwrap().unwrap();
    let mut receiver = Desk::open(to.path());
    drop(receiver.applier.incoming().unwrap());
    let mut incoming = receiver.applier.incoming().unwrap();
    assert!(receiver.applier.incoming().is_err());
    incoming.push(&chunk).unwrap();
    let taken = incoming.finish().unwrap();
    assert!(receiver.applier.incoming().is_err());
    receiver.machine.install_snapshot(&taken.meta(), taken).await.unwrap();
    assert!(receiver.applier.incoming().is_ok());
}

#[tokio::test]
async fn a_snapshot_under_a_wrong_name_is_not_installed() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sender = used(from.path(), 7).await;
    let snapshot = cut(&mut sender).await;
    let mut receiver = Desk::open(to.path());
    let mut meta = snapshot.meta();
    meta.last_log_id = Some(position(99).into());
    assert!(receiver.machine.install_snapshot(&meta, snapshot).await.is_err());
    assert_eq!(receiver.applier.reading().load().applied, None);
}

#[tokio::test]
async fn an_older_snapshot_never_replaces_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = used(folder.path(), 8).await;
    desk.applier.want_snapshot();
    let mut slow = desk.machine.try_create_snapshot_builder(false).await.unwrap();
    desk.apply(&[&[join(1)]]).await;
    let later = cut(&mut desk).await;
    slow.build_snapshot().await.unwrap();
    assert_eq!(desk.applier.snapshot().unwrap().position(), later.position());
}

#[tokio::test]
async fn a_snapshot_is_due_when_the_log_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = used(folder.path(), 9).await;
    let large: Vec<Item> = (0..3).map(|at| large(at * HELD_HASHES_MAX as u64)).collect();
    let large = Batch { stamp: Stamp(1), items: large }.encode().unwrap();
    assert!(large.len() <= BATCH_BYTES_MAX);
    let enough = (64 << 20) / large.len();
    for _ in 0..enough - 1 {
        desk.apply_bytes(large.clone()).await;
    }
    assert!(desk.machine.try_create_snapshot_builder(false).await.is_none());
    for _ in 0..2 {
        desk.apply_bytes(large.clone()).await;
    }
    let mut builder = desk.machine.try_create_snapshot_builder(false).await.unwrap();
    builder.build_snapshot().await.unwrap();
    assert!(desk.machine.try_create_snapshot_builder(false).await.is_none());
}

/// As long as an item may be; nobody holds it, so it is refused.
fn large(first: u64) -> Item {
    let hashes = (first..).map(hash).take(HELD_HASHES_MAX).collect();
    Item::Sighted(Sighted {
        origin: convoy_prefix_index::Origin { replica: 9, start: 9 },
        sequence: convoy_prefix_index::Sequence(1),
        endpoint: endpoint(1, 99),
        age_ms: 0,
        seen: Seen::Held { base: None, hashes },
    })
}

#[tokio::test]
async fn what_an_odd_replica_held_is_set_aside_and_little_of_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = used(folder.path(), 10).await;
    let mut paths = Vec::new();
    for _ in 0..5 {
        paths.push(desk.applier.set_aside().await.unwrap());
        desk.apply(&[&[]]).await;
    }
    let kept: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
    assert_eq!(kept, [false, false, true, true, true]);
    assert!(desk.applier.snapshot().is_none());
}

#[tokio::test]
async fn a_new_generation_starts_from_what_the_old_one_held() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let desk = used(old.path(), 11).await;
    let mut machine = desk.applier.copy().await.unwrap();
    assert_eq!(machine.digest(), desk.applier.digest().await.unwrap().1);
    let (id, start) = (machine.fresh_id(), position(500));
    let founder = Founder { id, name: name(7), disk: DiskId(7), position: start };
    machine.reform(Generation { number: 2, random: 3 }, founder).unwrap();
    let directory = new.path().join("snapshots");
    found(&directory, &machine).unwrap();
    let mut again = Desk::open(&directory);
    let (applied, membership) = again.machine.applied_state().await.unwrap();
    assert_eq!(applied, Some(start.into()));
    assert_eq!(membership.voter_ids().collect::<Vec<_>>(), [id]);
    let known = |desk: &Desk| desk.applier.reading().load().reader.statistics().memberships;
    assert_eq!(known(&again), known(&desk));
    assert!(matches!(found(&directory, &machine), Err(FoundError::Taken { .. })));
}
