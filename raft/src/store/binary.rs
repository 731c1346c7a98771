//! bincode, as all records of the store use it: fixed width, bounded, nothing left over.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// More than any membership or state takes.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(super) fn write(value: &impl Serialize) -> Vec<u8> {
    options().serialize(value).expect("what the store writes is bounded and has no maps of its own")
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> bincode::Result<T> {
    options().deserialize(bytes)
}

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(BYTES_MAX)
        .reject_trailing_bytes()
}
