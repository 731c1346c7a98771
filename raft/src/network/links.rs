//! Reaching replicas by name, and asking them.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    identity::ReplicaName,
    machine::Threads,
    peers::Book,
    transport::{
        CALL_BYTES_MAX, Destination, FRAME_BYTES_MAX, LinkError, Transport,
        wire::{Answer, Question, Refused, WireError, decode, encode},
    },
};

/// Reaches replicas by name.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) book: Arc<Mutex<Book>>,
    pub(crate) threads: Threads,
}

impl Links {
    /// Where `name` is at the moment.
    pub(crate) fn destination(&self, name: &ReplicaName) -> Result<Destination, LinkError> {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let address = book.address_of(name).cloned();
        let address = address.ok_or_else(|| LinkError::NoAddress(name.clone()))?;
        Ok(Destination { address, name: Some(name.clone()) })
    }

    /// Asks, and reads the answer.
    pub(crate) async fn ask(
        &self,
        to: Destination,
        question: &Question,
        patience: Duration,
    ) -> Result<Answer, LinkError> {
        let bytes = encode(question, limit_of(question))?;
        let answer = self.transport.call(&to, bytes, patience).await?;
        let answer = decode(&answer, CALL_BYTES_MAX)?;
        if let Answer::Refused(why) = &answer { Err(refused(&to, why)) } else { Ok(answer) }
    }
}

/// A heartbeat may carry entries.
fn limit_of(question: &Question) -> usize {
    match question {
        Question::Entries { .. } => FRAME_BYTES_MAX,
        Question::Hello(_)
        | Question::Offer(_)
        | Question::Apply { .. }
        | Question::Vote { .. }
        | Question::PreVote { .. }
        | Question::TransferLeader { .. } => CALL_BYTES_MAX,
    }
}

pub(crate) fn refused(to: &Destination, why: &Refused) -> LinkError {
    let to = to.name.as_ref().map_or_else(|| to.address.to_string(), ToString::to_string);
    LinkError::Refused { to, why: why.to_string() }
}

pub(crate) fn unexpected(expected: &'static str) -> LinkError {
    WireError::Unexpected { found: "different message", expected }.into()
}

/// Does what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    threads: Threads,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    match threads {
        Threads::Own => tokio::task::spawn_blocking(work).await.map_err(io::Error::other),
        Threads::None => Ok(work()),
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("transport", &self.transport).finish_non_exhaustive()
    }
}
