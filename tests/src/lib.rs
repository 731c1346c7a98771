//! Real parts for tests: Envoy, a simulated model server, and what starts them.

pub mod binaries;
pub mod body;
pub mod client;
pub mod conversations;
pub mod demo;
pub mod envoy;
pub mod epp;
pub mod model_server;
pub mod processes;
pub mod property;
pub mod scratch;
