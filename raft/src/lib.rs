//! One index on several replicas, kept equal by a replicated log.
//!
//! openraft decides what the log is; sled keeps it. This package knows no Kubernetes and no Envoy,
//! and opens no socket: who connects replicas does so behind a trait.
//!
//! - [`types`]: what openraft is configured with: replicas, payloads, ids.

pub mod types;

pub use types::{Payload, Replica, ReplicaId, Types};
