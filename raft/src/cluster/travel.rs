//! What goes from this replica to the leader: batches, applications, and entries that are offered again.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use openraft::{EntryPayload, storage::RaftLogReader};
use tokio::sync::{mpsc, oneshot};

use super::{Proposal, ProposeError, Shared};
use crate::{
    batch::{Batch, Item},
    identity::{Generation, ReplicaName, Seat},
    membership::Application,
    network::{Links, refused, unexpected},
    transport::{
        CALL_BYTES_MAX, FRAME_BYTES_MAX, Frames, Lane, LinkError,
        wire::{Answer, ProposalAnswer, ProposalFrame, Question, Refused, decode, encode},
    },
    types::Types,
};

/// Frames that wait to be sent. The other side reads as fast as its log takes them.
const FRAMES_WAITING_MAX: usize = 4;

/// Batches sent and not yet answered.
const UNANSWERED_MAX: usize = 64;

/// Entries read at once to be offered again.
const READ_ENTRIES: u64 = 32;

/// A stream of batches to one leader.
struct ToLeader {
    leader: ReplicaName,
    generation: Generation,
    frames: mpsc::Sender<Bytes>,
    answers: Frames,
}

impl ToLeader {
    async fn open(
        links: &Links,
        leader: ReplicaName,
        generation: Generation,
        patience: Duration,
    ) -> Result<Self, LinkError> {
        let to = links.destination(&leader)?;
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
        let head = encode(&ProposalFrame::To { generation }, FRAME_BYTES_MAX)?;
        let rest = stream::unfold(waiting, |mut waiting| async move {
            let frame = waiting.recv().await?;
            Some((frame, waiting))
        });
        let sent = stream::once(async move { head }).chain(rest).boxed();
        let opening = links.transport.stream(&to, Lane::Proposals, sent);
        let timed_out = |_| LinkError::TimedOut { to: to.address.to_string(), patience };
        let answers = tokio::time::timeout(patience, opening).await.map_err(timed_out)??;
        Ok(Self { leader, generation, frames, answers })
    }

    async fn send(&mut self, batch: Bytes) -> Result<(), LinkError> {
        let frame = encode(&ProposalFrame::Batch(batch), FRAME_BYTES_MAX)?;
        self.frames.send(frame).await.map_err(|_| LinkError::Closed)
    }

    /// What became of the batch that was sent first of those not answered.
    async fn answer(&mut self) -> Result<Result<u64, ProposeError>, LinkError> {
        let answer = self.answers.next().await.ok_or(LinkError::Closed)??;
        Ok(match decode(&answer, CALL_BYTES_MAX)? {
            ProposalAnswer::Written(index) => Ok(index),
            ProposalAnswer::Refused(why) => {
                Err(ProposeError::Leader { leader: self.leader.clone(), why: why.to_string() })
            }
        })
    }
}

/// Sends what is proposed here to the leader of the moment, over one stream while it lasts. Ends
/// when nobody can propose any more.
pub(super) async fn forward(shared: Arc<Shared>, mut proposed: mpsc::Receiver<Proposal>) {
    while let Some(proposal) = proposed.recv().await {
        let Some((leader, generation)) = shared.leader() else {
            told(proposal.written, Err(ProposeError::NoLeader));
            continue;
        };
        let patience = shared.timing.answer;
        match ToLeader::open(&shared.links, leader.clone(), generation, patience).await {
            Ok(link) => keep_up(&shared, link, proposal, &mut proposed).await,
            Err(fault) => {
                let why = fault.to_string();
                told(proposal.written, Err(ProposeError::Leader { leader, why }));
            }
        }
    }
}

/// Sends one batch after another until the leader changes or the stream breaks.
async fn keep_up(
    shared: &Shared,
    mut link: ToLeader,
    first: Proposal,
    proposed: &mut mpsc::Receiver<Proposal>,
) {
    let mut unanswered = VecDeque::new();
    let mut next = Some(first);
    let fault = loop {
        if let Some(Proposal { batch, written }) = next.take() {
            unanswered.push_back(written);
            if let Err(fault) = link.send(batch).await {
                break fault;
            }
        }
        if shared.leader() != Some((link.leader.clone(), link.generation)) {
            break LinkError::Closed;
        }
        tokio::select! {
            proposal = proposed.recv(), if unanswered.len() < UNANSWERED_MAX => match proposal {
                Some(proposal) => next = Some(proposal),
                None => break LinkError::Closed,
            },
            answer = link.answer() => match answer {
                Ok(written) => {
                    if let Some(waiting) = unanswered.pop_front() {
                        told(waiting, written);
                    }
                }
                Err(fault) => break fault,
            },
        }
    };
    for waiting in unanswered {
        let (leader, why) = (link.leader.clone(), fault.to_string());
        told(waiting, Err(ProposeError::Leader { leader, why }));
    }
}

/// Whoever proposed may not care any more.
fn told(written: oneshot::Sender<Result<u64, ProposeError>>, result: Result<u64, ProposeError>) {
    let _unheard = written.send(result);
}

/// Asks `leader` for a seat.
pub(super) async fn apply(
    shared: &Shared,
    leader: &ReplicaName,
    generation: Generation,
    application: Application,
) -> Result<Seat, LinkError> {
    let to = shared.links.destination(leader)?;
    let question = Question::Apply { generation, application };
    let answer = shared.links.ask(to.clone(), &question, shared.timing.work).await?;
    if let Answer::NotAdmitted(why) = &answer {
        return Err(refused(&to, &Refused::Failed(why.to_string())));
    }
    let Answer::Seat(seat) = answer else { return Err(unexpected("seat")) };
    let right = seat.generation == generation && seat.lineage.is_bounded();
    if right { Ok(*seat) } else { Err(unexpected("seat in the log asked for")) }
}

/// The sightings of a log from `from` on, batch after batch, as a leader of another log may take
/// them. What else a log says is about itself.
pub(super) async fn sightings<R: RaftLogReader<Types>>(
    reader: &mut R,
    from: u64,
    end: u64,
) -> std::io::Result<Vec<Batch>> {
    let mut found = Vec::new();
    let mut at = from;
    while at < end {
        let upto = end.min(at + READ_ENTRIES);
        for entry in reader.try_get_log_entries(at..upto).await? {
            let EntryPayload::Normal(payload) = entry.payload else { continue };
            let Ok(mut batch) = Batch::decode(&payload.0) else { continue };
            batch.items.retain(|item| matches!(item, Item::Sighted(_)));
            if !batch.items.is_empty() {
                found.push(batch);
            }
        }
        at = upto;
    }
    Ok(found)
}

/// Makes batches of another log as old as they are by its last stamp.
pub(super) fn aged(mut batches: Vec<Batch>) -> Vec<Batch> {
    let last = batches.iter().map(|batch| batch.stamp).max().unwrap_or_default();
    for batch in &mut batches {
        let since = u32::try_from(last.0.saturating_sub(batch.stamp.0)).unwrap_or(u32::MAX);
        for item in &mut batch.items {
            if let Item::Sighted(sighted) = item {
                sighted.age_ms = sighted.age_ms.saturating_add(since);
            }
        }
        // The leader's clock counts.
        batch.stamp = convoy_prefix_index::Stamp::default();
    }
    batches
}

/// Offers batches to the leader of another log, and waits until all are answered.
pub(super) async fn offer_again(
    links: &Links,
    leader: ReplicaName,
    generation: Generation,
    batches: Vec<Batch>,
    patience: Duration,
) -> Result<usize, LinkError> {
    if batches.is_empty() {
        return Ok(0);
    }
    let mut link = ToLeader::open(links, leader, generation, patience).await?;
    let (mut sent, mut taken) = (0, 0);
    for batch in batches {
        let Ok(bytes) = batch.encode() else { continue };
        link.send(bytes).await?;
        sent += 1;
        if UNANSWERED_MAX <= sent {
            taken += usize::from(link.answer().await?.is_ok());
            sent -= 1;
        }
    }
    for _ in 0..sent {
        taken += usize::from(link.answer().await?.is_ok());
    }
    Ok(taken)
}
