//! How one replica talks to another: a small trait over opaque, bounded messages.
//!
//! Implementations carry bytes and know nothing of what they mean: tonic in production, a simulated network in
//! tests. What a message says is this package's affair (`transport::wire`), and so are its bounds. An implementation
//! authenticates: it must not hand over what came from a replica without the cluster's credentials, and says
//! which name the other side proved.

pub(crate) mod wire;

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};

pub use self::wire::{CALL_BYTES_MAX, FRAME_BYTES_MAX};
use crate::{identity::ReplicaName, peers::Address};

/// Reaches other replicas. Every method returns at once; what it returns waits.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Asks once: at most [`CALL_BYTES_MAX`] bytes each way, and no answer after `patience` is an error.
    fn call(
        &self,
        to: &Destination,
        question: Bytes,
        patience: Duration,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>>;

    /// Opens a stream. Frames have at most [`FRAME_BYTES_MAX`] bytes, arrive in order or not at all,
    /// and are taken from `frames` no faster than the other side reads. Dropping the answers ends
    /// it.
    fn stream(
        &self,
        to: &Destination,
        lane: Lane,
        frames: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Frames, LinkError>>;
}

/// What comes in, in order. An error is the last item.
pub type Frames = BoxStream<'static, Result<Bytes, LinkError>>;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub address: Address,
    /// Who must be there. `None` when somebody is asked who it is.
    pub name: Option<ReplicaName>,
}

/// What a stream is for. Each has its own flow control, so that a snapshot does not hold up
/// entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Entries from a leader, and the answers.
    Entries,
    /// One snapshot, and one answer.
    Snapshot,
    /// Batches for the leader, and an answer for each, in order.
    Proposals,
}

/// Takes what other replicas send. What is not returned in time, the implementation ends.
pub trait Serve: Send + Sync + 'static {
    fn call(&self, from: Caller, question: Bytes) -> BoxFuture<'static, Result<Bytes, LinkError>>;

    fn stream(
        &self,
        from: Caller,
        lane: Lane,
        frames: Frames,
    ) -> BoxFuture<'static, Result<Frames, LinkError>>;
}

/// Who sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The name that its certificate carries; `None` on links without one.
    pub name: Option<ReplicaName>,
}

/// Why nothing came back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    #[error("no address of {0} is known")]
    NoAddress(ReplicaName),
    #[error("cannot reach {to}: {why}")]
    Unreachable { to: String, why: String },
    #[error("{to} did not answer within {patience:?}")]
    TimedOut { to: String, patience: Duration },
    /// The other side answered that it will not.
    #[error("{to} refused: {why}")]
    Refused { to: String, why: String },
    #[error("a message is not what it should be: {0}")]
    Malformed(#[from] wire::WireError),
    #[error("the link was closed")]
    Closed,
}
