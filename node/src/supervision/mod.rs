//! What keeps actors going: parents that start them again, front doors that survive it, and the
//! tree of all of them.

mod call;
mod intake;
mod metrics;
mod policy;
mod supervisor;
mod task;
mod tree;

pub use call::{CallError, call};
pub use intake::{Admitted, Intake, Refused};
pub use metrics::Metrics;
pub use policy::{Failures, Policy, Verdict};
pub use supervisor::{Arguments, ChildSpec, GaveUp, Msg, Start, Starting, Supervisor};
pub use task::OwnedTask;
pub use tree::{Settings, StartError, Tree, start};
