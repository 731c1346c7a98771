//! What other replicas may ask of this one, over one connection of theirs.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use convoy_proto::replica::{Heard, Message, replica_server::Replica};
use convoy_raft::{
    identity::{ClusterId, ReplicaName},
    transport::{Caller, Frames, Lane, LinkError, Serve},
};
use futures_util::{StreamExt, stream::BoxStream};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::{
    greeting::of_bytes,
    metrics::{Metrics, Traffic},
};

/// Takes the hints of other replicas. It must not wait.
pub trait Hear: Send + Sync + 'static {
    fn hear(&self, from: &ReplicaName, batch: Bytes);
}

/// An answer that takes longer is not waited for. Callers have less patience.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// The called side of one connection, whose caller is known.
pub(super) struct Door {
    pub(super) from: ReplicaName,
    /// How the caller is introduced: its name only if a certificate proves it.
    pub(super) caller: Caller,
    pub(super) cluster: watch::Receiver<Option<ClusterId>>,
    pub(super) serve: Arc<dyn Serve>,
    pub(super) hear: Arc<dyn Hear>,
    pub(super) metrics: Metrics,
}

type Answers = BoxStream<'static, Result<Message, Status>>;

impl Door {
    async fn stream(
        &self,
        lane: Lane,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<Answers>, Status> {
        let counted = self.metrics.bytes(Traffic::Lane(lane));
        let (received, to) = (counted.clone(), self.from.to_string());
        let frames: Frames = request
            .into_inner()
            .map(move |frame| match frame {
                Ok(Message { body }) => {
                    received.received(body.len());
                    Ok(body)
                }
                Err(status) => {
                    let (to, why) = (to.clone(), status.message().to_owned());
                    Err(LinkError::Unreachable { to, why })
                }
            })
            .boxed();
        let answers = self.serve.stream(self.caller.clone(), lane, frames).await;
        let answers = answers.map_err(|fault| status(&fault))?.map(move |answer| match answer {
            Ok(body) => {
                counted.sent(body.len());
                Ok(Message { body })
            }
            Err(fault) => Err(status(&fault)),
        });
        Ok(Response::new(answers.boxed()))
    }
}

#[tonic::async_trait]
impl Replica for Door {
    type EntriesStream = Answers;
    type SnapshotStream = Answers;
    type ProposalsStream = Answers;

    async fn call(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        let counted = self.metrics.bytes(Traffic::Calls);
        let Message { body } = request.into_inner();
        counted.received(body.len());
        let answering = self.serve.call(self.caller.clone(), body);
        let answer = tokio::time::timeout(ANSWER_WITHIN, answering)
            .await
            .map_err(|_| Status::unavailable("no answer was found in time"))?;
        let body = answer.map_err(|fault| status(&fault))?;
        counted.sent(body.len());
        Ok(Response::new(Message { body }))
    }

    async fn entries(
        &self,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<Answers>, Status> {
        self.stream(Lane::Entries, request).await
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<Answers>, Status> {
        self.stream(Lane::Snapshot, request).await
    }

    async fn proposals(
        &self,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<Answers>, Status> {
        self.stream(Lane::Proposals, request).await
    }

    async fn hints(&self, request: Request<Streaming<Message>>) -> Result<Response<Heard>, Status> {
        let counted = self.metrics.bytes(Traffic::Hints);
        let mut hints = request.into_inner();
        let head = hints.message().await?.unwrap_or_default().body;
        let theirs = of_bytes(&head).ok_or_else(|| {
            Status::invalid_argument("hints begin with the 16 bytes of their cluster")
        })?;
        let other = || Status::failed_precondition("this replica is not of that cluster");
        let is_ours = || if *self.cluster.borrow() == Some(theirs) { Ok(()) } else { Err(other()) };
        is_ours()?;
        while let Some(Message { body }) = hints.message().await? {
            // The cluster may be left for another while the stream lasts.
            is_ours()?;
            counted.received(body.len());
            self.metrics.hints_received.inc();
            self.hear.hear(&self.from, body);
        }
        Ok(Response::new(Heard {}))
    }
}

/// What the other side is told of a fault.
fn status(fault: &LinkError) -> Status {
    match fault {
        LinkError::Refused { why, .. } => Status::failed_precondition(why),
        LinkError::Malformed(_) => Status::invalid_argument(fault.to_string()),
        LinkError::Closed => Status::aborted(fault.to_string()),
        LinkError::NoAddress(_) | LinkError::Unreachable { .. } | LinkError::TimedOut { .. } => {
            Status::unavailable(fault.to_string())
        }
    }
}
