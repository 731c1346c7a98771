//! A stand-in for a GPU server that runs vLLM: the same API, no model.
//!
//! It behaves as vLLM does wherever a router can tell: what a request costs given what the server
//! has cached and who else it serves, what a metrics page looks like, how adapters come and go,
//! how servers fail. It exists so that routing can be shown and tested on one machine.
//!
//! What it does not do: it has no model, so answers are words without meaning, the same for equal
//! prompts on every server; text is cut into tokens of four bytes ([`tokens`]); sampling
//! parameters, stop strings, log probabilities, structured output and tool choice are ignored;
//! answers always get as long as `max_tokens` allows; images count as a fixed number of tokens.
//! The usage of a request with several prompts tells the cached tokens of all (vLLM: of the last).
//! Times are those of a simple model ([`settings::Timing`]), not of a measured GPU.
//!
//! From the inside out: [`tokens`] and [`cache`] say what is cached, [`engine`] who runs and for
//! how long; both are pure. `server` drives an engine in real time, `http` speaks to the world.
//! [`control`] makes a server fail on command. [`ModelServers`] starts the binary `model-server`,
//! in which one process plays many servers.

pub mod adapters;
mod answers;
mod body;
pub mod cache;
pub mod command_line;
mod connection;
pub mod control;
pub mod counters;
pub mod engine;
mod generate;
mod http;
pub mod metrics_page;
pub mod openai;
mod process;
#[cfg(test)]
mod random;
mod sequence;
mod server;
pub mod settings;
pub mod tokens;

pub use control::Command;
pub use http::{BODY_DIGEST, SERVED_BY, body_digest};
pub use process::{AskError, ModelServer, ModelServers, StartError};
pub use server::{Server, Statistics};
pub use settings::Settings;
