//! A task that belongs to an actor: for what waits on a socket or a disk, so that the actor's
//! mailbox does not.

use ractor::{ActorRef, Message};
use tokio::task::JoinHandle;

/// A running task. It is aborted when its owner's state is dropped, however the owner ends.
#[derive(Debug)]
pub struct OwnedTask(JoinHandle<()>);

impl OwnedTask {
    /// Runs `work` for `owner`. When it ends, by return, panic or abort, the owner hears `ended`.
    #[expect(clippy::disallowed_methods, reason = "the owner hears of the end, and ends the task")]
    pub fn start<M: Message>(
        owner: &ActorRef<M>,
        work: impl Future<Output = ()> + Send + 'static,
        ended: impl FnOnce() -> M + Send + 'static,
    ) -> Self {
        let farewell = Farewell { owner: owner.clone(), ended: Some(ended) };
        Self(tokio::spawn(async move {
            let _farewell = farewell;
            work.await;
        }))
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says that the task is over, on every way out of it.
struct Farewell<M: Message, F: FnOnce() -> M> {
    owner: ActorRef<M>,
    ended: Option<F>,
}

impl<M: Message, F: FnOnce() -> M> Drop for Farewell<M, F> {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            // An owner that has stopped needs no word of it.
            let _ = self.owner.cast(ended());
        }
    }
}
