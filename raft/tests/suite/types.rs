//! What an entry carries, and what is shown of it.

use bytes::Bytes;
use convoy_raft::Payload;

#[test]
fn a_payload_is_written_as_its_length_and_its_bytes() {
    let written = bincode::serialize(&Payload(Bytes::from_static(b"batch"))).unwrap();
    assert_eq!(written, [&5_u64.to_le_bytes()[..], b"batch"].concat());
    let read: Payload = bincode::deserialize(&written).unwrap();
    assert_eq!(read, Payload(Bytes::from_static(b"batch")));
}

#[test]
fn a_payload_shows_its_length_and_none_of_its_bytes() {
    let payload = Payload(Bytes::from_static(b"batch"));
    assert_eq!(format!("{payload} {payload:?}"), "5 bytes Payload(5 bytes)");
}
