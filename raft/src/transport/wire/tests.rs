//! Messages are read as they were written, and nothing else is read.

use super::*;

#[test]
fn a_message_is_read_as_it_was_written() {
    let frame = SnapshotFrame::Chunk(Bytes::from(vec![7; 1000]));
    let bytes = encode(&frame, FRAME_BYTES_MAX).unwrap();
    let SnapshotFrame::Chunk(chunk) = decode(&bytes, FRAME_BYTES_MAX).unwrap() else {
        panic!("another frame");
    };
    assert_eq!(chunk, [7; 1000].as_slice());
}

#[test]
fn a_message_that_is_too_long_is_neither_written_nor_read() {
    let frame = SnapshotFrame::Chunk(Bytes::from(vec![7; 1000]));
    assert!(matches!(encode(&frame, 1000), Err(WireError::TooLong { limit: 1000, .. })));
    let bytes = encode(&frame, FRAME_BYTES_MAX).unwrap();
    let refused = decode::<SnapshotFrame>(&bytes, 1000);
    assert!(matches!(refused, Err(WireError::TooLong { limit: 1000, .. })));
}

#[test]
fn other_formats_and_bytes_after_the_end_are_refused() {
    let mut bytes = encode(&SnapshotFrame::End, 100).unwrap().to_vec();
    bytes.push(0);
    assert!(matches!(decode::<SnapshotFrame>(&bytes, 100), Err(WireError::Body(_))));
    bytes[0] = 9;
    assert_eq!(decode::<SnapshotFrame>(&bytes, 100).unwrap_err(), WireError::Format(9));
    assert_eq!(decode::<SnapshotFrame>(&[], 100).unwrap_err(), WireError::Empty);
}

#[test]
fn a_length_that_the_bytes_do_not_have_is_not_believed() {
    let mut bytes = vec![FORMAT];
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(u64::MAX.to_le_bytes());
    assert!(matches!(decode::<SnapshotFrame>(&bytes, 100), Err(WireError::Body(_))));
}

#[test]
fn noise_is_refused_or_read_but_never_panics() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let noise = (0..random.usize(..200)).map(|_| random.u8(..8));
        let noise: Vec<u8> = std::iter::once(FORMAT).chain(noise).collect();
        drop(decode::<Question>(&noise, CALL_BYTES_MAX));
        drop(decode::<EntriesFrame>(&noise, FRAME_BYTES_MAX));
        drop(decode::<Answer>(&noise, CALL_BYTES_MAX));
    }
}
