//! One index on several replicas, kept equal by a replicated log.
//!
//! openraft decides what the log is; sled keeps it. This package knows no Kubernetes and no Envoy,
//! and opens no socket: who connects replicas does so behind a trait.
//!
//! - [`types`]: what openraft is configured with: replicas, payloads, ids.
//! - [`identity`]: who a replica is, and which log is which.
//! - [`batch`]: what an entry of the log says.
//! - [`machine`]: what the log makes of an index, and of the facts that replicas agree on.
//! - [`store`]: the log and the vote on disk.
//! - [`peers`]: where replicas are.
//! - [`forming`]: which replica begins a log, and when; who joins whose.
//! - [`membership`]: which replicas vote.
//! - [`transport`]: how one replica talks to another.
//! - `network`: openraft's messages over a transport.
//! - [`cluster`]: a replica, whole: what drives it, and a handle for everybody else.

pub mod store;
pub mod types;

pub mod identity;

pub mod batch;

pub mod machine;

pub mod peers;

pub mod forming;

pub mod membership;

pub mod transport;

mod network;

pub mod cluster;

pub use types::{Payload, Replica, ReplicaId, Types};
