//! Batches: bounded, and proof against bytes from anywhere.

use convoy_prefix_index::{Origin, Sequence, Stamp};
use convoy_raft::batch::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, Batch, BatchBuilder, BatchDecodeError, BatchEncodeError,
    HELD_HASHES_MAX, ITEM_BYTES_MAX, Item, ItemRefused, Seen, Sighted,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    history::{History, endpoint, hash},
    replay::for_seeds,
};

pub(crate) const HEAD_BYTES: usize = 14;

fn held(hashes: usize) -> Item {
    Item::Sighted(Sighted {
        origin: Origin { replica: 1, start: 2 },
        sequence: Sequence(3),
        endpoint: endpoint(1, 0),
        age_ms: 5,
        seen: Seen::Held { base: Some(hash(1)), hashes: (2..).map(hash).take(hashes).collect() },
    })
}

fn touched(sequence: u64) -> Item {
    Item::Sighted(Sighted {
        origin: Origin { replica: 1, start: 2 },
        sequence: Sequence(sequence),
        endpoint: endpoint(0, 0),
        age_ms: 5,
        seen: Seen::Touched { block: hash(1) },
    })
}

/// `body` in an envelope with a right checksum.
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    let checksum = xxh3_64_with_seed(body, 1);
    [b"CvBt", &1u16.to_le_bytes()[..], &checksum.to_le_bytes(), body].concat()
}

#[test]
fn a_batch_is_read_as_it_was_written() {
    for_seeds("a_batch_is_read_as_it_was_written", 300, |seed| {
        let batch = History::new(seed).batch();
        assert_eq!(Batch::decode(&batch.encode().unwrap()).unwrap(), batch);
    });
}

#[test]
fn the_bytes_of_a_batch_stay_what_they_are() {
    let batch = Batch { stamp: Stamp(9), items: vec![touched(3)] };
    let mut expected = Vec::new();
    expected.extend(9u64.to_le_bytes());
    expected.extend(1u64.to_le_bytes());
    expected.extend(1u32.to_le_bytes()); // touched
    expected.extend([1u64, 2, 3].into_iter().flat_map(u64::to_le_bytes));
    expected.extend(0u32.to_le_bytes()); // IPv4
    expected.extend([127, 0, 0, 1]);
    expected.extend(8000u16.to_le_bytes());
    expected.extend(0u64.to_le_bytes());
    expected.extend(5u32.to_le_bytes());
    expected.extend(hash(1).get().to_le_bytes());
    assert_eq!(batch.encode().unwrap(), sealed(&expected));
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let bytes = History::new(4).batch().encode().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 << bit;
            assert!(Batch::decode(&damaged).is_err(), "byte {at}, bit {bit}");
        }
        assert!(Batch::decode(&bytes[..at]).is_err(), "{at} bytes");
    }
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let checksum = xxh3_64_with_seed(b"what comes later", 2).to_le_bytes();
    let newer = [b"CvBt", &2u16.to_le_bytes()[..], &checksum, b"what comes later"].concat();
    assert!(matches!(Batch::decode(&newer), Err(BatchDecodeError::Format { found: 2 })));
}

#[test]
fn random_bytes_are_refused() {
    for_seeds("random_bytes_are_refused", 2000, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..random.usize(..300)).map(|_| random.u8(..)).collect();
        assert!(Batch::decode(&bytes).is_err());
        if let Ok(batch) = Batch::decode(&sealed(&bytes)) {
            assert_eq!(batch.encode().unwrap(), sealed(&bytes));
        }
    });
}

/// A mistaken or lying writer. What is accepted has one form only.
#[test]
fn damage_under_a_right_checksum_is_refused_or_a_batch() {
    for_seeds("damage_under_a_right_checksum_is_refused_or_a_batch", 5000, |seed| {
        let mut history = History::new(seed / 50);
        let mut body = history.batch().encode().unwrap()[HEAD_BYTES..].to_vec();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..body.len());
            match random.u32(..4) {
                0 => body[at] ^= 1 << random.u32(..8),
                1 => body[at] = random.u8(..),
                2 => drop(body.remove(at)),
                _ => body.insert(at, random.u8(..)),
            }
        }
        if let Ok(batch) = Batch::decode(&sealed(&body)) {
            assert_eq!(batch.encode().unwrap(), sealed(&body));
        }
    });
}

#[test]
fn a_claimed_length_takes_no_memory() {
    let claims = [9, u64::MAX].map(u64::to_le_bytes).concat();
    assert!(matches!(Batch::decode(&sealed(&claims)), Err(BatchDecodeError::Body { .. })));
    assert!(matches!(
        Batch::decode(&vec![0; BATCH_BYTES_MAX + 1]),
        Err(BatchDecodeError::Length { .. })
    ));
}

#[test]
fn a_batch_takes_items_up_to_its_count() {
    let mut builder = BatchBuilder::default();
    for sequence in 0..BATCH_ITEMS_MAX as u64 {
        let small = Item::Endpoint(convoy_raft::batch::EndpointChange::Left {
            endpoint: endpoint(0, sequence),
        });
        builder.push(small, Stamp(0)).unwrap();
    }
    assert!(matches!(builder.push(touched(1), Stamp(0)), Err(ItemRefused::Full(_))));
    let mut batch = builder.finish(Stamp(0));
    assert_eq!(Batch::decode(&batch.encode().unwrap()).unwrap(), batch);
    batch.items.push(touched(1));
    assert!(matches!(batch.encode(), Err(BatchEncodeError::Items { .. })));
}

#[test]
fn a_batch_takes_items_up_to_its_bytes_and_knows_how_many_they_are() {
    for_seeds("a_batch_takes_items_up_to_its_bytes", 30, |seed| {
        let mut history = History::new(seed);
        let mut builder = BatchBuilder::default();
        loop {
            let item = match history.random.u32(..4) {
                0 => held(history.random.usize(..HELD_HASHES_MAX)),
                _ => history.item(),
            };
            let back = item.clone();
            match builder.push(item, Stamp(1)) {
                Ok(()) => {}
                Err(ItemRefused::Full(item)) => {
                    assert_eq!(*item, back);
                    let after = builder.encoded_bytes() as u64 + item.encoded_bytes();
                    assert!(BATCH_BYTES_MAX as u64 <= after || builder.items() == BATCH_ITEMS_MAX);
                    break;
                }
                Err(ItemRefused::TooLarge { bytes, .. }) => panic!("{bytes} are not too large"),
            }
        }
        let told = builder.encoded_bytes();
        let bytes = builder.finish(Stamp(1)).encode().unwrap();
        assert_eq!(bytes.len(), told);
        assert!(builder.is_empty() && builder.encoded_bytes() < 100);
    });
}

#[test]
fn an_item_that_is_too_large_is_refused_whatever_the_batch_holds() {
    let mut builder = BatchBuilder::default();
    builder.push(held(HELD_HASHES_MAX), Stamp(0)).unwrap();
    let refused = builder.push(held(ITEM_BYTES_MAX / 8), Stamp(0));
    assert!(matches!(refused, Err(ItemRefused::TooLarge { .. })));
    assert_eq!(builder.items(), 1);
}

#[test]
fn sightings_age_while_the_batch_waits() {
    let mut builder = BatchBuilder::default();
    builder.push(touched(1), Stamp(100)).unwrap();
    builder.push(touched(2), Stamp(130)).unwrap();
    // The clock of the leader before may have been ahead.
    builder.push(touched(3), Stamp(200)).unwrap();
    let ages = builder.finish(Stamp(140)).items.into_iter().map(|item| match item {
        Item::Sighted(sighted) => sighted.age_ms,
        Item::Endpoint(_) | Item::Cluster(_) => unreachable!("sightings were put in"),
    });
    assert_eq!(ages.collect::<Vec<_>>(), [45, 15, 5]);
}
