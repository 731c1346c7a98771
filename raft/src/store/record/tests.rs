//! What is written of an entry, and what is refused when it is read.

use std::collections::BTreeMap;

use openraft::Membership;

use super::*;
use crate::types::Replica;

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let log_id = LogId { leader_id: LeaderId { term, node_id: 4 }, index };
    let payload = Payload(vec![index.to_le_bytes()[0]; bytes].into());
    Entry { log_id, payload: EntryPayload::Normal(payload) }
}

/// Writes `entries` one after the other.
fn written(entries: &[Entry]) -> Vec<(Key, Vec<u8>)> {
    let mut chain = ROOT;
    let mut parts = Vec::new();
    for entry in entries {
        let written = write(entry, chain);
        chain = written.chain;
        parts.extend(written.parts);
    }
    parts
}

fn read(parts: &[(Key, Vec<u8>)]) -> Result<Vec<Entry>, RecordError> {
    let mut assembly = Assembly::after(Some(ROOT), Some(0));
    let mut entries = Vec::new();
    for (key, value) in parts {
        entries.extend(assembly.take(key, value)?.map(|chained| chained.entry));
    }
    assembly.finish().map(|()| entries)
}

#[test]
fn entries_of_all_kinds_and_sizes_are_read_as_they_were_written() {
    let members = BTreeMap::from([(7, Replica { name: "a".to_owned() })]);
    let members = Membership::new(vec![[7].into()], members).unwrap();
    let mut entries: Vec<Entry> =
        (0..).zip([0, 1, PART_BYTES_MAX, 500_000]).map(|(at, bytes)| entry(2, at, bytes)).collect();
    entries.push(Entry { payload: EntryPayload::Blank, ..entry(3, 4, 0) });
    entries.push(Entry { payload: EntryPayload::Membership(members), ..entry(3, 5, 0) });
    let parts = written(&entries);
    assert!(parts.iter().all(|(_, value)| value.len() <= 64 * 1024));
    assert_eq!(read(&parts).unwrap(), entries);
}

#[test]
fn any_flipped_bit_is_noticed() {
    let whole = written(&[entry(1, 0, 40), entry(1, 1, 0)]);
    for (part, (_, value)) in whole.iter().enumerate() {
        for bit in 0..8 * value.len() {
            let mut parts = whole.clone();
            parts[part].1[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&parts).is_err(), "bit {bit} of part {part}");
        }
    }
}

#[test]
fn an_entry_of_another_history_is_noticed() {
    let ours = written(&[entry(1, 0, 10), entry(1, 1, 10), entry(2, 2, 10)]);
    let theirs = written(&[entry(1, 0, 10), entry(2, 1, 10), entry(2, 2, 10)]);
    let mixed = [ours[0].clone(), theirs[1].clone(), ours[2].clone()];
    assert_eq!(read(&mixed), Err(RecordError::Chain { index: 2 }));
}

#[test]
fn missing_parts_and_entries_are_noticed() {
    let parts = written(&[entry(1, 0, 10), entry(1, 1, 100_000), entry(1, 2, 10)]);
    assert_eq!(parts.len(), 5);
    let without = |missing: usize| {
        let mut parts = parts.clone();
        parts.remove(missing);
        read(&parts).unwrap_err()
    };
    assert_eq!(without(0), RecordError::Hole { expected: 0, found: 1 });
    assert_eq!(without(1), RecordError::Part { index: 1, part: 1, expected: 0, parts: 3 });
    assert_eq!(without(2), RecordError::Part { index: 1, part: 2, expected: 1, parts: 3 });
    assert_eq!(without(3), RecordError::Cut { index: 1 });
    assert_eq!(read(&parts[..3]), Err(RecordError::Cut { index: 1 }));
}
