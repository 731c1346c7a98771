//! The HTTP/2 connection against another implementation's client, over pipes that cut the bytes at
//! will.

use std::io::IoSlice;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use convoy_node::budget::Budget;
use convoy_node::clock;
use convoy_node::http2::{Connection, ErrorCode, Event, Limits, Status, StreamId};
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;

/// Answers one event.
type Handler = Box<dyn FnMut(&mut Connection, Event) + Send>;

/// Drives `connection` over `io` until one side closes. Reads and writes go on side by side, as a
/// client may stop reading until it could write.
async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    connection: Arc<Mutex<Connection>>,
    mut handler: Handler,
) {
    let (mut from, mut to) = tokio::io::split(io);
    let mut buffer = BytesMut::new();
    loop {
        let output = pending_output(&connection.lock().unwrap());
        if output.is_empty() && connection.lock().unwrap().is_drained() {
            return;
        }
        buffer.reserve(4096);
        tokio::select! {
            written = to.write(&output), if !output.is_empty() => {
                let Ok(count) = written else { return };
                connection.lock().unwrap().wrote(count);
            }
            read = from.read_buf(&mut buffer) => {
                let Ok(1..) = read else { return };
                let mut connection = connection.lock().unwrap();
                connection.receive(buffer.split().freeze(), clock::now()).unwrap();
                while let Some(event) = connection.poll_event() {
                    handler(&mut connection, event);
                }
            }
        }
    }
}

/// The front of the output, about as much as the pipe takes.
fn pending_output(connection: &Connection) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 16];
    let filled = connection.output_slices(&mut slices);
    let mut bytes = Vec::new();
    for slice in &slices[..filled] {
        let room = 4096 - bytes.len();
        bytes.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    bytes
}

/// Sends every message back, and OK when the client has no more.
fn echo() -> Handler {
    Box::new(|connection, event| match event {
        Event::Message { stream, message } => {
            connection.send_message(stream, b"", &[message], b"").unwrap();
        }
        Event::HalfClosed { stream } => connection.finish(stream, Status::Ok, ""),
        Event::Opened { .. }
        | Event::Refused { .. }
        | Event::Ended { .. }
        | Event::GoAway { .. } => {}
    })
}

/// A served connection and a client of it. Both end with this.
struct Pair {
    client: SendRequest<Bytes>,
    server: Arc<Mutex<Connection>>,
    tasks: JoinSet<()>,
}

impl Pair {
    async fn new(limits: Limits, client: &Builder, handler: Handler) -> Self {
        let (ours, theirs) = tokio::io::duplex(3000);
        let server = Arc::new(Mutex::new(Connection::new(limits, &Budget::default())));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(ours, Arc::clone(&server), handler));
        let (client, connection) = client.handshake::<DuplexStream, Bytes>(theirs).await.unwrap();
        tasks.spawn(async move { connection.await.unwrap() });
        Self { client, server, tasks }
    }
}

fn request() -> Request<()> {
    Request::post("http://picker/echo.Echo/Echo")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-request-id", "0123456789abcdef")
        .body(())
        .unwrap()
}

/// A message with its prefix, whose text differs by `seed` and place.
fn message(seed: usize, length: usize) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
    bytes.extend((0..length).map(|place| u8::try_from((place * 31 + seed) % 251).unwrap()));
    bytes.into()
}

async fn send_all(stream: &mut SendStream<Bytes>, mut data: Bytes, end: bool) {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let count = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        stream.send_data(data.split_to(count), end && data.is_empty()).unwrap();
    }
}

/// All data and the trailers.
async fn read_all(mut body: RecvStream) -> (Vec<u8>, HeaderMap) {
    let mut data = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        data.extend_from_slice(&chunk);
    }
    (data, body.trailers().await.unwrap().expect("gRPC ends in trailers"))
}

/// Sends `messages` on a stream of its own and expects them back.
async fn call(client: SendRequest<Bytes>, messages: Vec<Bytes>) {
    let mut client = client.ready().await.unwrap();
    let (response, mut stream) = client.send_request(request(), false).unwrap();
    let sending = async {
        let last = messages.len() - 1;
        for (nth, message) in messages.iter().enumerate() {
            send_all(&mut stream, message.clone(), nth == last).await;
        }
    };
    let receiving = async {
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let (data, trailers) = read_all(response.into_body()).await;
        assert_eq!(data, messages.concat());
        assert_eq!(trailers["grpc-status"], "0");
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn hundreds_of_streams_at_once_are_echoed() {
    let mut pair = Pair::new(Limits::default(), &Builder::new(), echo()).await;
    let mut calls = JoinSet::new();
    for seed in 0..300 {
        let messages = (0..20).map(|nth| message(seed + nth, (seed * nth) % 400)).collect();
        calls.spawn(call(pair.client.clone(), messages));
    }
    calls.join_all().await;
    assert_eq!(pair.server.lock().unwrap().active_streams(), 0);
    assert!(pair.tasks.try_join_next().is_none(), "both sides go on");
}

#[tokio::test]
async fn large_messages_pass_through_tiny_windows() {
    let limits = Limits { stream_window_bytes: 700, output_bytes_max: 5000, ..Limits::default() };
    let mut client = Builder::new();
    client.initial_window_size(500).max_frame_size(16_384);
    let pair = Pair::new(limits, &client, echo()).await;
    let mut calls = JoinSet::new();
    for seed in 0..8 {
        calls.spawn(call(pair.client.clone(), vec![message(seed, 60_000), message(seed + 1, 9)]));
    }
    calls.join_all().await;
    assert_eq!(pair.server.lock().unwrap().all_pending_bytes(), 0);
}

#[tokio::test]
async fn a_megabyte_passes_both_ways_in_large_frames() {
    let limits = Limits { frame_bytes_max: 1 << 20, ..Limits::default() };
    let mut client = Builder::new();
    client.initial_window_size(4 << 20).initial_connection_window_size(8 << 20);
    client.max_frame_size(1 << 20);
    let pair = Pair::new(limits, &client, echo()).await;
    call(pair.client.clone(), vec![message(1, 1 << 20), message(2, 3 << 20)]).await;
}

#[tokio::test]
async fn a_reset_ends_its_stream_only() {
    let ended: Arc<Mutex<Vec<StreamId>>> = Arc::default();
    let heard = Arc::clone(&ended);
    let mut echo = echo();
    let handler: Handler = Box::new(move |connection, event| {
        if let Event::Ended { stream, .. } = event {
            heard.lock().unwrap().push(stream);
        }
        echo(connection, event);
    });
    let pair = Pair::new(Limits::default(), &Builder::new(), handler).await;
    let mut resets = 0;
    for seed in 0..200 {
        let mut client = pair.client.clone().ready().await.unwrap();
        let (response, mut stream) = client.send_request(request(), false).unwrap();
        send_all(&mut stream, message(seed, 10), false).await;
        let response = response.await.unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        resets += 1;
        call(pair.client.clone(), vec![message(seed, 100)]).await;
    }
    let ended = ended.lock().unwrap();
    assert_eq!(ended.len(), resets);
    assert_eq!(pair.server.lock().unwrap().active_streams(), 0);
}

#[tokio::test]
async fn a_storm_of_resets_spares_the_other_streams() {
    let pair = Pair::new(Limits::default(), &Builder::new(), echo()).await;
    let storm = async {
        for _ in 0..3000 {
            let mut client = pair.client.clone().ready().await.unwrap();
            let (_response, mut stream) = client.send_request(request(), false).unwrap();
            stream.send_reset(h2::Reason::CANCEL);
            tokio::task::yield_now().await;
        }
    };
    let calls = async {
        for seed in 0..100 {
            call(pair.client.clone(), vec![message(seed, 100)]).await;
        }
    };
    tokio::join!(storm, calls);
}

#[tokio::test]
async fn a_refusal_is_trailers_only_and_readable() {
    let handler: Handler = Box::new(|connection, event| {
        if let Event::Opened { stream, head } = event {
            assert_eq!(head.path(), b"/echo.Echo/Echo");
            assert_eq!(head.metadata("x-request-id"), Some(&b"0123456789abcdef"[..]));
            connection.finish(stream, Status::Unavailable, "the pool is empty: 0 of 0 ready");
        }
    });
    let pair = Pair::new(Limits::default(), &Builder::new(), handler).await;
    let mut client = pair.client.clone().ready().await.unwrap();
    let (response, _stream) = client.send_request(request(), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "14");
    assert_eq!(response.headers()["grpc-message"], "the pool is empty: 0 of 0 ready");
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn leaving_lets_open_streams_finish_and_then_closes() {
    let mut pair = Pair::new(Limits::default(), &Builder::new(), echo()).await;
    let mut client = pair.client.clone().ready().await.unwrap();
    let (response, mut stream) = client.send_request(request(), false).unwrap();
    send_all(&mut stream, message(1, 10), false).await;
    let response = response.await.unwrap();
    pair.server.lock().unwrap().go_away();
    // The driver of this test writes after it reads, so something has to arrive first.
    send_all(&mut stream, message(2, 10), true).await;
    let (data, trailers) = read_all(response.into_body()).await;
    assert_eq!(data, [message(1, 10), message(2, 10)].concat());
    assert_eq!(trailers["grpc-status"], "0");
    drop(client);
    drop(pair.client);
    while let Some(ended) = pair.tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(pair.server.lock().unwrap().active_streams(), 0);
}

#[tokio::test]
async fn a_reset_by_the_server_reaches_the_client() {
    let handler: Handler = Box::new(|connection, event| {
        if let Event::Message { stream, .. } = event {
            connection.reset(stream, ErrorCode::ENHANCE_YOUR_CALM);
        }
    });
    let pair = Pair::new(Limits::default(), &Builder::new(), handler).await;
    let mut client = pair.client.clone().ready().await.unwrap();
    let (response, mut stream) = client.send_request(request(), false).unwrap();
    send_all(&mut stream, message(1, 10), false).await;
    let error = response.await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
}
