//! A replica of a cluster: its log, its machine, its links, and what drives them.
//!
//! [`start`] gives a handle and a [`Driver`]. The driver is one future that owns every decision: it asks around,
//! feeds the cores of [`forming`] and [`membership`], carries out what they ask
//! for, and opens and closes logs. Whoever runs it supervises it; when it ends with an error, start again from
//! the same directory. The handle is for everybody else: it proposes, serves other replicas, and tells how things
//! are, without asking the driver.

mod audit;
mod driver;
mod held;
mod home;
mod lead;
mod look;
mod run;
mod serve;
mod storage;
mod travel;
mod view;

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use convoy_prefix_index::HashParams;
use futures_util::future::BoxFuture;
use openraft::Raft;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    driver::Driver,
    home::HomeError,
    run::{DriverError, start},
    storage::{OnDisk, OpenedLog, Storage},
    view::{ReplicaView, RoleView, View},
};
use crate::{
    forming,
    identity::{Generation, ReplicaName, Seat},
    machine::{Applier, Listener, Published, StateMachine, Threads},
    membership::{self, Application, NotAdmitted},
    network::Links,
    peers::{Address, Peers, Resolve},
    transport::{Transport, wire::Hello},
    types::Types,
};

/// What a replica is started with.
pub struct Config<S> {
    pub name: ReplicaName,
    pub pool: String,
    /// See [`Peers::declared`]. One for a replica without peers.
    pub declared: u16,
    pub advertised: Address,
    pub peers: Option<Peers>,
    pub directory: PathBuf,
    pub timing: Timing,
    pub forming: forming::Limits,
    pub membership: membership::Limits,
    pub founding: Founding,
    pub threads: Threads,
    pub storage: S,
    pub transport: Arc<dyn Transport>,
    pub resolve: Arc<dyn Resolve>,
    /// Makes what hears of applied entries; called for each log that this replica takes part in.
    pub listener: Box<dyn Fn() -> Listener + Send + Sync>,
    /// Takes batches that came for the leader, local ones too. Without it each becomes an entry.
    pub proposals: Option<mpsc::Sender<Proposal>>,
    pub clock: fn() -> Instant,
    /// For everything that is drawn at random.
    pub random: fastrand::Rng,
}

/// What a cluster is founded on, if this replica founds it.
#[derive(Clone, Debug)]
pub struct Founding {
    pub hash: HashParams,
    pub memberships_max: u64,
}

/// How patient replicas are. The defaults survive a container that is not let run for a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub heartbeat: Duration,
    /// Without a heartbeat for a time between these, a replica asks for votes.
    pub election_min: Duration,
    pub election_max: Duration,
    /// Between two rounds of asking around.
    pub round: Duration,
    /// For an answer in a round.
    pub answer: Duration,
    /// For a seat, for the store of a new generation, for entries that are offered again.
    pub work: Duration,
    /// For a snapshot to arrive whole.
    pub snapshot: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            election_min: Duration::from_millis(1500),
            election_max: Duration::from_secs(3),
            round: Duration::from_millis(500),
            answer: Duration::from_secs(1),
            work: Duration::from_secs(30),
            snapshot: Duration::from_mins(10),
        }
    }
}

/// A batch on its way into the log.
#[derive(Debug)]
pub struct Proposal {
    /// See [`crate::batch::Batch`].
    pub batch: Bytes,
    /// Told the index at which it was committed.
    pub written: oneshot::Sender<Result<u64, ProposeError>>,
}

/// Why a batch did not get into the log, as far as is known. What was proposed may still get there:
/// propose again what must not be lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error("no leader is known")]
    NoLeader,
    #[error("this replica lost its leadership")]
    NotLeader,
    #[error("the leader {leader} did not take it: {why}")]
    Leader { leader: ReplicaName, why: String },
    #[error("this replica stops")]
    Stopped,
}

/// A replica, for everybody but its driver. Clones are the same.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

/// What handle and driver share.
struct Shared {
    name: ReplicaName,
    links: Links,
    threads: Threads,
    timing: Timing,
    commands: mpsc::Sender<Command>,
    proposals: Option<mpsc::Sender<Proposal>>,
    /// What to answer when somebody asks who is here.
    hello: ArcSwap<Hello>,
    /// The log that this replica takes part in.
    seated: ArcSwapOption<Seated>,
    view: ArcSwap<View>,
    /// The machine that picks read. Of an older generation until that of the newer has its state.
    applier: watch::Sender<Option<Applier>>,
    ready: watch::Sender<bool>,
    left: watch::Sender<bool>,
    /// Batches for a leader elsewhere.
    outgoing: mpsc::Sender<Proposal>,
}

/// A log that runs.
pub(crate) struct Seated {
    seat: Seat,
    raft: Raft<Types, StateMachine>,
    applier: Applier,
}

/// What the driver is asked.
enum Command {
    Heard(Box<Hello>),
    Asked(Box<forming::Offer>, oneshot::Sender<forming::Answer>),
    Apply(Application, oneshot::Sender<Result<Seat, NotSeated>>),
    Leave,
    Discard,
    Stop,
}

/// Why an applicant got no seat.
#[derive(Clone, Debug, thiserror::Error)]
enum NotSeated {
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    #[error("this replica does not lead")]
    NotLeader,
    #[error("{0}")]
    Failed(String),
}

impl Shared {
    /// Who leads, and which generation.
    fn leader(&self) -> Option<(ReplicaName, Generation)> {
        let view = self.view.load();
        view.leader.clone().zip(view.generation)
    }
}

impl Cluster {
    /// Puts a batch into the log: here if this replica leads, else by way of the leader. Batches of one
    /// caller that waits for each get there in order.
    pub async fn propose(&self, batch: Bytes) -> Result<u64, ProposeError> {
        self.shared.propose(batch).await
    }

    /// Makes a batch an entry of its own, if this replica leads. For who takes [`Config::proposals`].
    pub async fn write(&self, batch: Bytes) -> Result<u64, ProposeError> {
        self.shared.write(batch).await?.await
    }

    /// How things are.
    pub fn view(&self) -> Arc<View> {
        self.shared.view.load_full()
    }

    /// The machine to read from: `None` before this replica has any state, and another one after it
    /// moved to another generation.
    pub fn applier(&self) -> watch::Receiver<Option<Applier>> {
        self.shared.applier.subscribe()
    }

    /// What the machine that picks read has published.
    pub fn published(&self) -> Option<Arc<Published>> {
        self.shared.applier.borrow().as_ref().map(|applier| applier.reading().load_full())
    }

    /// True once this replica has applied what the leader had committed when it was first asked; and
    /// from then on.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.shared.ready.subscribe()
    }

    /// Hands leadership and vote over to others, within `patience` or not. Then [`Cluster::stop`].
    pub async fn leave(&self, patience: Duration) -> bool {
        if self.shared.commands.send(Command::Leave).await.is_err() {
            return true;
        }
        let mut left = self.shared.left.subscribe();
        tokio::time::timeout(patience, left.wait_for(|left| *left)).await.is_ok()
    }

    /// Throws this replica's state away and joins anew under another id: it was found to differ from
    /// that of the others.
    pub async fn discard(&self) {
        self.tell(Command::Discard).await;
    }

    /// Ends the driver, once it has closed what it holds.
    pub async fn stop(&self) {
        self.tell(Command::Stop).await;
    }

    /// An error says that the driver has ended, and with it all there was to tell.
    async fn tell(&self, command: Command) {
        if self.shared.commands.send(command).await.is_err() {
            tracing::debug!("the driver has ended");
        }
    }
}

/// Resolves a name that has nothing behind it.
#[derive(Clone, Copy, Debug)]
pub struct NoNames;

impl Resolve for NoNames {
    fn resolve(&self, name: &Address) -> BoxFuture<'static, std::io::Result<Vec<Address>>> {
        let fault = std::io::Error::other(format!("nothing resolves {name}"));
        Box::pin(std::future::ready(Err(fault)))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
