//! A bounded front door for an actor.
//!
//! Ractor's mailbox has no bound, and a restarted actor has a new address. A permit rides inside
//! each message and comes back when the message is dropped, so at most `capacity` are ever waiting.
//! The address is shared, so one [`Intake::rewire`] redirects every sender.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use ractor::{ActorRef, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where others leave messages for an actor. Clones lead to the same actor.
pub struct Intake<T> {
    places: Arc<Semaphore>,
    actor: Arc<ArcSwapOption<Deliver<T>>>,
}

/// Casts to the actor of the moment; false if it has stopped.
type Deliver<T> = Box<dyn Fn(Admitted<T>) -> bool + Send + Sync>;

/// A message with the place that it takes up in the mailbox.
#[derive(Debug)]
pub struct Admitted<T> {
    pub body: T,
    _place: OwnedSemaphorePermit,
}

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// As many wait as may.
    Full(T),
    /// No actor runs; its parent is starting it again, or everything stops.
    Stopped,
}

impl<T: Send + 'static> Intake<T> {
    /// Leads nowhere until it is wired.
    pub fn new(capacity: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(capacity)), actor: Arc::default() }
    }

    /// Hands `body` over, or refuses at once. Never waits.
    pub fn offer(&self, body: T) -> Result<(), Refused<T>> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(Refused::Full(body));
        };
        let actor = self.actor.load();
        let delivered =
            actor.as_ref().is_some_and(|deliver| deliver(Admitted { body, _place: place }));
        if delivered { Ok(()) } else { Err(Refused::Stopped) }
    }

    /// Sends what follows to `successor`. The parent calls this after every start.
    pub fn rewire<M: Message + From<Admitted<T>>>(&self, successor: ActorRef<M>) {
        let deliver: Deliver<T> = Box::new(move |admitted| successor.cast(admitted.into()).is_ok());
        self.actor.store(Some(Arc::new(deliver)));
    }
}

impl<T> Clone for Intake<T> {
    fn clone(&self) -> Self {
        Self { places: Arc::clone(&self.places), actor: Arc::clone(&self.actor) }
    }
}

impl<T> fmt::Debug for Intake<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("places", &self.places).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use ractor::{Actor, ActorProcessingErr};
    use tokio::sync::Semaphore;

    use super::*;

    /// Reports each message, but only when `gate` lets it.
    struct Reporter {
        heard: mpsc::Sender<u32>,
        gate: Arc<Semaphore>,
    }

    impl Actor for Reporter {
        type Msg = Admitted<u32>;
        type State = ();
        type Arguments = ();

        async fn pre_start(
            &self,
            _myself: ActorRef<Self::Msg>,
            (): (),
        ) -> Result<(), ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            _myself: ActorRef<Self::Msg>,
            message: Self::Msg,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            self.gate.acquire().await?.forget();
            self.heard.send(message.body)?;
            Ok(())
        }
    }

    async fn reporter(gate: &Arc<Semaphore>) -> (ActorRef<Admitted<u32>>, mpsc::Receiver<u32>) {
        let (heard, reports) = mpsc::channel();
        let reporter = Reporter { heard, gate: Arc::clone(gate) };
        (Actor::spawn(None, reporter, ()).await.unwrap().0, reports)
    }

    #[tokio::test]
    async fn takes_as_many_as_fit_and_gives_the_rest_back() {
        let gate = Arc::new(Semaphore::new(0));
        let (actor, reports) = reporter(&gate).await;
        let intake = Intake::new(4);
        intake.rewire(actor.clone());
        let refused: Vec<_> = (0..10).filter_map(|n| intake.offer(n).err()).collect();
        assert_eq!(refused, (4..10).map(Refused::Full).collect::<Vec<_>>());
        gate.add_permits(100);
        while intake.places.available_permits() < 4 {
            tokio::task::yield_now().await;
        }
        intake.offer(10).unwrap();
        actor.drain_and_wait(None).await.unwrap();
        assert_eq!(reports.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 10]);
    }

    #[tokio::test]
    async fn a_sender_from_before_a_restart_reaches_the_successor() {
        let gate = Arc::new(Semaphore::new(100));
        let intake = Intake::new(1);
        let sender = intake.clone();
        assert_eq!(sender.offer(0), Err(Refused::Stopped));
        let (first, _) = reporter(&gate).await;
        intake.rewire(first.clone());
        first.kill_and_wait(None).await.unwrap();
        assert_eq!(sender.offer(1), Err(Refused::Stopped));
        let (second, reports) = reporter(&gate).await;
        intake.rewire(second.clone());
        assert_eq!(sender.offer(2), Ok(()));
        second.drain_and_wait(None).await.unwrap();
        assert_eq!(reports.try_iter().collect::<Vec<_>>(), [2]);
    }
}
