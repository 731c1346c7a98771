//! Snapshots of machines: canonical, restorable, and proof against damage; and what a new
//! generation makes of one.

use convoy_prefix_index::{Digest, Outcome, Refusal, Stamp};
use convoy_raft::{
    batch::Batch,
    identity::{DiskId, Generation},
    machine::{Founder, ItemOutcome, Machine, MachineRestore, MachineRestoreError},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    history::{History, formed, name, position},
    machines::{after, form, hold, join},
    replay::for_seeds,
};

pub(crate) fn bytes(machine: &Machine) -> Vec<u8> {
    machine.freeze().chunks().flatten().collect()
}

pub(crate) fn restore(bytes: &[u8]) -> Result<Machine, MachineRestoreError> {
    let mut restore = MachineRestore::new();
    for piece in bytes.chunks(1000) {
        restore.push(piece)?;
    }
    restore.finish()
}

#[test]
fn a_new_generation_keeps_what_endpoints_hold_and_what_was_applied() {
    let (mut machine, _) = after(&[(1, &[form(1), join(0)]), (2, &[hold(7, 0)])]);
    let index = machine.index().digest();
    let (id, start) = (machine.fresh_id(), position(10));
    let generation = Generation { number: 2, random: 5 };
    let founder = Founder { id, name: name(2), disk: DiskId(2), position: start };
    machine.reform(generation, founder).unwrap();
    assert_eq!(machine.index().digest(), index);
    assert_eq!(machine.applied(), Some(start));
    assert_eq!(machine.facts().membership.voters, [[id].into()]);
    let cluster = machine.facts().cluster.clone().unwrap();
    assert_eq!(cluster.generation, generation);
    assert_eq!(cluster.lineage.holds(formed(1).generation), Some(1));
    let mut restored = restore(&bytes(&machine)).unwrap();
    let again = Batch { stamp: Stamp(9), items: vec![hold(7, 0)] };
    let outcomes = restored.apply(position(11), &again).unwrap().outcomes;
    assert!(matches!(
        outcomes[..],
        [ItemOutcome::Sighted { outcome: Outcome::Refused(Refusal::RepeatedSequence { .. }), .. }]
    ));
}

#[test]
fn every_flipped_byte_of_a_snapshot_is_noticed() {
    let mut history = History::new(3);
    let mut machine = Machine::new();
    for _ in 0..60 {
        machine.apply(history.position(), &history.batch()).unwrap();
    }
    let whole = bytes(&machine);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(restore(&damaged).is_err(), "byte {at}");
        assert!(restore(&whole[..at]).is_err(), "{at} bytes");
    }
    assert!(restore(&[&whole[..], b"x"].concat()).is_err());
    assert_eq!(restore(&whole).unwrap().digest(), machine.digest());
}

/// The parts of a snapshot: what is before the record, the record, and the index.
fn parts(whole: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let length = u32::from_le_bytes(whole[6..10].try_into().unwrap()) as usize;
    let (head, index) = whole.split_at(18 + length);
    (&head[..18], &head[26..], index)
}

/// A snapshot with right checksums and, if the index has this digest, a right digest.
fn written(record: &[u8], index: (&[u8], Digest)) -> Vec<u8> {
    let digest = xxh3_64_with_seed(record, index.1.0).to_le_bytes();
    let body = [&digest, record].concat();
    let (length, checksum) = (body.len() as u32, xxh3_64_with_seed(&body, 1));
    let head = [b"CvMS", &1u16.to_le_bytes()[..], &length.to_le_bytes(), &checksum.to_le_bytes()];
    [&head.concat(), &body[..], index.0].concat()
}

#[test]
fn a_record_and_an_index_of_different_machines_are_no_snapshot() {
    let (machine, _) = after(&[(1, &[form(1), join(0)]), (2, &[hold(1, 0)])]);
    let (other, _) = after(&[(1, &[form(1), join(1)]), (2, &[])]);
    let (whole, others) = (bytes(&machine), bytes(&other));
    let (_, record, index) = parts(&whole);
    assert_eq!(written(record, (index, machine.index().digest())), whole);
    let (_, record, _) = parts(&others);
    let lie = written(record, (index, other.index().digest()));
    assert_eq!(restore(&lie).unwrap_err(), MachineRestoreError::Endpoints);
    let lie = written(record, (index, machine.index().digest()));
    assert_eq!(restore(&lie).unwrap_err(), MachineRestoreError::Endpoints);
}

/// Damage under right checksums: a mistaken or lying writer. What is accepted has one form only.
#[test]
fn no_record_is_trusted() {
    for_seeds("no_record_is_trusted", 2000, |seed| {
        let (machine, _) = after(&[(1, &[form(1), join(0)]), (2, &[hold(1, 0)])]);
        let whole = bytes(&machine);
        let (_, record, index) = parts(&whole);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut record = record.to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..record.len());
            record[at] = if random.bool() { 0xff } else { random.u8(..) };
        }
        let lie = written(&record, (index, machine.index().digest()));
        if let Ok(restored) = restore(&lie) {
            assert_eq!(bytes(&restored), lie);
        }
        // The digest is of the record before.
        let old = [&whole[18..26], &record].concat();
        let checksum = xxh3_64_with_seed(&old, 1).to_le_bytes();
        let stale = [&whole[..10], &checksum, &old, index].concat();
        assert!(restore(&stale).is_err() || stale == whole);
    });
}

#[test]
fn a_snapshot_of_random_bytes_is_refused() {
    for_seeds("a_snapshot_of_random_bytes_is_refused", 500, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        assert!(restore(&bytes).is_err());
        bytes.splice(0..0, *b"CvMS\x01\x00");
        assert!(restore(&bytes).is_err());
    });
}
