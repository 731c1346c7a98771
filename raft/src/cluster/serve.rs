//! Answering other replicas, and proposing.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream,
};
use openraft::{Snapshot, errors::ClientWriteError, impls::ProgressResponder};
use tokio::sync::oneshot;

use super::{Cluster, Command, NotSeated, Proposal, ProposeError, Seated, Shared};
use crate::{
    identity::{Generation, ReplicaName},
    machine::Incoming,
    network::{blocking, unexpected},
    transport::{
        CALL_BYTES_MAX, Caller, FRAME_BYTES_MAX, Frames, Lane, LinkError, Serve,
        wire::{
            Answer, EntriesAnswer, EntriesFrame, Hello, ProposalAnswer, ProposalFrame, Question,
            Refused, SnapshotAnswer, SnapshotFrame, Target, decode, encode,
        },
    },
    types::{Payload, Types, Vote},
};

/// Proposals of one replica that are under way at once.
const PROPOSALS_AT_ONCE: usize = 64;

type Written = BoxFuture<'static, Result<u64, ProposeError>>;

impl Serve for Cluster {
    fn call(&self, from: Caller, question: Bytes) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let shared = Arc::clone(&self.shared);
        async move {
            let question: Question = decode(&question, FRAME_BYTES_MAX)?;
            let answer = shared.answer(&from, question).await;
            Ok(encode(&answer.unwrap_or_else(Answer::Refused), CALL_BYTES_MAX)?)
        }
        .boxed()
    }

    fn stream(
        &self,
        _from: Caller,
        lane: Lane,
        frames: Frames,
    ) -> BoxFuture<'static, Result<Frames, LinkError>> {
        let shared = Arc::clone(&self.shared);
        async move {
            match lane {
                Lane::Entries => shared.take_entries(frames).await,
                Lane::Snapshot => {
                    let answer = async move { shared.take_snapshot(frames).await };
                    Ok(stream::once(answer).boxed())
                }
                Lane::Proposals => shared.take_proposals(frames).await,
            }
        }
        .boxed()
    }
}

impl Shared {
    async fn answer(&self, from: &Caller, question: Question) -> Result<Answer, Refused> {
        match question {
            Question::Hello(hello) => {
                self.meet(from, *hello)?;
                Ok(Answer::Hello(Box::new(Hello::clone(&self.hello.load()))))
            }
            Question::Offer(offer) => {
                is_who_it_says(from, &offer.grant.former)?;
                let (answer, answered) = oneshot::channel();
                self.command(Command::Asked(offer, answer))?;
                Ok(Answer::Offer(answered.await.map_err(|_| Refused::Busy)?))
            }
            Question::Apply { generation, application } => {
                is_who_it_says(from, &application.name)?;
                let seated = self.seated.load_full().ok_or(Refused::NotLeader)?;
                if seated.seat.generation != generation {
                    return Err(Refused::WrongTarget);
                }
                let (answer, answered) = oneshot::channel();
                self.command(Command::Apply(application, answer))?;
                match answered.await.map_err(|_| Refused::Busy)? {
                    Ok(seat) => Ok(Answer::Seat(Box::new(seat))),
                    Err(NotSeated::NotAdmitted(why)) => Ok(Answer::NotAdmitted(why)),
                    Err(NotSeated::NotLeader) => Err(Refused::NotLeader),
                    Err(NotSeated::Failed(why)) => Err(Refused::Failed(why)),
                }
            }
            Question::Vote { to, request } => {
                Ok(Answer::Vote(self.at(to)?.raft.vote(request).await.map_err(failed)?))
            }
            Question::PreVote { to, request } => {
                Ok(Answer::Vote(self.at(to)?.raft.pre_vote(request).await.map_err(failed)?))
            }
            Question::Entries { to, request } => {
                let appended = self.at(to)?.raft.append_entries(*request).await;
                Ok(Answer::Entries(appended.map_err(failed)?))
            }
            Question::TransferLeader { to, request } => {
                let transferred = self.at(to)?.raft.handle_transfer_leader(request).await;
                Ok(Answer::TransferLeader(transferred.map_err(failed)?))
            }
        }
    }

    /// Notes who is there.
    fn meet(&self, from: &Caller, hello: Hello) -> Result<(), Refused> {
        is_who_it_says(from, &hello.status.name)?;
        // When the driver is busy it hears of this replica in its next round.
        let _later = self.command(Command::Heard(Box::new(hello)));
        Ok(())
    }

    fn command(&self, command: Command) -> Result<(), Refused> {
        self.commands.try_send(command).map_err(|_| Refused::Busy)
    }

    /// The log that a message is for.
    fn at(&self, to: Target) -> Result<Arc<Seated>, Refused> {
        let seated = self.seated.load_full().ok_or(Refused::Busy)?;
        let own = Target { generation: seated.seat.generation, id: seated.seat.id };
        if own == to { Ok(seated) } else { Err(Refused::WrongTarget) }
    }

    async fn take_entries(&self, mut frames: Frames) -> Result<Frames, LinkError> {
        let first = frames.next().await.ok_or(LinkError::Closed)??;
        let EntriesFrame::To(to) = decode(&first, FRAME_BYTES_MAX)? else {
            return Err(unexpected("target of entries"));
        };
        let seated = match self.at(to) {
            Ok(seated) => seated,
            Err(why) => return Ok(one(&EntriesAnswer::Refused(why))),
        };
        let requests = frames.scan((), |(), frame| {
            let read = frame.and_then(|bytes| Ok(decode(&bytes, FRAME_BYTES_MAX)?));
            ready(match read {
                Ok(EntriesFrame::Request(request)) => Some(*request),
                Ok(EntriesFrame::To(_)) => None,
                Err(fault) => {
                    tracing::debug!(%fault, "a stream of entries ended");
                    None
                }
            })
        });
        let answers = seated.raft.stream_append(requests).map(|result| {
            let answer = match result {
                Ok(result) => EntriesAnswer::Result(result),
                Err(fatal) => EntriesAnswer::Refused(failed(fatal)),
            };
            Ok(encode(&answer, CALL_BYTES_MAX)?)
        });
        Ok(answers.boxed())
    }

    async fn take_snapshot(&self, frames: Frames) -> Result<Bytes, LinkError> {
        let installed = self.install(frames).await?;
        let answer = installed.map_or_else(SnapshotAnswer::Refused, SnapshotAnswer::Installed);
        Ok(encode(&answer, CALL_BYTES_MAX)?)
    }

    async fn install(
        &self,
        mut frames: Frames,
    ) -> Result<Result<openraft::raft::SnapshotResponse<Types>, Refused>, LinkError> {
        let first = frames.next().await.ok_or(LinkError::Closed)??;
        let SnapshotFrame::To { to, vote } = decode(&first, FRAME_BYTES_MAX)? else {
            return Err(unexpected("target of a snapshot"));
        };
        let seated = match self.at(to) {
            Ok(seated) => seated,
            Err(why) => return Ok(Err(why)),
        };
        let mut incoming = match seated.applier.incoming() {
            Ok(incoming) => incoming,
            Err(fault) => return Ok(Err(failed(fault))),
        };
        loop {
            let frame = frames.next().await.ok_or(LinkError::Closed)??;
            let chunk = match decode(&frame, FRAME_BYTES_MAX)? {
                SnapshotFrame::Chunk(chunk) => chunk,
                SnapshotFrame::End => break,
                SnapshotFrame::To { .. } => return Err(unexpected("chunk of a snapshot")),
            };
            match self.push(incoming, chunk).await {
                Ok(further) => incoming = further,
                Err(why) => return Ok(Err(why)),
            }
        }
        let finished = blocking(self.threads, move || incoming.finish()).await;
        match finished.map_err(failed).and_then(|finished| finished.map_err(failed)) {
            Ok(snapshot) => Ok(install(&seated, vote, snapshot).await),
            Err(why) => Ok(Err(why)),
        }
    }

    async fn push(&self, mut incoming: Incoming, chunk: Bytes) -> Result<Incoming, Refused> {
        let pushed = blocking(self.threads, move || incoming.push(&chunk).map(|()| incoming));
        pushed.await.map_err(failed)?.map_err(failed)
    }

    async fn take_proposals(self: Arc<Self>, mut frames: Frames) -> Result<Frames, LinkError> {
        let first = frames.next().await.ok_or(LinkError::Closed)??;
        let ProposalFrame::To { generation } = decode(&first, FRAME_BYTES_MAX)? else {
            return Err(unexpected("target of proposals"));
        };
        if !self.leads(generation) {
            return Ok(one(&ProposalAnswer::Refused(Refused::NotLeader)));
        }
        let offered = frames.then(move |frame| {
            let shared = Arc::clone(&self);
            async move {
                match frame.and_then(|bytes| Ok(decode(&bytes, FRAME_BYTES_MAX)?)) {
                    Ok(ProposalFrame::Batch(batch)) => shared.offer(batch).await,
                    Ok(ProposalFrame::To { .. }) | Err(_) => Err(ProposeError::Stopped),
                }
            }
        });
        let answers = offered.map(|offered| async move {
            let written = match offered {
                Ok(written) => written.await,
                Err(why) => Err(why),
            };
            let answer = match written {
                Ok(index) => ProposalAnswer::Written(index),
                Err(why) => ProposalAnswer::Refused(failed(why)),
            };
            Ok(encode(&answer, CALL_BYTES_MAX)?)
        });
        Ok(answers.buffered(PROPOSALS_AT_ONCE).boxed())
    }

    fn leads(&self, generation: Generation) -> bool {
        let seated = self.seated.load();
        let seated = seated.as_ref().filter(|seated| seated.seat.generation == generation);
        seated.is_some_and(|seated| seated.raft.is_leader())
    }

    pub(super) async fn propose(&self, batch: Bytes) -> Result<u64, ProposeError> {
        let leads = self.seated.load().as_ref().is_some_and(|seated| seated.raft.is_leader());
        if leads {
            return self.offer(batch).await?.await;
        }
        let (written, told) = oneshot::channel();
        let proposal = Proposal { batch, written };
        self.outgoing.send(proposal).await.map_err(|_| ProposeError::Stopped)?;
        told.await.map_err(|_| ProposeError::Stopped)?
    }

    /// Hands a batch to whoever merges them. Waits while many wait; what it returns waits for the
    /// log.
    async fn offer(&self, batch: Bytes) -> Result<Written, ProposeError> {
        let Some(proposals) = &self.proposals else {
            return self.write(batch).await;
        };
        let (written, told) = oneshot::channel();
        let proposal = Proposal { batch, written };
        proposals.send(proposal).await.map_err(|_| ProposeError::Stopped)?;
        Ok(async move { told.await.map_err(|_| ProposeError::Stopped)? }.boxed())
    }

    /// Hands a batch to the log's engine, in order; what it returns waits for the commit.
    pub(super) async fn write(&self, batch: Bytes) -> Result<Written, ProposeError> {
        let seated = self.seated.load_full().ok_or(ProposeError::NotLeader)?;
        let (responder, told) = ProgressResponder::complete_only();
        let handed = seated.raft.client_write_ff(Payload(batch), Some(responder)).await;
        handed.map_err(|_| ProposeError::Stopped)?;
        let written = async move {
            match told.await.map_err(|_| ProposeError::Stopped)? {
                Ok(response) => Ok(response.log_id.index),
                Err(ClientWriteError::ForwardToLeader(_)) => Err(ProposeError::NotLeader),
                Err(other) => {
                    tracing::debug!(%other, "a batch was not written");
                    Err(ProposeError::NotLeader)
                }
            }
        };
        Ok(written.boxed())
    }
}

fn install(
    seated: &Arc<Seated>,
    vote: Vote,
    snapshot: crate::machine::SnapshotData,
) -> impl Future<Output = Result<openraft::raft::SnapshotResponse<Types>, Refused>> + use<> {
    let seated = Arc::clone(seated);
    async move {
        let snapshot = Snapshot { meta: snapshot.meta(), snapshot };
        seated.raft.install_full_snapshot(vote, snapshot).await.map_err(failed)
    }
}

/// A certificate must carry the name that its owner says it has.
fn is_who_it_says(from: &Caller, said: &ReplicaName) -> Result<(), Refused> {
    match &from.name {
        Some(certificate) if certificate != said => {
            let (certificate, said) = (certificate.clone(), said.clone());
            Err(Refused::OtherName { certificate, said })
        }
        Some(_) | None => Ok(()),
    }
}

fn one<T: serde::Serialize>(answer: &T) -> Frames {
    let answer = encode(answer, CALL_BYTES_MAX).map_err(LinkError::from);
    stream::once(ready(answer)).boxed()
}

fn failed(why: impl std::fmt::Display) -> Refused {
    Refused::Failed(why.to_string())
}
