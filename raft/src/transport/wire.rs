//! What replicas say to each other, and how it is written.
//!
//! Bytes are `[format, body]`, the body by bincode with fixed integers. Reading is total and takes memory in
//! proportion to the bytes at hand.

use bincode::Options as _;
use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    batch::BATCH_BYTES_MAX,
    forming,
    identity::{Generation, ReplicaName, Seat},
    membership::{Application, NotAdmitted},
    peers::Address,
    types::{ReplicaId, Types, Vote},
};

/// The format that is written. An older one would be read as well, if there were one.
const FORMAT: u8 = 1;

/// Entries of one message from a leader. Entries are at most [`BATCH_BYTES_MAX`], and messages are
/// pipelined, so few are enough.
pub(crate) const ENTRIES_MAX: usize = 16;

/// Bytes of a frame of a stream: `ENTRIES_MAX` entries of the greatest length, and what is around
/// them.
pub const FRAME_BYTES_MAX: usize = ENTRIES_MAX * (BATCH_BYTES_MAX + 256) + 4096;

/// Bytes of a question or an answer.
pub const CALL_BYTES_MAX: usize = 64 * 1024;

/// Why bytes are no message, or a message cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("it is empty")]
    Empty,
    #[error("format {0}, where this version reads {FORMAT}")]
    Format(u8),
    #[error("{bytes} bytes are more than {limit}")]
    TooLong { bytes: usize, limit: usize },
    #[error("{0}")]
    Body(String),
    #[error("a {found} came where a {expected} belongs")]
    Unexpected { found: &'static str, expected: &'static str },
}

/// What a replica says of itself when it asks or is asked who is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) status: forming::Status,
    /// Where it is reached.
    pub(crate) advertised: Address,
    /// How many replicas its operator declared, whatever its log says.
    pub(crate) configured: u16,
    /// What its log has committed, as far as it knows.
    pub(crate) committed: u64,
    /// The members of the log that it leads. Who is none of them was removed.
    pub(crate) members: Vec<ReplicaId>,
    /// Digests of its machine at fixed indexes of its log.
    pub(crate) digests: Vec<(u64, u64)>,
    /// It applies what is committed. One that cannot should not vote.
    pub(crate) applies: bool,
}

/// The log that a message is about, and whose seat in it the receiver must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) generation: Generation,
    pub(crate) id: ReplicaId,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    Hello(Box<Hello>),
    /// Would you let me form?
    Offer(Box<forming::Offer>),
    /// May I take part?
    Apply {
        generation: Generation,
        application: Application,
    },
    Vote {
        to: Target,
        request: VoteRequest<Types>,
    },
    PreVote {
        to: Target,
        request: VoteRequest<Types>,
    },
    /// A heartbeat.
    Entries {
        to: Target,
        request: Box<AppendEntriesRequest<Types>>,
    },
    TransferLeader {
        to: Target,
        request: TransferLeaderRequest<Types>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Hello(Box<Hello>),
    Offer(forming::Answer),
    Seat(Box<Seat>),
    NotAdmitted(NotAdmitted),
    Vote(VoteResponse<Types>),
    Entries(AppendEntriesResponse<Types>),
    TransferLeader(TransferLeaderResponse<Types>),
    Refused(Refused),
}

/// Why a question is not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it has another seat or log than the one asked for")]
    WrongTarget,
    #[error("it does not lead that log")]
    NotLeader,
    #[error("its certificate says {certificate}, and it says {said}")]
    OtherName { certificate: ReplicaName, said: ReplicaName },
    #[error("it is stopping or starting")]
    Busy,
    #[error("{0}")]
    Failed(String),
}

/// The first frame of [`super::Lane::Entries`], and then the requests as they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum EntriesFrame {
    To(Target),
    Request(Box<AppendEntriesRequest<Types>>),
}

/// An answer to an [`EntriesFrame::Request`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum EntriesAnswer {
    Result(StreamAppendResult<Types>),
    Refused(Refused),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum SnapshotFrame {
    To {
        to: Target,
        vote: Vote,
    },
    Chunk(Bytes),
    /// All chunks were sent.
    End,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum SnapshotAnswer {
    Installed(SnapshotResponse<Types>),
    Refused(Refused),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ProposalFrame {
    To { generation: Generation },
    Batch(Bytes),
}

/// What became of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ProposalAnswer {
    /// Committed at this index.
    Written(u64),
    Refused(Refused),
}

fn options(limit: usize) -> impl bincode::Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(limit.saturating_sub(1) as u64)
        .reject_trailing_bytes()
}

/// Writes a message of at most `limit` bytes.
pub(crate) fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Bytes, WireError> {
    let mut bytes = vec![FORMAT];
    match options(limit).serialize_into(&mut bytes, message) {
        Ok(()) => Ok(bytes.into()),
        Err(fault) if matches!(*fault, bincode::ErrorKind::SizeLimit) => {
            let needed = bincode::serialized_size(message).unwrap_or(u64::MAX);
            Err(WireError::TooLong { bytes: usize::try_from(needed).unwrap_or(usize::MAX), limit })
        }
        Err(fault) => Err(WireError::Body(fault.to_string())),
    }
}

/// Reads a message of at most `limit` bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, WireError> {
    if limit < bytes.len() {
        return Err(WireError::TooLong { bytes: bytes.len(), limit });
    }
    let (&format, body) = bytes.split_first().ok_or(WireError::Empty)?;
    if format != FORMAT {
        return Err(WireError::Format(format));
    }
    // Lengths in the body are believed no further than the bytes at hand.
    options(body.len() + 1).deserialize(body).map_err(|fault| WireError::Body(fault.to_string()))
}

#[cfg(test)]
mod tests;
