//! What goes into forming and what comes out of it.

use std::time::Duration;

use super::{
    record::Record,
    status::{Answer, Offer, Refused, Status},
};
use crate::{
    identity::{ClusterId, Generation, Position, ReplicaName, Seat},
    types::ReplicaId,
};

/// Who a replica is and what it was told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: ReplicaName,
    pub pool: String,
    /// How many replicas there should be. What a log says goes before it.
    pub declared: u16,
    pub limits: Limits,
}

/// How long a replica waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For replicas that are declared and silent, before a majority of empty ones forms without
    /// them. One of them may be slow to start and hold the state.
    pub absent: Duration,
    /// For an election among those in sight, before they form anew.
    pub settle: Duration,
    /// For a leader, before a replica that holds state is willing to form anew.
    pub unled: Duration,
    /// For the grants that were asked for.
    pub answers: Duration,
    /// For the replica that was granted a generation to form it.
    pub promise: Duration,
    /// At most, after an attempt that failed. Drawn at random.
    pub retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            absent: Duration::from_secs(15),
            settle: Duration::from_secs(5),
            unled: Duration::from_mins(1),
            answers: Duration::from_secs(3),
            promise: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// One fact that the driver reports.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first event. Comes once.
    Started,
    /// A round has ended: every known address was tried, and these answered.
    Seen(Vec<Status>),
    /// How the log fares, of which this disk holds state. Comes before every [`Event::Seen`].
    Log { position: Position, led: Option<ReplicaName> },
    /// Somebody would form.
    Asked(Offer),
    /// An answer to what was asked of `from`.
    Answered { from: ReplicaName, answer: Answer },
    /// The store of the generation that [`Act::Found`] asked for is durable.
    Founded(Seat),
    /// The leader that [`Act::Join`] named gave a seat, and was offered what it lacked.
    Seated(Seat),
    /// What [`Act::Found`] or [`Act::Join`] asked for did not come about.
    Failed,
    /// The log says that the cluster is declared to have so many replicas.
    Declared(u16),
    /// The state on this disk can no longer be trusted.
    Spoiled,
    /// This replica will stop soon.
    Leaving,
}

/// The work that one [`super::Forming::step`] asks for, to be done in the order of the fields.
#[derive(Debug, Default)]
pub struct Effects {
    /// Take no part in the log any more, from now on. State stays readable.
    pub stop: bool,
    /// Make this durable. Nothing below may happen before it is.
    pub persist: Option<Record>,
    /// Answer the [`Event::Asked`] that this step took.
    pub answer: Option<Answer>,
    /// Ask these, each on its own; report [`Event::Answered`].
    pub ask: Vec<(ReplicaName, Offer)>,
    pub act: Option<Act>,
    /// Whose word is not heeded, and why. Told every round; log each once.
    pub refused: Vec<Refused>,
}

/// Longer work. Only one is under way at a time, and the driver bounds how long each may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Write the store of a generation: a snapshot of this disk's state, and this replica as the
    /// one voter under a new id. Report [`Event::Founded`] or [`Event::Failed`].
    Found(Offer),
    /// Ask `leader` for a seat, under `id` if this disk has one in that log. If it holds another
    /// generation's log, offer the leader what that was given since the two parted. Report
    /// [`Event::Seated`] or [`Event::Failed`].
    Join { leader: ReplicaName, cluster: ClusterId, generation: Generation, id: Option<ReplicaId> },
    /// Take part in the log of this seat. Stores of other seats are not needed any more.
    Run(Seat),
}

/// What a replica without a leader waits for, for whoever looks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    #[error("waits for more replicas: {willing} of at least {needed} are in sight and willing")]
    Majority { willing: usize, needed: usize },
    #[error("waits {0:?} more for its leader")]
    Leader(Duration),
    #[error("waits {0:?} more for silent replicas, or for an election")]
    Settling(Duration),
    #[error("waits for {0} to form")]
    Better(ReplicaName),
    #[error("waits for {0}, who holds the cluster's state")]
    State(ReplicaName),
    #[error("does not know which cluster to join, since {0} are in sight")]
    Clusters(usize),
    #[error("waits for all in sight to declare the same number of replicas")]
    Sizes,
    #[error("waits to try again")]
    Retry,
    #[error("stops")]
    Leaving,
}
