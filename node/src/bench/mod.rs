//! `eppctl bench`: a load generator that plays Envoy to a picker, any picker that speaks ext_proc.
//!
//! Operators size their clusters with it: what a request of theirs costs, how fast the picks come, what memory
//! the picker takes at their rate. It holds every answer against what was sent, so that a fast picker that is
//! wrong does not look fast.
//!
//! It has to be lean, because it often shares its machine with what it measures: messages are encoded once,
//! threads share nothing, and `h2` is used directly, which costs half of what tonic does. It shares no code with
//! the picker's own protocol, so that both cannot be wrong in the same way.
//!
//! [`run`] opens the connections, lets the workers work, watches processes meanwhile, and adds up.

mod settings;

pub use settings::{AnswerShape, Arrivals, Client, Load, Observation, RequestShape, Settings};

mod command_line;

pub use command_line::{Asked, Output, UsageError, read};

mod help;

pub use help::HELP;

mod run;

pub use run::{BenchError, run};

mod report;

pub use report::Report;

mod worker;

mod arrivals;

mod exchange;

mod check;

mod fault;

mod messages;

mod workload;

mod text;

mod link;

pub use link::ConnectError;

mod tls;

mod metronome;

mod tally;

mod processes;

pub use processes::ProcessError;

pub use worker::WorkerError;
