//! openraft's network, over a [`Transport`].
//!
//! The log knows names, the [`Book`] knows where they are. Every message says for which seat of which log it is,
//! and the receiver refuses what is not for it: a name may have moved to another disk meanwhile.

mod links;

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, Either, ready, select},
    pin_mut,
    stream::{self, BoxStream},
};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    alias::SnapshotOf,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};

pub(crate) use self::links::{Links, blocking, refused, unexpected};
use crate::{
    identity::{Generation, ReplicaName},
    machine::{SnapshotData, Threads},
    transport::{
        CALL_BYTES_MAX, Destination, FRAME_BYTES_MAX, Frames, Lane, LinkError,
        wire::{
            Answer, EntriesAnswer, EntriesFrame, Question, SnapshotAnswer, SnapshotFrame, Target,
            WireError, decode, encode,
        },
    },
    types::{Replica, ReplicaId, Types, Vote},
};

/// Makes clients for the log of one generation.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    links: Links,
    generation: Generation,
}

/// Reaches one seat of the log.
#[derive(Debug)]
pub(crate) struct Peer {
    links: Links,
    to: Target,
    /// `None` if the log has a name that is none.
    name: Option<ReplicaName>,
}

impl Network {
    pub(crate) fn new(links: Links, generation: Generation) -> Self {
        Self { links, generation }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: ReplicaId, node: &Replica) -> Peer {
        let to = Target { generation: self.generation, id: target };
        let name = ReplicaName::new(node.name.clone()).ok();
        Peer { links: self.links.clone(), to, name }
    }
}

impl Peer {
    fn destination(&self) -> Result<Destination, LinkError> {
        let name = self.name.as_ref().ok_or(LinkError::Closed)?;
        self.links.destination(name)
    }

    async fn ask(&self, question: Question, option: &RPCOption) -> Result<Answer, RPCError<Types>> {
        let to = self.destination().map_err(|fault| unreachable(&fault))?;
        let answered = self.links.ask(to, &question, option.soft_ttl()).await;
        answered.map_err(|fault| rpc_error(&fault))
    }

    /// Sends all chunks and waits for the answer.
    async fn send_snapshot(
        links: Links,
        to: Destination,
        head: SnapshotFrame,
        snapshot: SnapshotData,
    ) -> Result<SnapshotResponse<Types>, LinkError> {
        let fault = Arc::new(Mutex::new(None));
        let frames = snapshot_frames(head, &snapshot, links.threads, Arc::clone(&fault));
        let mut answers = links.transport.stream(&to, Lane::Snapshot, frames).await?;
        let answer = answers.next().await;
        let fault = fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(why) = fault {
            let to = to.address.to_string();
            return Err(LinkError::Unreachable { to, why });
        }
        match decode(&answer.ok_or(LinkError::Closed)??, CALL_BYTES_MAX)? {
            SnapshotAnswer::Installed(response) => Ok(response),
            SnapshotAnswer::Refused(why) => Err(refused(&to, &why)),
        }
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let request = Box::new(request);
        let answer = self.ask(Question::Entries { to: self.to, request }, &option).await?;
        let Answer::Entries(response) = answer else {
            return Err(rpc_error(&unexpected("answer to entries")));
        };
        Ok(response)
    }

    /// Waits for the first request before it looks for the other side: openraft's pause after an error
    /// is in `input`, and without taking from that it would try again at once, for ever.
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<Appended<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        async move {
            let Some(first) = input.next().await else { return Ok(stream::empty().boxed()) };
            let input = stream::once(ready(first)).chain(input);
            let to = self.destination().map_err(|fault| unreachable(&fault))?;
            let sent = Arc::new(AtomicU64::new(0));
            let requests = entries_frames(self.to, input, Arc::clone(&sent));
            let opening = self.links.transport.stream(&to, Lane::Entries, requests);
            let patience = option.soft_ttl();
            let opened = tokio::time::timeout(patience, opening).await;
            let frames = opened
                .unwrap_or_else(|_| Err(timed_out(&to, patience)))
                .map_err(|fault| rpc_error(&fault))?;
            let answers = Answers { to, frames, sent, received: 0, patience };
            let answers: Appended<'s> = stream::unfold(Some(answers), Answers::next).boxed();
            Ok(answers)
        }
        .boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer = self.ask(Question::Vote { to: self.to, request }, &option).await?;
        let Answer::Vote(response) = answer else {
            return Err(rpc_error(&unexpected("vote")));
        };
        Ok(response)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer = self.ask(Question::PreVote { to: self.to, request }, &option).await?;
        let Answer::Vote(response) = answer else {
            return Err(rpc_error(&unexpected("vote")));
        };
        Ok(response)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let head = SnapshotFrame::To { to: self.to, vote };
        let to = self.destination().map_err(|fault| Unreachable::new(&fault))?;
        let sending = Self::send_snapshot(self.links.clone(), to.clone(), head, snapshot.snapshot);
        let patience = option.soft_ttl();
        let sending = tokio::time::timeout(patience, sending);
        pin_mut!(sending, cancel);
        match select(sending, cancel).await {
            Either::Left((sent, _)) => {
                let sent = sent.unwrap_or_else(|_| Err(timed_out(&to, patience)));
                sent.map_err(|fault| Unreachable::new(&fault).into())
            }
            Either::Right((closed, _)) => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let answer = self.ask(Question::TransferLeader { to: self.to, request }, &option).await?;
        let Answer::TransferLeader(response) = answer else {
            return Err(rpc_error(&unexpected("answer to a transfer")));
        };
        Ok(response)
    }
}

type Appended<'s> = BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

/// The answers of a stream of entries.
struct Answers {
    to: Destination,
    frames: Frames,
    /// Requests that were handed to the transport.
    sent: Arc<AtomicU64>,
    received: u64,
    /// For an answer that is due. A stream on which nothing is asked may be silent for ever.
    patience: Duration,
}

impl Answers {
    async fn next(
        this: Option<Self>,
    ) -> Option<(Result<StreamAppendResult<Types>, RPCError<Types>>, Option<Self>)> {
        let mut this = this?;
        loop {
            let was_due = this.received < this.sent.load(Ordering::Relaxed);
            let next = match tokio::time::timeout(this.patience, this.frames.next()).await {
                Ok(next) => next?,
                Err(_) if was_due => Err(timed_out(&this.to, this.patience)),
                Err(_) => continue,
            };
            let read = next.and_then(|bytes| Ok(decode(&bytes, CALL_BYTES_MAX)?));
            let result = match read {
                Ok(EntriesAnswer::Result(result)) => result,
                Ok(EntriesAnswer::Refused(why)) => {
                    return Some((Err(unreachable(&refused(&this.to, &why))), None));
                }
                Err(fault) => return Some((Err(rpc_error(&fault)), None)),
            };
            this.received += 1;
            let goes_on = result.is_ok();
            return Some((Ok(result), goes_on.then_some(this)));
        }
    }
}

fn entries_frames<S>(to: Target, input: S, sent: Arc<AtomicU64>) -> BoxStream<'static, Bytes>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + 'static,
{
    let head = stream::once(async move { encode(&EntriesFrame::To(to), FRAME_BYTES_MAX) });
    let requests = input.map(move |request| {
        sent.fetch_add(1, Ordering::Relaxed);
        encode(&EntriesFrame::Request(Box::new(request)), FRAME_BYTES_MAX)
    });
    // What cannot be written ends the stream, and the answer that is missing then says so.
    whole(head.chain(requests)).boxed()
}

fn whole(
    frames: impl Stream<Item = Result<Bytes, WireError>> + Send + 'static,
) -> impl Stream<Item = Bytes> + Send {
    frames.scan((), |(), frame| {
        if let Err(fault) = &frame {
            tracing::error!(%fault, "a message cannot be sent");
        }
        ready(frame.ok())
    })
}

/// The frames of a snapshot. A fault of the disk ends them early and is left in `fault`.
fn snapshot_frames(
    head: SnapshotFrame,
    snapshot: &SnapshotData,
    threads: Threads,
    fault: Arc<Mutex<Option<String>>>,
) -> BoxStream<'static, Bytes> {
    let outgoing = snapshot.outgoing();
    let chunks = stream::unfold(Some(outgoing), move |outgoing| {
        let fault = Arc::clone(&fault);
        async move {
            let mut outgoing = outgoing?;
            let read = blocking(threads, move || {
                let chunk = outgoing.next_chunk();
                (outgoing, chunk)
            });
            match read.await {
                Ok((outgoing, Ok(Some(chunk)))) => {
                    Some((SnapshotFrame::Chunk(chunk), Some(outgoing)))
                }
                Ok((_, Ok(None))) => Some((SnapshotFrame::End, None)),
                Ok((_, Err(error))) | Err(error) => {
                    let mut fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
                    *fault = Some(format!("cannot read the snapshot: {error}"));
                    None
                }
            }
        }
    });
    let frames = stream::once(async move { head }).chain(chunks);
    whole(frames.map(|frame| encode(&frame, FRAME_BYTES_MAX))).boxed()
}

fn timed_out(to: &Destination, patience: Duration) -> LinkError {
    LinkError::TimedOut { to: to.address.to_string(), patience }
}

fn unreachable(fault: &LinkError) -> RPCError<Types> {
    Unreachable::new(fault).into()
}

/// Faults of the network are tried again at once, others after a pause.
fn rpc_error(fault: &LinkError) -> RPCError<Types> {
    match fault {
        LinkError::Malformed(_) | LinkError::Closed => NetworkError::new(fault).into(),
        LinkError::NoAddress(_)
        | LinkError::Unreachable { .. }
        | LinkError::TimedOut { .. }
        | LinkError::Refused { .. } => unreachable(fault),
    }
}
