//! The conversation with Envoy over ext_proc.

pub mod chunks;
pub mod conversation;
pub mod names;
