//! A gateway: it opens ext_proc streams over the generated client, and hears the answers.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use convoy_proto::ext_proc::{
    ProcessingRequest, ProcessingResponse, external_processor_client::ExternalProcessorClient,
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tonic::{Code, Status, codegen::tokio_stream, transport::Channel};

use super::{messages::sorted, picker::SOON};

/// Answers and how the stream ended.
type Heard = Result<ProcessingResponse, Status>;

/// One connection from a gateway.
pub(super) struct Gateway {
    client: ExternalProcessorClient<Channel>,
}

/// One open stream. Dropping it resets it.
pub(super) struct Stream {
    messages: Option<mpsc::UnboundedSender<ProcessingRequest>>,
    heard: mpsc::UnboundedReceiver<Heard>,
    _call: JoinSet<()>,
}

impl Gateway {
    pub(super) async fn to(address: SocketAddr) -> Self {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        let channel = endpoint.unwrap().connect().await.unwrap();
        Self { client: ExternalProcessorClient::new(channel) }
    }

    pub(super) fn open(&self) -> Stream {
        let (messages, outbox) = mpsc::unbounded_channel();
        let (told, heard) = mpsc::unbounded_channel();
        let mut client = self.client.clone();
        let mut call = JoinSet::new();
        call.spawn(async move {
            // The picker sends nothing before its first answer, not even headers, so this waits for
            // that; the messages go out meanwhile.
            let mut answers = match client.process(Outbox(outbox)).await {
                Ok(answers) => answers.into_inner(),
                Err(status) => return drop(told.send(Err(status))),
            };
            loop {
                let next = match answers.message().await {
                    Ok(Some(answer)) => Ok(answer),
                    Ok(None) => Err(Status::ok("")),
                    Err(status) => Err(status),
                };
                let is_last = next.is_err();
                if told.send(next).is_err() || is_last {
                    return;
                }
            }
        });
        Stream { messages: Some(messages), heard, _call: call }
    }

    /// Opens a stream and says all of `messages`.
    pub(super) fn ask(&self, messages: impl IntoIterator<Item = ProcessingRequest>) -> Stream {
        let stream = self.open();
        for message in messages {
            stream.say(message);
        }
        stream
    }
}

impl Stream {
    /// Sends a message. What is said on an ended stream is lost, as on the wire.
    pub(super) fn say(&self, message: ProcessingRequest) {
        let messages = self.messages.as_ref().expect("the stream is not half-closed");
        let _ended = messages.send(message);
    }

    /// Says that nothing more will be said.
    pub(super) fn half_close(&mut self) {
        self.messages = None;
    }

    /// The next answer, its headers in order of name.
    pub(super) async fn answer(&mut self) -> ProcessingResponse {
        sorted(self.hear().await.unwrap_or_else(|status| unreachable!("ended: {status:?}")))
    }

    /// The next answer, or how the stream ended.
    pub(super) async fn next(&mut self) -> Result<ProcessingResponse, Status> {
        self.hear().await
    }

    /// The end of the stream, which must come next.
    pub(super) async fn ended(&mut self) -> Status {
        self.hear().await.expect_err("the end of the stream")
    }

    /// The end of the stream, which must come next and be OK.
    pub(super) async fn ended_well(&mut self) {
        let status = self.ended().await;
        assert_eq!(status.code(), Code::Ok, "{status:?}");
    }

    /// All further answers, and how the stream ended.
    pub(super) async fn rest(&mut self) -> (Vec<ProcessingResponse>, Status) {
        let mut answers = Vec::new();
        loop {
            match self.hear().await {
                Ok(answer) => answers.push(sorted(answer)),
                Err(status) => return (answers, status),
            }
        }
    }

    /// Whether nothing was heard that was not taken. Ask after an answer on another stream of the
    /// same connection: the picker answers what it reads in the order of reading.
    pub(super) fn is_silent(&self) -> bool {
        self.heard.is_empty()
    }

    async fn hear(&mut self) -> Heard {
        let heard = timeout(SOON, self.heard.recv()).await;
        heard.expect("an answer or an end in time").expect("not beyond the end of the stream")
    }
}

/// What a stream is about to say.
struct Outbox(mpsc::UnboundedReceiver<ProcessingRequest>);

impl tokio_stream::Stream for Outbox {
    type Item = ProcessingRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
