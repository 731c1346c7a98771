//! A picker that does what it is told, right or wrong: on the generated types and tonic's server, so that it shares
//! no code with what is tested.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use convoy_proto::base::{HeaderValue, HeaderValueOption};
use convoy_proto::ext_proc::body_mutation::Mutation;
use convoy_proto::ext_proc::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use convoy_proto::ext_proc::processing_request::Request as Asked;
use convoy_proto::ext_proc::processing_response::Response as Answer;
use convoy_proto::ext_proc::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpBody,
    ImmediateResponse, ProcessingRequest, ProcessingResponse, StreamedBodyResponse,
};
use convoy_proto::http_status::HttpStatus;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

/// What the picker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Everything right, and stays for the answer.
    Right,
    /// Everything right, and leaves after the request.
    Leaves,
    /// Changes a byte of the request's body.
    ChangesRequest,
    /// Swaps the first two chunks of the answer.
    SwapsAnswer,
    /// Picks in the header only.
    NoMetadata,
    /// Ends with this status after the pick.
    Fails(tonic::Code),
    /// Ends with OK before the body is back.
    LeavesEarly,
    /// Refuses.
    Refuses,
    /// Never answers.
    Hangs,
    /// Right, on connections of which none grows old.
    Renews,
    /// The same, but takes only two connections.
    GoesAway,
}

/// A picker that serves until it is dropped.
pub(super) struct Picker {
    pub(super) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Picker {
    pub(super) async fn start(manner: Manner, tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        let (accepted, connections) = mpsc::channel(16);
        let tls = tls.then(acceptor);
        serving.spawn(async move {
            let mut handshakes = JoinSet::new();
            let mut left = if manner == Manner::GoesAway { 2 } else { usize::MAX };
            while 0 < left {
                let Ok((tcp, _)) = listener.accept().await else { return };
                left -= 1;
                let (tls, accepted) = (tls.clone(), accepted.clone());
                handshakes.spawn(async move {
                    let io: Option<Box<dyn Io>> = match tls {
                        Some(tls) => tls.accept(tcp).await.ok().map(|io| Box::new(io) as _),
                        None => Some(Box::new(tcp)),
                    };
                    if let Some(io) = io {
                        let _ = accepted.send(io::Result::Ok(Connection(io))).await;
                    }
                });
            }
            drop(listener);
            handshakes.join_all().await;
        });
        let service = ExternalProcessorServer::new(Service { manner });
        serving.spawn(async move {
            let mut server = tonic::transport::Server::builder();
            if matches!(manner, Manner::Renews | Manner::GoesAway) {
                server = server.max_connection_age(Duration::from_millis(150));
            }
            let server = server.add_service(service);
            server.serve_with_incoming(ReceiverStream::new(connections)).await.unwrap();
        });
        Self { address, _serving: serving }
    }
}

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["picker".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl Io for TcpStream {}
impl Io for tokio_rustls::server::TlsStream<TcpStream> {}

/// A connection in the form that tonic takes.
struct Connection(Box<dyn Io>);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

struct Service {
    manner: Manner,
}

type Answers = mpsc::Sender<Result<ProcessingResponse, Status>>;

#[tonic::async_trait]
impl ExternalProcessor for Service {
    type ProcessStream = ReceiverStream<Result<ProcessingResponse, Status>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let (answers, stream) = mpsc::channel(4);
        let manner = self.manner;
        // Ends with its stream: every wait of it is on that.
        let mut conversation = JoinSet::new();
        conversation.spawn(async move {
            if let Err(status) = converse(manner, request.into_inner(), &answers).await {
                let _ = answers.send(Err(status)).await;
            }
        });
        conversation.detach_all();
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn converse(
    manner: Manner,
    mut asked: Streaming<ProcessingRequest>,
    answers: &Answers,
) -> Result<(), Status> {
    let request = whole_request(&mut asked).await?;
    if manner == Manner::Hangs {
        answers.closed().await;
    }
    if manner == Manner::Refuses {
        return say(answers, refusal()).await;
    }
    say(answers, picked(manner)).await?;
    if let Manner::Fails(code) = manner {
        return Err(Status::new(code, "as told"));
    }
    if manner == Manner::LeavesEarly {
        return Ok(());
    }
    if let Some(mut body) = request {
        if manner == Manner::ChangesRequest {
            body[0] ^= 1;
        }
        // Cut otherwise than it came.
        let parts = body.chunks(777).map(Bytes::copy_from_slice).collect::<Vec<_>>();
        for (nth, part) in parts.iter().enumerate() {
            let chunk = echo(part.clone(), nth + 1 == parts.len());
            say(answers, Answer::RequestBody(chunk)).await?;
        }
    }
    if manner == Manner::Leaves {
        return Ok(());
    }
    let mut kept = None;
    while let Some(message) = asked.message().await? {
        let answer = match message.request {
            Some(Asked::ResponseHeaders(_)) => {
                Answer::ResponseHeaders(HeadersResponse { response: None })
            }
            Some(Asked::ResponseBody(HttpBody { body, end_of_stream, .. })) => {
                if manner == Manner::SwapsAnswer && kept.is_none() {
                    kept = Some(body);
                    continue;
                }
                Answer::ResponseBody(echo(body, end_of_stream))
            }
            other => return Err(Status::internal(format!("asked {other:?}"))),
        };
        say(answers, answer).await?;
    }
    Ok(())
}

/// Reads the request; its body, if it has one.
async fn whole_request(
    asked: &mut Streaming<ProcessingRequest>,
) -> Result<Option<Vec<u8>>, Status> {
    let mut whole = Vec::new();
    while let Some(message) = asked.message().await? {
        match message.request {
            Some(Asked::RequestHeaders(headers)) if headers.end_of_stream => return Ok(None),
            Some(Asked::RequestHeaders(_)) => assert!(message.protocol_config.is_some()),
            Some(Asked::RequestBody(chunk)) => {
                whole.extend_from_slice(&chunk.body);
                if chunk.end_of_stream {
                    return Ok(Some(whole));
                }
            }
            other => return Err(Status::internal(format!("asked {other:?}"))),
        }
    }
    Err(Status::internal("the request did not end"))
}

async fn say(answers: &Answers, answer: Answer) -> Result<(), Status> {
    let message = ProcessingResponse {
        dynamic_metadata: metadata(&answer),
        response: Some(answer),
        ..ProcessingResponse::default()
    };
    answers.send(Ok(message)).await.map_err(|_| Status::cancelled("nobody listens"))
}

const PICK: &str = "10.0.0.1:8000";
const DESTINATION: &str = "x-gateway-destination-endpoint";

/// Marks, by a second header, a pick that is to have no metadata.
const BARE: &str = "bare";

fn picked(manner: Manner) -> Answer {
    let header = |key: &str| HeaderValueOption {
        header: Some(HeaderValue {
            key: key.to_owned(),
            raw_value: Bytes::from_static(PICK.as_bytes()),
            ..HeaderValue::default()
        }),
        ..HeaderValueOption::default()
    };
    let mut set_headers = vec![header(DESTINATION)];
    if manner == Manner::NoMetadata {
        set_headers.push(header(BARE));
    }
    let mutation = HeaderMutation { set_headers, remove_headers: Vec::new() };
    let response = CommonResponse { header_mutation: Some(mutation), ..CommonResponse::default() };
    Answer::RequestHeaders(HeadersResponse { response: Some(response) })
}

fn metadata(answer: &Answer) -> Option<Struct> {
    let Answer::RequestHeaders(HeadersResponse { response: Some(response) }) = answer else {
        return None;
    };
    if response.header_mutation.as_ref()?.set_headers.len() == 2 {
        return None;
    }
    let structure =
        |key: &str, kind| Struct { fields: [(key.to_owned(), Value { kind: Some(kind) })].into() };
    let pick = structure(DESTINATION, Kind::StringValue(PICK.to_owned()));
    Some(structure("envoy.lb", Kind::StructValue(pick)))
}

fn echo(body: Bytes, end_of_stream: bool) -> BodyResponse {
    let chunk = StreamedBodyResponse { body, end_of_stream, ..StreamedBodyResponse::default() };
    let mutation = BodyMutation { mutation: Some(Mutation::StreamedResponse(chunk)) };
    let response = CommonResponse { body_mutation: Some(mutation), ..CommonResponse::default() };
    BodyResponse { response: Some(response) }
}

fn refusal() -> Answer {
    Answer::ImmediateResponse(ImmediateResponse {
        status: Some(HttpStatus { code: 503 }),
        body: Bytes::from_static(b"nobody is ready"),
        ..ImmediateResponse::default()
    })
}
