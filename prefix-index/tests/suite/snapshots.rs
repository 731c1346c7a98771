//! Snapshots: canonical, restorable, and proof against damage.

use convoy_prefix_index::{
    Command, Digest, Held, Index, Origin, Outcome, Restore, RestoreError, Sequence, Stamp,
};

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    history::{History, Names, Shape},
    model::Model,
    model_snapshot,
    replay::for_seeds,
    workload,
};

/// A snapshot's length, the hash of its bytes, and the digest of its index.
const GOLDEN: (usize, u64, u64) = (609, 0x802f_f4cd_02f6_9ab2, 0x1be9_34c6_a794_f708);

const SMALL: Shape = Shape {
    names: Names::Spread,
    endpoints: 5,
    blocks_max: 12,
    branches: 2,
    capacity_max: 60,
    memberships_max: 200,
    alike: false,
    stamp_step: 3,
    lies: false,
};

fn bytes(index: &Index) -> Vec<u8> {
    index.snapshot().chunks().flatten().collect()
}

fn restore(bytes: &[u8]) -> Result<Index, RestoreError> {
    let mut restore = Restore::new();
    restore.push(bytes)?;
    restore.finish()
}

/// Has the endpoint number 1 hold a chain of its own.
fn hold(index: &mut Index, number: u64, blocks: usize) {
    let hashes = workload::go_on(&[], number, blocks);
    let (endpoint, stamp, sequence) = (workload::endpoint(1), Stamp(number), Sequence(number));
    let origin = Origin { replica: 1, start: 1 };
    index.apply(&Command::Held(Held { endpoint, base: None, hashes, stamp, origin, sequence }));
}

fn without_slot(outcome: Outcome) -> Option<Outcome> {
    (!matches!(outcome, Outcome::Joined { .. })).then_some(outcome)
}

/// A history, and an index and a model that went through it.
fn after(shape: Shape, seed: u64, commands: usize) -> (History, Model, Index) {
    let mut history = History::new(shape, seed);
    let mut model = Model::new(history.parameters());
    let mut index = Index::new(history.parameters());
    for _ in 0..commands {
        let command = history.command(&model);
        model.apply(&command);
        index.apply(&command);
    }
    (history, model, index)
}

fn behaves_alike_for_ever(shape: Shape, seed: u64, before: usize, later: usize) {
    let (mut history, mut model, mut index) = after(shape, seed, before);
    let taken = bytes(&index);
    let mut restored = restore(&taken).unwrap();
    assert_eq!(bytes(&restored), taken);
    for _ in 0..later {
        let command: Command = history.command(&model);
        let expected = without_slot(model.apply(&command));
        assert_eq!(without_slot(index.apply(&command)), expected);
        assert_eq!(without_slot(restored.apply(&command)), expected, "after {command:?}");
        assert_eq!(restored.digest(), index.digest());
        assert_eq!(restored.audit_digest(), index.digest());
    }
    assert_eq!(bytes(&restored), bytes(&index));
}

#[test]
fn a_restored_index_behaves_alike_for_ever() {
    for_seeds("a_restored_index_behaves_alike_for_ever", 200, |seed| {
        behaves_alike_for_ever(SMALL, seed, 50 + seed as usize, 150);
    });
}

#[test]
fn so_does_one_of_long_chains() {
    let shape = Shape { blocks_max: 9000, capacity_max: 20_000, memberships_max: 60_000, ..SMALL };
    for_seeds("so_does_one_of_long_chains", 3, |seed| {
        behaves_alike_for_ever(shape, seed, 30, 20);
    });
}

#[test]
fn the_bytes_are_those_that_the_format_says() {
    for_seeds("the_bytes_are_those_that_the_format_says", 100, |seed| {
        let (_, model, index) = after(SMALL, seed, 100 + seed as usize);
        assert_eq!(bytes(&index), model_snapshot::snapshot(&model));
        assert_eq!(index.digest(), Digest(model.digest()));
    });
}

/// Replicas of two releases compare digests and send each other snapshots.
#[test]
fn format_one_and_its_digest_are_these_for_ever() {
    let (_, _, index) = after(SMALL, 11, 390);
    let taken = bytes(&index);
    let found = (taken.len(), xxh3_64(&taken), index.digest().0);
    assert_eq!(found, GOLDEN, "{found:#x?}");
    assert_eq!(restore(&taken).unwrap().digest(), index.digest());
}

#[test]
fn damage_is_located() {
    let mut index = Index::new(workload::parameters(1 << 20));
    let endpoint = workload::endpoint(1);
    index.apply(&Command::Joined { endpoint, replaces: None, capacity_blocks: 1 << 20 });
    for number in 1..=4 {
        hold(&mut index, number, 60_000);
    }
    let mut chunks: Vec<_> = index.snapshot().chunks().collect();
    let (start, middle) = (chunks[0].len() + chunks[1].len(), chunks[2].len() / 2);
    chunks[2][middle] ^= 1;
    let whole: Vec<u8> = chunks.concat();
    assert_eq!(restore(&whole).map(|_| ()), Err(RestoreError::Checksum { chunk: 2 }));
    let cut = restore(&whole[..start - 1]).map(|_| ());
    assert_eq!(cut, Err(RestoreError::Truncated { chunk: 1 }));
    // A name of a block that comes twice, under a right checksum: the byte of its record is named.
    let mut payload = chunks[0][16..].to_vec();
    // Five bytes follow the last name: one leaf, and no stretch after it.
    let last = payload.len() - 13;
    payload.copy_within(last - 8..last, last);
    let found = restore(&model_snapshot::frame(0, &payload)).map(|_| ()).unwrap_err();
    let RestoreError::Content { chunk: 0, at, what: "a block comes twice" } = found else {
        panic!("{found}");
    };
    assert!(0 < at && at <= payload.len());
}

#[test]
fn pieces_do_not_matter() {
    let (_, _, index) = after(SMALL, 3, 200);
    let whole = bytes(&index);
    for piece in [1, 7, 100] {
        let mut restore = Restore::new();
        for piece in whole.chunks(piece) {
            restore.push(piece).unwrap();
        }
        assert_eq!(bytes(&restore.finish().unwrap()), whole);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (_, _, index) = after(SMALL, 5, 100);
    let whole = bytes(&index);
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(restore(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn every_missing_end_is_noticed() {
    let (_, _, index) = after(SMALL, 5, 100);
    let whole = bytes(&index);
    for length in 0..whole.len() {
        let found = restore(&whole[..length]).map(|_| ()).unwrap_err();
        assert_eq!(found, RestoreError::Truncated { chunk: 0 }, "{length} bytes");
    }
}

#[test]
fn chunks_out_of_order_are_noticed() {
    let mut index = Index::new(workload::parameters(1 << 20));
    let endpoint = workload::endpoint(1);
    index.apply(&Command::Joined { endpoint, replaces: None, capacity_blocks: 1 << 20 });
    for number in 1..=4 {
        hold(&mut index, number, 60_000);
    }
    let chunks: Vec<_> = index.snapshot().chunks().collect();
    assert!(2 < chunks.len());
    let mut restore = Restore::new();
    restore.push(&chunks[0]).unwrap();
    assert_eq!(restore.push(&chunks[2]), Err(RestoreError::Order { chunk: 1, found: 2 }));
    let mut whole = Restore::new();
    for chunk in &chunks {
        whole.push(chunk).unwrap();
    }
    assert_eq!(whole.finish().unwrap().digest(), index.digest());
}

#[test]
fn random_bytes_are_refused() {
    for_seeds("random_bytes_are_refused", 300, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let payload: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        assert!(restore(&payload).is_err());
        assert!(restore(&model_snapshot::frame(0, &payload)).is_err());
    });
}

/// Damage under a right checksum: a mistaken or lying writer. What is accepted must be sound.
#[test]
fn no_content_is_trusted() {
    for_seeds("no_content_is_trusted", 3000, |seed| {
        let (_, _, index) = after(SMALL, seed / 100, 100);
        let whole = bytes(&index);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut payload = whole[16..].to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..payload.len());
            match random.u32(..4) {
                0 => payload[at] ^= 1 << random.u32(..8),
                1 => payload[at] = random.u8(..),
                2 => drop(payload.remove(at)),
                _ => payload.insert(at, random.u8(..)),
            }
        }
        if let Ok(accepted) = restore(&model_snapshot::frame(0, &payload)) {
            assert_eq!(accepted.audit_digest(), accepted.digest());
            assert_eq!(bytes(&accepted)[16..], payload[..], "accepted, so canonical");
        }
    });
}
