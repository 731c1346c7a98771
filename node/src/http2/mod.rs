//! HTTP/2, the server's side, without I/O; and gRPC's framing on it.
//!
//! Own framing and not a library, because this is where the time goes: an answer streams as
//! thousands of small messages, each one DATA frame in and one out. Whoever owns the socket reads
//! once, gives the bytes to [`Connection::receive`], answers each event where it stands, and writes
//! all answers at once. There are no tasks, wakers or shared streams in between; a message that
//! came whole is a slice of what was read, and a small answer is appended to one buffer.
//!
//! RFC 9113 and RFC 7541 are obeyed as far as a server of gRPC meets them. Priorities are read and
//! ignored, nothing is pushed, nothing is compressed.
//!
//! What arrives for a stream that has ended is dropped without a word: it was on its way.
//! Everything that a client can make grow is bounded by [`Limits`].

mod connection;

pub use connection::{Cause, Connection, Event};

mod streams;

pub use streams::StreamId;

mod head;

pub use head::RequestHead;

mod grpc;

pub use grpc::Status;

mod outbound;

mod rope;

mod hpack;

pub use hpack::{Field, HpackError};

mod frame;

mod limits;

pub use limits::Limits;

mod flood;

mod error;

pub use error::{ConnectionError, ErrorCode, SendError, StreamFault};
