//! Which endpoint holds which prompt prefix: a pure, deterministic, bounded index.
//!
//! - [`ChainBuilder`] turns a request's text into a chain of keyed block hashes.
//! - [`Index`] is what a cluster agrees on: a function of the [`Command`]s applied to it.
//! - [`IndexReader`] answers, on any thread and without waiting, how much of a chain each
//!   endpoint holds.
//! - [`Overlay`] holds the sightings that have not become commands yet.
//!
//! No clock, no randomness, no file and no socket: time and commands are passed in.

#![forbid(unsafe_code)]

mod sync;

mod hash;

mod command;

mod index;

mod overlay;

pub use command::{
    CATCH_UP_BLOCKS_MAX, Command, ENDPOINTS_MAX, Endpoint, EndpointSlot, Held, Incarnation,
    MEMBERSHIPS_MAX, ORIGINS_MAX, Origin, Outcome, Parameters, Refusal, Sequence, Stamp, Touched,
};
pub use hash::{
    BLOCK_BYTES_DEFAULT, BlockHash, CHAIN_BLOCKS_MAX, ChainBuilder, HashParams, HashParamsError,
    HashVersion,
};
pub use index::{
    Digest, Index, IndexReader, Restore, RestoreError, Snapshot, SnapshotChunks, Statistics,
};
pub use overlay::{Overlay, OverlayLimits, SightingKey};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
