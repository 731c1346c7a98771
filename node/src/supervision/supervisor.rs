//! The supervisor: the parent of the actors that a replica cannot do without.
//!
//! Owns: its children, in the order of their start, and their recent failures.
//! Hears: that a child ended; that a child's wait is over; that all is to stop.
//! Publishes: nothing; restarts are counted in a metric.
//! Restarts: never. When a child's budget is spent it fails, and with it the tree; whoever runs the
//! process sees [`super::Tree::ended`] and ends it.

use std::{fmt, pin::Pin, time::Duration};

use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent,
};

use super::{
    metrics::Metrics,
    policy::{Failures, Policy, Verdict},
};
use crate::clock;

/// How one child is started, at first and again.
pub struct ChildSpec {
    pub name: &'static str,
    pub policy: Policy,
    pub start: Start,
}

/// Starts a child linked to the given parent, and rewires every intake that leads to it.
pub type Start = Box<dyn Fn(ActorCell) -> Starting + Send + Sync>;

/// A start under way.
pub type Starting = Pin<Box<dyn Future<Output = Result<ActorCell, SpawnErr>> + Send>>;

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The parent. Children start in the order given and stop in the reverse.
#[derive(Debug)]
pub struct Supervisor;

/// What the supervisor hears, beside the ends of its children.
#[derive(Debug)]
pub enum Msg {
    /// The wait of the child at this position is over.
    Start(usize),
    /// Drain every child, the last started first, each for at most `patience`; then end.
    Stop { patience: Duration },
    /// Who runs at the moment, by name.
    Running(RpcReplyPort<Vec<(&'static str, ActorCell)>>),
}

/// A child failed more often than its policy allows.
#[derive(Debug, thiserror::Error)]
#[error("gave up on {child}, which failed too often; the last time: {cause}")]
pub struct GaveUp {
    pub child: &'static str,
    pub cause: String,
}

/// What a supervisor starts with.
#[derive(Debug)]
pub struct Arguments {
    pub children: Vec<ChildSpec>,
    pub metrics: Metrics,
}

/// The children and how they fare.
#[derive(Debug)]
pub struct State {
    children: Vec<Child>,
    metrics: Metrics,
    stopping: bool,
}

#[derive(Debug)]
struct Child {
    spec: ChildSpec,
    failures: Failures,
    /// `None` while it waits to be started again.
    running: Option<ActorCell>,
}

impl Actor for Supervisor {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        Arguments { children, metrics }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State { children: Vec::new(), metrics, stopping: false };
        for spec in children {
            let running = match (spec.start)(myself.get_cell()).await {
                Ok(running) => running,
                Err(refused) => {
                    state.stop(Duration::ZERO).await;
                    return Err(refused.into());
                }
            };
            state.metrics.started(spec.name);
            let failures = Failures::new(spec.policy);
            state.children.push(Child { spec, failures, running: Some(running) });
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Start(position) => state.restart(&myself, position).await,
            Msg::Stop { patience } => {
                state.stop(patience).await;
                myself.stop(None);
                Ok(())
            }
            Msg::Running(reply) => {
                let running = |child: &Child| Some((child.spec.name, child.running.clone()?));
                // Whoever asked may have gone.
                let _ = reply.send(state.children.iter().filter_map(running).collect());
                Ok(())
            }
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (id, cause) = match event {
            SupervisionEvent::ActorFailed(cell, cause) => (cell.get_id(), cause.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell.get_id(), reason.unwrap_or_else(|| "stopped".into()))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        let ended = |child: &Child| child.running.as_ref().is_some_and(|cell| cell.get_id() == id);
        match state.children.iter().position(ended) {
            Some(position) if !state.stopping => state.on_failure(&myself, position, &cause),
            Some(_) | None => Ok(()),
        }
    }
}

impl State {
    fn on_failure(
        &mut self,
        myself: &ActorRef<Msg>,
        position: usize,
        cause: &str,
    ) -> Result<(), ActorProcessingErr> {
        let Some(child) = self.children.get_mut(position) else {
            return Ok(());
        };
        child.running = None;
        let name = child.spec.name;
        match child.failures.on_failure(clock::now()) {
            Verdict::RestartAfter(delay) => {
                tracing::warn!(child = name, cause, ?delay, "child restarting");
                myself.send_after(delay, move || Msg::Start(position));
                Ok(())
            }
            Verdict::Escalate => {
                let gave_up = GaveUp { child: name, cause: cause.to_owned() };
                tracing::error!(error = %gave_up, "supervisor ending");
                Err(gave_up.into())
            }
        }
    }

    async fn restart(
        &mut self,
        myself: &ActorRef<Msg>,
        position: usize,
    ) -> Result<(), ActorProcessingErr> {
        let stopping = self.stopping;
        let Some(child) = self.children.get_mut(position).filter(|_| !stopping) else {
            return Ok(());
        };
        match (child.spec.start)(myself.get_cell()).await {
            Ok(running) => {
                child.running = Some(running);
                self.metrics.restarted(child.spec.name);
                Ok(())
            }
            Err(refused) => self.on_failure(myself, position, &refused.to_string()),
        }
    }

    async fn stop(&mut self, patience: Duration) {
        self.stopping = true;
        for child in self.children.iter_mut().rev() {
            let Some(running) = child.running.take() else {
                continue;
            };
            if running.drain_and_wait(Some(patience)).await.is_err() {
                tracing::warn!(child = child.spec.name, ?patience, "child did not drain; killed");
                running.kill();
            }
        }
    }
}
