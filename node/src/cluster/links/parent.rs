//! The links' parent: one link for every address that somebody calls.
//!
//! Owns: which addresses have a link, and how it fares.
//! Hears: that an address without a link is called; that a link ended; that its wait is over.
//! Publishes: nothing.
//! Restarts: from the outlets. A link that keeps failing is started more and more rarely; it never takes its parent
//! with it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use convoy_raft::peers::Address;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::{
    Shared,
    link::{self, PeerLink},
    outlet::{Outlet, Wish},
};
use crate::{
    clock,
    supervision::{self, Admitted, Failures, Policy, Verdict},
};

/// Between two looks at which addresses are still called.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The actor.
#[derive(Debug)]
pub(super) struct PeerLinks;

/// What the links' parent hears, beside the ends of its children.
#[derive(Debug)]
pub(super) enum Msg {
    Wished(Admitted<Wish>),
    Look,
    /// This address's link failed and has waited long enough.
    Start(Address),
}

impl From<Admitted<Wish>> for Msg {
    fn from(wish: Admitted<Wish>) -> Self {
        Self::Wished(wish)
    }
}

/// What it starts with.
#[derive(Clone)]
pub(super) struct Arguments {
    pub(super) shared: Arc<Shared>,
    pub(super) supervision: supervision::Metrics,
}

/// Which addresses have links.
pub(super) struct State {
    arguments: Arguments,
    linked: BTreeMap<Address, Linked>,
}

struct Linked {
    outlet: Arc<Outlet>,
    failures: Failures,
    /// `None` while it waits to be started again.
    link: Option<ActorCell>,
}

impl Actor for PeerLinks {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_interval(LOOK_EVERY, || Msg::Look);
        let mut state = State { arguments, linked: BTreeMap::new() };
        state.follow(&myself).await?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Wished(wish) => {
                // A wish that comes from here on is one that this look may miss.
                drop(wish);
                state.follow(&myself).await
            }
            Msg::Look => state.follow(&myself).await,
            Msg::Start(address) => state.restart(&myself, &address).await,
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, cause) => {
                state.on_failure(&myself, &cell, &cause.to_string());
            }
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                let cause = reason.unwrap_or_else(|| "stopped".into());
                state.on_failure(&myself, &cell, &cause);
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl State {
    /// Has a link for every outlet that is in use, and no other.
    async fn follow(&mut self, myself: &ActorRef<Msg>) -> Result<(), ActorProcessingErr> {
        let shared = &self.arguments.shared;
        let in_use = shared.outlets.in_use(clock::now(), shared.timing.idle);
        // An address may have been forgotten and called again: then it has another outlet.
        self.linked.retain(|address, linked| {
            in_use.get(address).is_some_and(|outlet| Arc::ptr_eq(outlet, &linked.outlet))
        });
        for (address, outlet) in in_use {
            if !self.linked.contains_key(&address) {
                let link = Some(self.arguments.start(myself, &outlet).await?);
                let failures = Failures::new(Policy::ONE_OF_MANY);
                self.linked.insert(address, Linked { outlet, failures, link });
            }
        }
        Ok(())
    }

    fn on_failure(&mut self, myself: &ActorRef<Msg>, ended: &ActorCell, cause: &str) {
        let is_it = |linked: &Linked| {
            linked.link.as_ref().is_some_and(|cell| cell.get_id() == ended.get_id())
        };
        let Some((address, linked)) = self.linked.iter_mut().find(|(_, linked)| is_it(linked))
        else {
            return;
        };
        linked.link = None;
        match linked.failures.on_failure(clock::now()) {
            Verdict::RestartAfter(delay) => {
                tracing::warn!(%address, cause, ?delay, "peer link restarting");
                let address = address.clone();
                myself.send_after(delay, move || Msg::Start(address));
            }
            Verdict::Escalate => tracing::error!(%address, cause, "peer link given up"),
        }
    }

    async fn restart(
        &mut self,
        myself: &ActorRef<Msg>,
        address: &Address,
    ) -> Result<(), ActorProcessingErr> {
        // Nobody may call it any more, or it may have another link.
        let waiting = self.linked.get_mut(address).filter(|linked| linked.link.is_none());
        if let Some(linked) = waiting {
            linked.link = Some(self.arguments.start(myself, &linked.outlet).await?);
            self.arguments.supervision.restarted("peer-link");
        }
        Ok(())
    }
}

impl Arguments {
    async fn start(
        &self,
        myself: &ActorRef<Msg>,
        outlet: &Arc<Outlet>,
    ) -> Result<ActorCell, ActorProcessingErr> {
        let (shared, outlet) = (Arc::clone(&self.shared), Arc::clone(outlet));
        let arguments = link::Arguments { shared, outlet };
        let (link, _) = Actor::spawn_linked(None, PeerLink, arguments, myself.get_cell()).await?;
        Ok(link.get_cell())
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.stop(None);
        }
    }
}
