//! A picker that does what a test tells it to, right or wrong, so that claims about Envoy stand
//! apart from claims about `epp`.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use convoy_proto::base::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction};
use convoy_proto::ext_proc::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use convoy_proto::ext_proc::processing_request::Request as Asked;
use convoy_proto::ext_proc::processing_response::Response as Told;
use convoy_proto::ext_proc::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpBody,
    ProcessingRequest, ProcessingResponse, StreamedBodyResponse, TrailersResponse, body_mutation,
};
use prost_types::{Struct, Value, value::Kind};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::server::TcpIncoming;
use tonic::{Status, Streaming};

const KEY: &str = "x-gateway-destination-endpoint";

/// What a [`ScriptedPicker`] does with each stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    /// Names this endpoint, gives bodies back, and watches the answer.
    Pick(SocketAddr),
    /// Names this endpoint in the header alone, not in the metadata.
    PickInHeaderOnly(SocketAddr),
    /// Names this endpoint, and ends the stream with OK when it has a first part of the request's
    /// body, without giving that back.
    LeaveEarly(SocketAddr),
    /// Ends the stream with an error at the request's headers.
    Refuse,
}

/// A running picker; it ends when dropped.
pub(super) struct ScriptedPicker {
    address: SocketAddr,
    streams: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl ScriptedPicker {
    /// Listens on a free port, without TLS.
    pub(super) async fn start(script: Script) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let streams = Arc::new(AtomicUsize::new(0));
        let service = Service { script, streams: Arc::clone(&streams) };
        let serving = tonic::transport::Server::builder()
            .add_service(ExternalProcessorServer::new(service))
            .serve_with_incoming(TcpIncoming::from(listener));
        let mut server = JoinSet::new();
        server.spawn(async move { serving.await.unwrap() });
        Self { address, streams, _server: server }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many streams have been opened.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}

struct Service {
    script: Script,
    streams: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl ExternalProcessor for Service {
    type ProcessStream = Answers;

    async fn process(
        &self,
        request: tonic::Request<Streaming<ProcessingRequest>>,
    ) -> Result<tonic::Response<Answers>, Status> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        let (answers, outbox) = mpsc::channel(16);
        let mut conversation = JoinSet::new();
        conversation.spawn(converse(self.script, request.into_inner(), answers));
        Ok(tonic::Response::new(Answers { outbox, _conversation: conversation }))
    }
}

/// What Envoy is told on one stream; the conversation ends with it.
struct Answers {
    outbox: mpsc::Receiver<Result<ProcessingResponse, Status>>,
    _conversation: JoinSet<()>,
}

impl Stream for Answers {
    type Item = Result<ProcessingResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.outbox.poll_recv(context)
    }
}

/// Answers until Envoy or the script ends the stream.
async fn converse(
    script: Script,
    mut inbox: Streaming<ProcessingRequest>,
    answers: mpsc::Sender<Result<ProcessingResponse, Status>>,
) {
    while let Ok(Some(message)) = inbox.message().await {
        let Some(asked) = message.request else { continue };
        if matches!((script, &asked), (Script::LeaveEarly(_), Asked::RequestBody(_))) {
            return;
        }
        // An error means that Envoy has left; the inbox then ends too.
        match script {
            Script::Refuse => drop(answers.send(Err(Status::internal("as scripted"))).await),
            Script::Pick(_) | Script::PickInHeaderOnly(_) | Script::LeaveEarly(_) => {
                drop(answers.send(Ok(reply(script, asked))).await);
            }
        }
    }
}

fn reply(script: Script, asked: Asked) -> ProcessingResponse {
    let told = match asked {
        Asked::RequestHeaders(_) => return pick(script),
        Asked::RequestBody(body) => Told::RequestBody(give_back(body)),
        Asked::RequestTrailers(_) => Told::RequestTrailers(TrailersResponse::default()),
        Asked::ResponseHeaders(_) => Told::ResponseHeaders(HeadersResponse::default()),
        Asked::ResponseBody(body) => Told::ResponseBody(give_back(body)),
        Asked::ResponseTrailers(_) => Told::ResponseTrailers(TrailersResponse::default()),
    };
    ProcessingResponse { response: Some(told), ..ProcessingResponse::default() }
}

/// The answer to request headers: the pick, in the header and in the metadata.
fn pick(script: Script) -> ProcessingResponse {
    let (endpoint, metadata) = match script {
        Script::Pick(endpoint) | Script::LeaveEarly(endpoint) => (endpoint, true),
        Script::PickInHeaderOnly(endpoint) => (endpoint, false),
        Script::Refuse => return ProcessingResponse::default(),
    };
    let header = HeaderValue {
        key: KEY.to_owned(),
        raw_value: Bytes::from(endpoint.to_string()),
        ..HeaderValue::default()
    };
    let set = HeaderValueOption {
        header: Some(header),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    };
    let mutation = HeaderMutation { set_headers: vec![set], remove_headers: Vec::new() };
    let common = CommonResponse { header_mutation: Some(mutation), ..CommonResponse::default() };
    let told = Told::RequestHeaders(HeadersResponse { response: Some(common) });
    let endpoint = Value { kind: Some(Kind::StringValue(endpoint.to_string())) };
    let names = one(KEY, endpoint);
    let namespace = one("envoy.lb", Value { kind: Some(Kind::StructValue(names)) });
    ProcessingResponse {
        response: Some(told),
        dynamic_metadata: metadata.then_some(namespace),
        ..ProcessingResponse::default()
    }
}

fn one(key: &str, value: Value) -> Struct {
    Struct { fields: [(key.to_owned(), value)].into() }
}

fn give_back(body: HttpBody) -> BodyResponse {
    let streamed = StreamedBodyResponse {
        body: body.body,
        end_of_stream: body.end_of_stream,
        ..StreamedBodyResponse::default()
    };
    let mutation =
        BodyMutation { mutation: Some(body_mutation::Mutation::StreamedResponse(streamed)) };
    let common = CommonResponse { body_mutation: Some(mutation), ..CommonResponse::default() };
    BodyResponse { response: Some(common) }
}
