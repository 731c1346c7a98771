//! Asking an actor, with an end to the waiting and one kind of error.

use std::time::Duration;

use ractor::{ActorRef, Message, RpcReplyPort, rpc::CallResult};

/// Why an actor gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("the actor has stopped")]
    Stopped,
    #[error("the actor dropped the question")]
    Dropped,
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// Asks `actor` and waits for the answer, `patience` at most. Calls go down the tree or sideways
/// to leaves, never up: two actors that call each other wait for both timeouts.
pub async fn call<M: Message, R: Send + 'static>(
    actor: &ActorRef<M>,
    question: impl FnOnce(RpcReplyPort<R>) -> M,
    patience: Duration,
) -> Result<R, CallError> {
    match actor.call(question, Some(patience)).await {
        Ok(CallResult::Success(answer)) => Ok(answer),
        Ok(CallResult::SenderError) => Err(CallError::Dropped),
        Ok(CallResult::Timeout) => Err(CallError::TimedOut(patience)),
        Err(_) => Err(CallError::Stopped),
    }
}
