//! OpenAI requests and answers, read in one pass without a tree.
//!
//! A request's body is fed to a [`Scanner`] as it arrives and kept by the caller, chunk by chunk.
//! The scanner's [`Request`] says what the pick needs, and where in the chunks the prompt lies;
//! [`Prompts::read`] then hands the prompt's canonical text to whoever hashes it, without building
//! it. [`Answer`] finds the usage in what the model server sends back.

mod answer;
mod api;
mod body;
mod canonical;
mod json;
mod request;

pub use answer::{Answer, Usage};
pub use api::Api;
pub use canonical::{PIECES_MAX, Prompts};
pub use json::{Span, SyntaxError};
pub use request::{Model, Refusal, Request, Scanner};
