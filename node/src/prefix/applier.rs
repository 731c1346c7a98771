//! The applier: the one writer of the prefix index.
//!
//! Owns: the index, and which endpoints it counts.
//! Hears: sightings, through a bounded intake; the published view, which it looks at on its own.
//! Publishes: the index's reader, and where it counts each endpoint.
//! Restarts: with an empty index, since the index is its own; picks read the last one meanwhile.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use convoy_prefix_index::{HashParams, Parameters, Stamp, Statistics};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};

use super::{
    Bounds,
    ledger::{Ledger, Tally},
    lookup::{Prefixes, Published, Sighting},
};
use crate::{
    clock,
    endpoints::PublishedView,
    metrics::PickMetrics,
    plugins::PrefixSettings,
    supervision::{Admitted, ChildSpec, Intake, Policy},
};

/// How often the applier compares the index with the view.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

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

#[derive(Clone, Debug)]
struct Metrics {
    picks: PickMetrics,
    applied: Counter,
    refused: Counter,
    evicted: Counter,
}

impl Metrics {
    fn register(registry: &mut Registry, picks: PickMetrics, dropped: &Counter) -> Self {
        let metrics = Self {
            picks,
            applied: Counter::default(),
            refused: Counter::default(),
            evicted: Counter::default(),
        };
        let help = "Commands that the prefix index carried out";
        registry.register("convoy_index_commands_applied", help, metrics.applied.clone());
        let help = "Commands that the prefix index refused";
        registry.register("convoy_index_commands_refused", help, metrics.refused.clone());
        let help = "Holdings that the prefix index forgot to make room";
        registry.register("convoy_index_evicted", help, metrics.evicted.clone());
        let help = "Sightings dropped because too many waited";
        registry.register("convoy_sightings_dropped", help, dropped.clone());
        metrics
    }
}

/// The state of a running applier.
#[derive(Debug)]
pub struct State {
    ledger: Ledger,
    arguments: Arguments,
    started_at: Instant,
    evicted: u64,
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
        let dropped = Counter::default();
        let metrics = Metrics::register(registry, picks, &dropped);
        let ledger = Ledger::new(parameters.clone(), settings, 0);
        let published = Published { reader: ledger.reader(), slots: Vec::new() };
        let prefixes = Prefixes {
            published: Arc::new(ArcSwap::from_pointee(published)),
            params: Arc::new(params),
            settings,
            intake: Intake::new(bounds.sightings_waiting_max),
            dropped,
        };
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
                let intake = arguments.prefixes.intake.clone();
                let (applier, _ended) =
                    Actor::spawn_linked(None, Applier, arguments, parent).await?;
                intake.rewire(applier.clone());
                Ok::<_, SpawnErr>(applier.get_cell())
            })
        };
        ChildSpec { name: "applier", policy, start: Box::new(start) }
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
        let start = fastrand::u64(..);
        let ledger = Ledger::new(arguments.parameters.clone(), arguments.prefixes.settings, start);
        let mut state = State { ledger, arguments, started_at: clock::now(), evicted: 0 };
        state.look();
        state.publish();
        myself.send_interval(LOOK_EVERY, || Msg::Look);
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Sighted(sighting) => state.sighted(&sighting.body),
            Msg::Look => state.look(),
        }
        Ok(())
    }
}

impl State {
    fn sighted(&mut self, sighting: &Sighting) {
        let age = clock::now().saturating_duration_since(self.started_at);
        let stamp = Stamp(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let mut tally = Tally::default();
        self.ledger.sighted(&sighting.endpoint, &sighting.chains, stamp, &mut tally);
        self.count(tally);
    }

    fn look(&mut self) {
        let view = self.arguments.view.load_full();
        let mut tally = Tally::default();
        if self.ledger.follow(&view, &mut tally) {
            self.publish();
        }
        self.count(tally);
        let Statistics { memberships, evicted, .. } = self.ledger.reader().statistics();
        self.arguments.metrics.picks.index_holds(memberships);
        self.arguments.metrics.evicted.inc_by(evicted.saturating_sub(self.evicted));
        self.evicted = evicted;
    }

    fn publish(&self) {
        let published = Published { reader: self.ledger.reader(), slots: self.ledger.slots() };
        self.arguments.prefixes.published.store(Arc::new(published));
    }

    fn count(&self, tally: Tally) {
        self.arguments.metrics.applied.inc_by(tally.applied);
        self.arguments.metrics.refused.inc_by(tally.refused);
    }
}
