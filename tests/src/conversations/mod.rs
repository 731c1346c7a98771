//! Traffic as LLM applications make it, from a seed.
//!
//! All traffic here is made of exchanges that continue each other: a request holds everything that
//! was said before, the servers' own answers included, and its answer may be followed by one
//! further request (a chat), by several at once (an agent that fans out), or by none. A [`Plan`]
//! says so as a tree; [`chats`], [`bursts`] and [`agents`] draw plans from a seed. [`Traffic`] is
//! the clockwork: it says which request is due when, and is told the answers. [`play`] drives it in
//! real time.
//!
//! The same seed makes the same requests, as far as the answers are the same.

mod agents;
mod answer;
mod bursts;
mod chats;
mod play;
mod text;
mod traffic;

pub use agents::{Agents, agents};
pub use answer::{Answer, Usage, read_answer};
pub use bursts::{Bursts, bursts};
pub use chats::{Chats, chats};
pub use play::{Played, Reply, play};
pub use text::Text;
pub use traffic::{Plan, Request, RequestId, Style, Then, Traffic};

#[cfg(test)]
mod tests;
