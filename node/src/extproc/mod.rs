//! The conversation with Envoy over ext_proc.

mod exchange;

pub use exchange::{Exchange, Fault, Flow};

mod conversation;

mod answers;

mod chunks;

mod asking;

mod pick;

mod watch;

mod rename;

mod subset;

mod refusal;

pub use refusal::Refusal;

mod names;

mod outbox;

pub use outbox::Outbox;

mod desk;

pub use desk::Desk;

mod service;

pub use service::{Behaviour, Service};
