//! The suite: whole paths through real parts.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what surprises a test should end it, in its supports as in its claims"
)]

mod envoy;
mod log;
mod model_server;
mod tidy;
mod watchdog;
