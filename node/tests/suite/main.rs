//! The tests of the package that need more than one of its rooms, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lints spare functions under #[test], but not what those call"
)]

mod allocations;
mod bench;
mod extproc;
mod http2;
mod openai;
mod picks;
mod privacy;
