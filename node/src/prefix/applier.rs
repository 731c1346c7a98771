//! The applier: the one writer of the prefix index.
//!
//! Owns: the index, and which endpoints it counts.
//! Hears: sightings, through a bounded intake; the published view, which it looks at on its own.
//! Publishes: the index's reader, and where it counts each endpoint; takes from the overlay what it
//! has applied.
//! Restarts: with an empty index, since the index is its own; picks read the last one meanwhile.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use convoy_prefix_index::{BlockHash, HashParams, Parameters, Stamp, Statistics};
use prometheus_client::registry::Registry;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};

use super::{
    Bounds, Sighting,
    ledger::{HELD_BLOCKS_MAX, Ledger, Said, Tally},
    lookup::Prefixes,
    metrics::{Dropped, Metrics},
    published::Retired,
};
use crate::{
    clock,
    endpoints::{PublishedView, View},
    metrics::PickMetrics,
    plugins::PrefixSettings,
    supervision::{Admitted, ChildSpec, Intake, Policy},
};

/// Between two looks at the view, for who left and how large caches are. Who joined is learnt from
/// the first sighting there; holdings of who left are in no view that a pick reads.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often a sighting is offered that the index refuses for the time being. Each time evicts some
/// thousand blocks of an endpoint whose capacity shrank.
const OFFERS_MAX: usize = 64;

/// Writes the prefix index.
#[derive(Debug)]
pub struct Applier;

/// What the applier hears.
#[derive(Debug)]
pub enum Msg {
    /// A request was sent to an endpoint.
    Sighted(Admitted<Sighting>),
    /// Time to compare the index with the view.
    Look,
}

impl From<Admitted<Sighting>> for Msg {
    fn from(sighting: Admitted<Sighting>) -> Self {
        Self::Sighted(sighting)
    }
}

/// What an applier starts with. Clones start successors.
#[derive(Clone, Debug)]
pub struct Arguments {
    prefixes: Prefixes,
    view: PublishedView,
    parameters: Parameters,
    metrics: Metrics,
}

/// The state of a running applier.
#[derive(Debug)]
pub struct State {
    ledger: Ledger,
    retired: Retired,
    arguments: Arguments,
    started_at: Instant,
    /// The view that the ledger has followed last.
    followed: Arc<View>,
    held: Statistics,
    /// Blocks looked at since others on this thread had their turn.
    blocks_in_turn: usize,
}

impl Arguments {
    /// Settings of an applier whose index holds what `bounds` allow, hashed with `params`.
    pub fn new(
        params: HashParams,
        settings: PrefixSettings,
        bounds: Bounds,
        view: PublishedView,
        (registry, picks): (&mut Registry, PickMetrics),
    ) -> Self {
        let memberships_max = bounds.memberships_max;
        let parameters = Parameters { hash: params.clone(), memberships_max };
        let metrics = Metrics::register(registry, picks);
        let empty = Ledger::new(parameters.clone(), settings, 0).published();
        let prefixes = Prefixes::new(empty, params, (settings, bounds), metrics.clone());
        Self { prefixes, view, parameters, metrics }
    }

    /// What picks ask.
    pub fn prefixes(&self) -> Prefixes {
        self.prefixes.clone()
    }

    /// The applier as a supervisor's child.
    pub fn child(self, policy: Policy) -> ChildSpec {
        let start = move |parent: ActorCell| -> crate::supervision::Starting {
            let arguments = self.clone();
            Box::pin(async move {
                let intake = arguments.intake().clone();
                let (applier, _ended) =
                    Actor::spawn_linked(None, Applier, arguments, parent).await?;
                intake.rewire(applier.clone());
                Ok::<_, SpawnErr>(applier.get_cell())
            })
        };
        ChildSpec { name: "applier", policy, start: Box::new(start) }
    }

    fn intake(&self) -> &Intake<Sighting> {
        &self.prefixes.intake
    }
}

impl Actor for Applier {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State::new(arguments, fastrand::u64(..), clock::now());
        state.look(clock::now());
        state.publish();
        myself.send_after(LOOK_EVERY, || Msg::Look);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Sighted(sighting) => state.sighted(&sighting.body).await,
            Msg::Look => {
                state.look(clock::now());
                // One after the other, so that looks do not pile up behind sightings.
                myself.send_after(LOOK_EVERY, || Msg::Look);
            }
        }
        Ok(())
    }
}

impl State {
    fn new(arguments: Arguments, start: u64, started_at: Instant) -> Self {
        let settings = arguments.prefixes.settings;
        Self {
            ledger: Ledger::new(arguments.parameters.clone(), settings, start),
            retired: Retired::default(),
            arguments,
            started_at,
            followed: Arc::default(),
            held: Statistics::default(),
            blocks_in_turn: 0,
        }
    }

    /// Applies a sighting, then takes it from the overlay: a pick finds it in either.
    async fn sighted(&mut self, sighting: &Sighting) {
        let seen = sighting.seen();
        if !self.ledger.knows(&seen.endpoint) {
            self.follow();
        }
        if self.ledger.knows(&seen.endpoint) {
            let age = seen.made_at.saturating_duration_since(self.started_at);
            let stamp = Stamp(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            for chain in seen.chains().iter() {
                self.apply(sighting, chain, stamp).await;
            }
        } else {
            self.arguments.metrics.dropped(Dropped::EndpointLeft);
        }
        self.arguments.prefixes.overlay.remove(sighting);
    }

    async fn apply(&mut self, sighting: &Sighting, chain: &[BlockHash], stamp: Stamp) {
        let (mut said, mut offers_left) = (0, OFFERS_MAX);
        loop {
            let mut tally = Tally::default();
            let next = (chain, said);
            let outcome = self.ledger.sighted(&sighting.seen().endpoint, next, stamp, &mut tally);
            self.count(&tally);
            self.take_turns(chain.len()).await;
            match outcome {
                Said::Whole => return,
                Said::Part(more) => said = more,
                Said::AskAgain if offers_left == 0 => return,
                Said::AskAgain => offers_left -= 1,
            }
        }
    }

    /// Lets others on this thread have their turn, among them those who read loads.
    async fn take_turns(&mut self, blocks: usize) {
        self.blocks_in_turn += blocks;
        if HELD_BLOCKS_MAX <= self.blocks_in_turn {
            self.blocks_in_turn = 0;
            tokio::task::yield_now().await;
        }
    }

    fn look(&mut self, now: Instant) {
        self.follow();
        let mut tally = Tally::default();
        self.ledger.resize(&self.followed, now, &mut tally);
        self.count(&tally);
        self.arguments.prefixes.overlay.expire(now);
        let held = self.ledger.reader().statistics();
        self.arguments.metrics.holds(&self.held, &held);
        self.held = held;
    }

    /// Brings the index in line with the view of the moment.
    fn follow(&mut self) {
        let view = self.arguments.view.load_full();
        if Arc::ptr_eq(&view, &self.followed) {
            return;
        }
        for slot in self.retired.free() {
            self.ledger.release(slot);
        }
        let mut tally = Tally::default();
        if self.ledger.follow(&view, &mut tally) {
            self.publish();
        }
        self.followed = view;
        self.count(&tally);
    }

    fn publish(&mut self) {
        let (published, left) = (self.ledger.published(), self.ledger.left());
        for place in published.places.iter().flatten() {
            self.retired.taken(place.slot);
        }
        self.retired.publish(&self.arguments.prefixes.published, published, left);
    }

    fn count(&self, tally: &Tally) {
        self.arguments.metrics.applied(tally.applied);
        for &refusal in &tally.refused {
            self.arguments.metrics.refused(refusal);
        }
    }
}

#[cfg(test)]
mod tests;
