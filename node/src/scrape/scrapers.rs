//! The scrapers' parent: one scraper for every ready endpoint of the view.
//!
//! Owns: who is scraped, and how its scraper fares.
//! Hears: that the view's endpoints changed; that a scraper ended; that its wait is over.
//! Publishes: nothing.
//! Restarts: from the view. A scraper that keeps failing is started more and more rarely; it never
//! takes its parent with it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::{
    fetch::{Fetcher, Source},
    metrics::Metrics,
    schedule::Beat,
    scraper::{self, Scraper},
    target::Target,
    wanted::Wanted,
};
use crate::{
    clock,
    endpoints::{Endpoint, EndpointKey, PublishedView, View, book::Fact},
    plugins::MetricsExtractor,
    supervision::{self, Failures, Intake, OwnedTask, Policy, Verdict},
};

/// What the scrapers' parent hears, beside the ends of its children.
#[derive(Debug)]
pub enum Msg {
    /// Endpoints joined or left, or changed otherwise than in load.
    ViewChanged,
    /// This endpoint's scraper failed and has waited long enough.
    Start(EndpointKey),
    WatchEnded,
}

/// The actor.
#[derive(Debug)]
pub struct Scrapers;

/// What scrapers need to know.
#[derive(Clone, Debug)]
pub struct Arguments {
    pub source: Source,
    pub extractor: Arc<MetricsExtractor>,
    /// When endpoints are asked.
    pub beat: Beat,
    pub view: PublishedView,
    pub book: Intake<Fact>,
    pub metrics: Metrics,
    pub supervision: supervision::Metrics,
}

/// Who is scraped.
#[derive(Debug)]
pub struct State {
    arguments: Arguments,
    scraped: BTreeMap<EndpointKey, Scraped>,
    _watch: OwnedTask,
}

struct Scraped {
    endpoint: Arc<Endpoint>,
    failures: Failures,
    /// `None` while it waits to be started again, or if its metrics host is none.
    scraper: Option<ActorCell>,
}

impl fmt::Debug for Scraped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraped").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Actor for Scrapers {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut changes = arguments.view.membership();
        changes.mark_changed();
        let told = myself.clone();
        let watch = async move {
            while changes.changed().await.is_ok() && told.cast(Msg::ViewChanged).is_ok() {}
        };
        let watch = OwnedTask::start(&myself, watch, || Msg::WatchEnded);
        Ok(State { arguments, scraped: BTreeMap::new(), _watch: watch })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::ViewChanged => {
                let view = state.arguments.view.load_full();
                state.follow(&myself, &view).await
            }
            Msg::Start(key) => state.restart(&myself, &key).await,
            Msg::WatchEnded => Err("the watch of the view ended".into()),
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
    /// Has every ready endpoint of `view` scraped, and no other.
    async fn follow(
        &mut self,
        myself: &ActorRef<Msg>,
        view: &View,
    ) -> Result<(), ActorProcessingErr> {
        let mut before = std::mem::take(&mut self.scraped);
        for member in view.members.iter().filter(|member| member.ready) {
            let endpoint = &member.endpoint;
            let known = before.remove(&endpoint.key);
            let kept = known.filter(|known| same_page(&known.endpoint, endpoint));
            let scraped = match kept {
                Some(kept) => kept,
                None => self.arguments.begin(myself, endpoint).await?,
            };
            self.scraped.insert(endpoint.key.clone(), scraped);
        }
        Ok(())
    }

    fn on_failure(&mut self, myself: &ActorRef<Msg>, ended: &ActorCell, cause: &str) {
        let is_it = |scraped: &Scraped| {
            scraped.scraper.as_ref().is_some_and(|cell| cell.get_id() == ended.get_id())
        };
        let Some((key, scraped)) = self.scraped.iter_mut().find(|(_, scraped)| is_it(scraped))
        else {
            return;
        };
        scraped.scraper = None;
        match scraped.failures.on_failure(clock::now()) {
            Verdict::RestartAfter(delay) => {
                tracing::warn!(endpoint = key.name, cause, ?delay, "scraper restarting");
                let key = key.clone();
                myself.send_after(delay, move || Msg::Start(key));
            }
            Verdict::Escalate => {
                tracing::error!(endpoint = key.name, cause, "scraper given up");
            }
        }
    }

    async fn restart(
        &mut self,
        myself: &ActorRef<Msg>,
        key: &EndpointKey,
    ) -> Result<(), ActorProcessingErr> {
        // It may have left meanwhile, or have come back with a scraper of its own.
        let waiting = self.scraped.get_mut(key).filter(|scraped| scraped.scraper.is_none());
        if let Some(scraped) = waiting {
            scraped.scraper = self.arguments.start(myself, &scraped.endpoint).await?;
            self.arguments.supervision.restarted("scraper");
        }
        Ok(())
    }
}

impl Arguments {
    async fn begin(
        &self,
        myself: &ActorRef<Msg>,
        endpoint: &Arc<Endpoint>,
    ) -> Result<Scraped, ActorProcessingErr> {
        Ok(Scraped {
            endpoint: Arc::clone(endpoint),
            failures: Failures::new(Policy::ONE_OF_MANY),
            scraper: self.start(myself, endpoint).await?,
        })
    }

    /// Starts a scraper; none if it is not known where the endpoint's page is.
    async fn start(
        &self,
        myself: &ActorRef<Msg>,
        endpoint: &Arc<Endpoint>,
    ) -> Result<Option<ActorCell>, ActorProcessingErr> {
        let Some(target) = Target::parse(&endpoint.metrics_host, self.source.port) else {
            let (endpoint, host) = (&endpoint.key.name, &endpoint.metrics_host);
            tracing::error!(endpoint, host, "metrics host is not host:port; load unknown");
            return Ok(None);
        };
        let engine = self.extractor.engine_of(&endpoint.labels);
        let engine = engine.ok_or("the default engine is not among the engines")?;
        let scraper = scraper::Arguments {
            endpoint: Arc::clone(endpoint),
            wanted: Wanted::new(engine),
            fetcher: Fetcher::new(self.source.clone(), target),
            schedule: self.beat.schedule(endpoint.slot),
            book: self.book.clone(),
            metrics: self.metrics.clone(),
        };
        let (scraper, _) = Actor::spawn_linked(None, Scraper, scraper, myself.get_cell()).await?;
        Ok(Some(scraper.get_cell()))
    }
}

/// True if two descriptions of an endpoint lead to the same page, read the same way, for the same
/// life.
fn same_page(a: &Arc<Endpoint>, b: &Arc<Endpoint>) -> bool {
    Arc::ptr_eq(a, b)
        || (a.in_flight.same(&b.in_flight)
            && a.metrics_host == b.metrics_host
            && a.labels == b.labels)
}

impl Drop for Scraped {
    fn drop(&mut self) {
        if let Some(scraper) = &self.scraper {
            scraper.stop(None);
        }
    }
}
