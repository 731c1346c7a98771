//! The tree of actors of one replica.
//!
//! ```text
//! supervisor
//!   +-- endpoint book
//!   +-- scrapers
//!   |     +-- scraper, one per ready endpoint
//!   +-- file discovery
//! ```
//!
//! Children start in this order and are drained in the reverse. None waits for another: the book
//! publishes the view, discovery and scrapers reach the book through an intake, and the scrapers
//! follow the view.

use std::{sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use ractor::{Actor, ActorCell, ActorRef, SpawnErr};
use tokio::task::JoinHandle;

use super::{
    call::{CallError, call},
    intake::Intake,
    metrics::Metrics,
    policy::Policy,
    supervisor::{self, ChildSpec, Supervisor},
};
use crate::{
    clock,
    config::MetricsReading,
    discovery::{
        self,
        file::{self, FileDiscovery, InForce, LoadError, Relist},
    },
    endpoints::{
        Gauges, PublishedView,
        book::{self, Book, Fact},
    },
    plugins,
    scrape::{
        self, Beat, Limits, Source, SourceError,
        scrapers::{self, Scrapers},
    },
};

/// What the tree is told to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the pool, a label of its gauges.
    pub pool: String,
    pub discovery: plugins::FileDiscovery,
    /// How loads are read; `None`: they are not, and all are unknown.
    pub metrics: Option<MetricsReading>,
    /// Between two pages of one endpoint, unless `source` says otherwise.
    pub refresh_interval: Duration,
    pub limits: Limits,
    /// Older loads do not count in the pool's gauges.
    pub load_age_max: Duration,
}

/// Why the tree cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Endpoints(#[from] LoadError),
    #[error("metrics-data-source: {0}")]
    Source(#[from] SourceError),
    #[error("actors do not start")]
    Actors(#[from] SpawnErr),
}

impl StartError {
    /// What helps.
    pub fn remedy(&self) -> String {
        match self {
            Self::Endpoints(error) => error.remedy(),
            Self::Source(error) => error.remedy().to_owned(),
            Self::Actors(_) => "report this; it depends on no setting".to_owned(),
        }
    }
}

/// The running actors.
#[derive(Debug)]
pub struct Tree {
    root: ActorRef<supervisor::Msg>,
    ended: JoinHandle<()>,
    view: PublishedView,
}

/// Facts that may wait for the book: what a thousand endpoints tell in 200 ms.
const FACTS_WAITING_MAX: usize = 4096;

/// A wish to relist that finds another one waiting is fulfilled by that.
const RELISTS_WAITING_MAX: usize = 2;

/// For a question to the supervisor, which may be waiting for a child to start.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Loads the endpoints and starts the actors, `others` after those that keep the pool; `view` holds
/// the endpoints when this returns. Registers their metrics in `registry`.
pub async fn start(
    settings: Settings,
    view: PublishedView,
    others: Vec<ChildSpec>,
    registry: &mut Registry,
) -> Result<Tree, StartError> {
    let Settings { pool, discovery, metrics: reading, refresh_interval, limits, load_age_max } =
        settings;
    let loaded = file::load(&discovery.path)?;
    let (path, endpoints) = (discovery.path.display(), loaded.endpoints.len());
    tracing::info!(%path, endpoints, watch = discovery.watch, "endpoints file read");

    let published = book::Arguments { published: view.clone(), slots: Arc::default() };
    book::seed(&published, loaded.endpoints.clone());
    let facts = Intake::new(FACTS_WAITING_MAX);
    let metrics = Metrics::default();
    let discovery = file::Arguments {
        path: discovery.path,
        watch: discovery.watch,
        in_force: InForce::new(loaded),
        book: facts.clone(),
        metrics: discovery::Metrics::default(),
    };
    metrics.register(registry);
    discovery.metrics.register(registry);
    Gauges { view: view.clone(), pool, load_age_max }.register(registry);

    let relists = Intake::new(RELISTS_WAITING_MAX);
    let mut children = vec![book_spec(published, facts.clone(), relists.clone())];
    if let Some(MetricsReading { source, extractor }) = reading {
        let interval = source.interval.unwrap_or(refresh_interval);
        let scraping = scrapers::Arguments {
            source: Source::try_new(&source, limits)?,
            extractor: Arc::new(extractor),
            beat: Beat::new(clock::now(), interval, fastrand::u64(..)),
            view: view.clone(),
            book: facts,
            metrics: scrape::Metrics::default(),
            supervision: metrics.clone(),
        };
        scraping.metrics.register(registry);
        children.push(scrapers_spec(scraping));
    }
    children.push(discovery_spec(discovery, relists));
    children.extend(others);
    let arguments = supervisor::Arguments { children, metrics };
    let (root, ended) = Actor::spawn(None, Supervisor, arguments).await?;
    Ok(Tree { root, ended, view })
}

fn book_spec(
    arguments: book::Arguments,
    facts: Intake<Fact>,
    relists: Intake<Relist>,
) -> ChildSpec {
    let start = move |parent| {
        let (arguments, facts, relists) = (arguments.clone(), facts.clone(), relists.clone());
        async move {
            let (book, _) = Actor::spawn_linked(None, Book, arguments, parent).await?;
            facts.rewire(book.clone());
            // A refusal is fine: discovery lists when it starts, and one wish is enough.
            let _ = relists.offer(Relist);
            Ok(book.get_cell())
        }
    };
    spec("book", start)
}

fn scrapers_spec(arguments: scrapers::Arguments) -> ChildSpec {
    let start = move |parent| {
        let arguments = arguments.clone();
        async move {
            let (scrapers, _) = Actor::spawn_linked(None, Scrapers, arguments, parent).await?;
            Ok(scrapers.get_cell())
        }
    };
    spec("scrapers", start)
}

fn discovery_spec(arguments: file::Arguments, relists: Intake<Relist>) -> ChildSpec {
    let start = move |parent| {
        let (arguments, relists) = (arguments.clone(), relists.clone());
        async move {
            let (file, _) = Actor::spawn_linked(None, FileDiscovery, arguments, parent).await?;
            relists.rewire(file.clone());
            Ok(file.get_cell())
        }
    };
    spec("file-discovery", start)
}

fn spec<F>(name: &'static str, start: impl Fn(ActorCell) -> F + Send + Sync + 'static) -> ChildSpec
where
    F: Future<Output = Result<ActorCell, SpawnErr>> + Send + 'static,
{
    let start: supervisor::Start = Box::new(move |parent| Box::pin(start(parent)));
    ChildSpec { name, policy: Policy::ESSENTIAL, start }
}

impl Tree {
    /// Where the pool is read. It stays readable whatever happens to the actors.
    pub fn view(&self) -> &PublishedView {
        &self.view
    }

    /// Returns when the supervisor has given up, or was shut down: nothing is kept up to date then.
    pub async fn ended(&mut self) {
        // It ends by return alone; a panic in it is an end as well.
        let _ = (&mut self.ended).await;
    }

    /// The children that run at the moment, by name.
    pub async fn running(&self) -> Result<Vec<(&'static str, ActorCell)>, CallError> {
        call(&self.root, supervisor::Msg::Running, ANSWER_WITHIN).await
    }

    /// Drains the actors, the last started first, each for `patience` at most.
    pub async fn shutdown(mut self, patience: Duration) {
        if self.root.cast(supervisor::Msg::Stop { patience }).is_ok() {
            self.ended().await;
        }
    }
}

#[cfg(test)]
mod tests;
