//! A scraper: it asks one endpoint for its metrics page, at every tick, and tells the book.
//!
//! Owns: the connection to the endpoint, through the one task that waits on it.
//! Hears: that its task ended.
//! Publishes: samples, to the endpoint book.
//! Restarts: from nothing; the next page tells all there is to know.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::sleep_until;

use super::{
    fetch::{FetchError, Fetcher},
    metrics::Metrics,
    page::{self, Page},
    schedule::Schedule,
    wanted::Wanted,
};
use crate::{
    clock,
    endpoints::{Endpoint, Heard, book::Fact},
    supervision::{Intake, OwnedTask, Refused},
};

/// The task that scrapes has ended, which it does not do unless it fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended;

/// The actor.
#[derive(Debug)]
pub(super) struct Scraper;

/// What a scraper starts with.
pub(super) struct Arguments {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) wanted: Wanted,
    pub(super) fetcher: Fetcher,
    pub(super) schedule: Schedule,
    pub(super) book: Intake<Fact>,
    pub(super) metrics: Metrics,
}

impl Actor for Scraper {
    type Msg = Ended;
    type State = OwnedTask;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Ended>,
        arguments: Arguments,
    ) -> Result<OwnedTask, ActorProcessingErr> {
        Ok(OwnedTask::start(&myself, scrape(arguments), || Ended))
    }

    async fn handle(
        &self,
        _myself: ActorRef<Ended>,
        Ended: Ended,
        _task: &mut OwnedTask,
    ) -> Result<(), ActorProcessingErr> {
        Err("the task that scrapes ended".into())
    }
}

/// Scrapes for ever.
async fn scrape(arguments: Arguments) {
    let Arguments { endpoint, wanted, mut fetcher, schedule, book, metrics } = arguments;
    let mut health = Health::new();
    let mut next = schedule.first(clock::now());
    loop {
        sleep_until(next.into()).await;
        let sampled_at = clock::now();
        match fetcher.fetch().await {
            Ok(bytes) => {
                let page = page::read(bytes, &wanted);
                count(&metrics, &page);
                health.read(&endpoint, &page);
                if 0 < page.found {
                    let heard =
                        Heard { endpoint: Arc::clone(&endpoint), sampled_at, load: page.load };
                    if let Err(Refused::Full(_)) = book.offer(Fact::Heard(heard)) {
                        metrics.dropped.inc();
                    }
                }
            }
            Err(error) => {
                metrics.failed(error.reason());
                health.failed(&endpoint, &error);
            }
        }
        next = schedule.next(clock::now(), health.failures);
    }
}

fn count(metrics: &Metrics, page: &Page) {
    metrics.pages.inc();
    metrics.garbage_lines.inc_by(page.garbage_lines.into());
    if 0 < page.missing {
        metrics.incomplete();
    }
}

/// How the endpoint fares, so that a change is logged once and not at every tick.
#[derive(Debug)]
struct Health {
    state: State,
    /// Failures in a row.
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Untried,
    /// Its pages tell its load, but for this many readings.
    Tells {
        missing: u32,
    },
    /// Its pages hold nothing of its load.
    Mute,
    Fails,
}

impl Health {
    fn new() -> Self {
        Self { state: State::Untried, failures: 0 }
    }

    fn read(&mut self, endpoint: &Endpoint, page: &Page) {
        let state = match page.found {
            0 => State::Mute,
            _ => State::Tells { missing: page.missing },
        };
        let (before, failures) = (self.state, self.failures);
        *self = Self { state, failures: 0 };
        if state == before {
            return;
        }
        let (endpoint, host) = (&endpoint.key.name, &endpoint.metrics_host);
        match state {
            State::Mute => tracing::warn!(
                endpoint,
                host,
                "metrics page tells nothing of the load; check the endpoint's engine type"
            ),
            State::Tells { missing } if 0 < missing => tracing::warn!(
                endpoint,
                host,
                missing,
                "metrics page lacks series that the engine should have; they stay unknown"
            ),
            State::Tells { .. } if before == State::Untried => {
                tracing::debug!(endpoint, host, "first metrics page read");
            }
            State::Tells { .. } => {
                tracing::info!(endpoint, host, failures, "metrics page complete again");
            }
            State::Untried | State::Fails => {}
        }
    }

    fn failed(&mut self, endpoint: &Endpoint, error: &FetchError) {
        self.failures = self.failures.saturating_add(1);
        let (endpoint, host) = (&endpoint.key.name, &endpoint.metrics_host);
        let cause = std::error::Error::source(error).map(ToString::to_string);
        if self.state == State::Fails {
            tracing::trace!(endpoint, host, %error, cause, "metrics page not fetched");
        } else {
            self.state = State::Fails;
            tracing::warn!(
                endpoint, host, %error, cause,
                "metrics page not fetched; the endpoint's load will be unknown"
            );
        }
    }
}
