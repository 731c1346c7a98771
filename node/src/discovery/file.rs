//! Endpoints listed in a file: the actor that owns the list in force.
//!
//! Owns: the last list that could be used, kept where a restart finds it.
//! Hears: what a look at the file found, from its own task; and the wish to hear the list again.
//! Publishes: the list, to the endpoint book.
//! Restarts: from the list in force, and looks at the file again. A file that cannot be used is
//! refused and said; the list in force stays.

pub mod list;

mod difference;
mod look;
mod watch;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};

pub use look::{FILE_BYTES_MAX, LoadError, Loaded, load};

use self::{difference::Difference, look::Look, watch::watch};
use super::{Event, Metrics};
use crate::{
    endpoints::book::Fact,
    supervision::{Admitted, Intake, OwnedTask, Refused},
};

/// The list in force. It outlives the actor.
#[derive(Clone, Debug)]
pub struct InForce(Arc<Mutex<Arc<Loaded>>>);

impl InForce {
    pub fn new(loaded: Loaded) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(loaded))))
    }

    pub fn get(&self) -> Arc<Loaded> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, loaded: Loaded) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
    }
}

/// The wish that the list be told to the book again, which was restarted.
#[derive(Clone, Copy, Debug)]
pub struct Relist;

/// What the actor hears.
#[derive(Debug)]
pub enum Msg {
    Asked(Admitted<Relist>),
    Looked(Look),
    /// The book took nothing; it is time to try again.
    RelistDue,
    WatchEnded,
}

impl From<Admitted<Relist>> for Msg {
    fn from(asked: Admitted<Relist>) -> Self {
        Self::Asked(asked)
    }
}

/// The actor.
#[derive(Debug)]
pub struct FileDiscovery;

/// What the actor starts with, at first and again.
#[derive(Clone, Debug)]
pub struct Arguments {
    pub path: PathBuf,
    /// Look at the file again when it changes.
    pub watch: bool,
    pub in_force: InForce,
    pub book: Intake<Fact>,
    pub metrics: Metrics,
}

/// The list, and the task that looks for another.
#[derive(Debug)]
pub struct State {
    arguments: Arguments,
    _watch: Option<OwnedTask>,
}

/// Between two tries to tell a book that is being restarted.
const RELIST_APART: Duration = Duration::from_millis(100);

impl Actor for FileDiscovery {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let looks = myself.clone();
        let found = move |look| looks.cast(Msg::Looked(look)).is_ok();
        let task = arguments.watch.then(|| {
            let watched = watch(arguments.path.clone(), arguments.in_force.get(), found);
            OwnedTask::start(&myself, watched, || Msg::WatchEnded)
        });
        let state = State { arguments, _watch: task };
        state.list(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Asked(_) | Msg::RelistDue => state.list(&myself),
            Msg::Looked(Look::Found(loaded)) => {
                state.take(loaded);
                state.list(&myself);
            }
            Msg::Looked(Look::Unusable(error)) => state.refuse(&error),
            Msg::WatchEnded => return Err("the watch of the endpoints file ended".into()),
        }
        Ok(())
    }
}

impl State {
    fn list(&self, myself: &ActorRef<Msg>) {
        let endpoints = self.arguments.in_force.get().endpoints.clone();
        self.arguments.metrics.listed.set(i64::try_from(endpoints.len()).unwrap_or(i64::MAX));
        let listed = Fact::Discovered(Event::Listed(endpoints));
        match self.arguments.book.offer(listed) {
            Ok(()) => {}
            Err(Refused::Full(_) | Refused::Stopped) => {
                myself.send_after(RELIST_APART, || Msg::RelistDue);
            }
        }
    }

    fn take(&self, loaded: Loaded) {
        let Arguments { path, metrics, in_force, .. } = &self.arguments;
        let (path, endpoints) = (path.display(), loaded.endpoints.len());
        let Difference { added, removed, changed } =
            Difference::new(&in_force.get().endpoints, &loaded.endpoints);
        if metrics.refused.set(0) == 0 {
            tracing::info!(%path, endpoints, added, removed, changed, "endpoints file read");
        } else {
            tracing::info!(
                %path, endpoints, added, removed, changed, "endpoints file can be used again"
            );
        }
        in_force.set(loaded);
    }

    fn refuse(&self, error: &LoadError) {
        let metrics = &self.arguments.metrics;
        metrics.refused.set(1);
        metrics.refusals.inc();
        let in_force = self.arguments.in_force.get().endpoints.len();
        let remedy = error.remedy();
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(
            %error, cause, remedy, in_force,
            "endpoints file refused; the last good list stays in force"
        );
    }
}

#[cfg(test)]
mod tests;
