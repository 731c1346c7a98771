//! The endpoint book: the one writer of which endpoints can take a request, and of their loads.
//!
//! Owns: the pool as its source lists it, and the last page each endpoint told.
//! Hears: discovery's events, and pages read by scrapers, through one intake.
//! Publishes: a [`View`](super::View), swapped whole, at most once every 5 ms; read by every pick.
//! Restarts: from the last view published, so that picks never see half a pool; discovery then
//! lists the pool again.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{
    pool::{Changed, Heard, Pace, Pacer, Pool},
    published::PublishedView,
    slots::Slots,
    vacancy::Vacancy,
};
use crate::{
    clock,
    discovery::{Event, ListedEndpoint},
    supervision::Admitted,
};

/// Between two views. A sample is some milliseconds old when it arrives; a few more do not matter,
/// and a pool of a thousand endpoints is copied 200 times a second instead of 20,000.
const PUBLISH_APART: Duration = Duration::from_millis(5);

/// What others tell the book.
#[derive(Clone, Debug)]
pub enum Fact {
    Discovered(Event),
    Heard(Heard),
}

/// What the book hears.
#[derive(Debug)]
pub enum Msg {
    Told(Admitted<Fact>),
    /// It is time to publish what has changed since the last view.
    PublishDue,
}

impl From<Admitted<Fact>> for Msg {
    fn from(told: Admitted<Fact>) -> Self {
        Self::Told(told)
    }
}

/// The actor.
#[derive(Debug)]
pub struct Book;

/// What outlives the book: it takes up from there.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub published: PublishedView,
    pub slots: Arc<Slots>,
}

/// The pool, and what of it has not been published.
#[derive(Debug)]
pub struct State {
    pool: Pool,
    published: PublishedView,
    pacer: Pacer,
    unpublished: Changed,
    vacancy: Vacancy,
}

/// Publishes a first list, for use before any book runs: what starts after it finds the pool there.
pub fn seed(arguments: &Arguments, listed: Vec<ListedEndpoint>) {
    let Arguments { published, slots } = arguments;
    let mut pool = Pool::from_view(&published.load(), Arc::clone(slots));
    if pool.apply(Event::Listed(listed)) != Changed::Nothing {
        published.store(pool.view(), true);
    }
}

impl Actor for Book {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Msg>,
        Arguments { published, slots }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let (view, mut vacancy) = (published.load_full(), Vacancy::new());
        vacancy.look(&view);
        let pool = Pool::from_view(&view, slots);
        let pacer = Pacer::new(PUBLISH_APART);
        Ok(State { pool, published, pacer, unpublished: Changed::Nothing, vacancy })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = clock::now();
        match msg {
            Msg::Told(told) => {
                state.note(told.body);
                if state.unpublished == Changed::Nothing {
                    return Ok(());
                }
                match state.pacer.on_change(now) {
                    Pace::Publish => state.publish(),
                    Pace::Wait(rest) => drop(myself.send_after(rest, || Msg::PublishDue)),
                    Pace::Nothing => {}
                }
            }
            Msg::PublishDue => {
                state.pacer.on_waited(now);
                state.publish();
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Msg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.publish();
        Ok(())
    }
}

impl State {
    fn note(&mut self, fact: Fact) {
        let changed = match fact {
            Fact::Discovered(event) => self.pool.apply(event),
            Fact::Heard(heard) => self.pool.hear(heard),
        };
        self.unpublished = self.unpublished.max(changed);
    }

    fn publish(&mut self) {
        if self.unpublished != Changed::Nothing {
            let members_changed = self.unpublished == Changed::Members;
            let view = self.pool.view();
            if members_changed {
                self.vacancy.look(&view);
            }
            self.published.store(view, members_changed);
            self.unpublished = Changed::Nothing;
        }
    }
}
