//! A connection on which a test says what no gRPC client would, byte by byte.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{RecvStream, SendStream, client::SendRequest};
use http::Request;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::picker::SOON;

/// Where gateways send their questions.
pub(super) const PROCESS: &str = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

/// An HTTP/2 connection. Dropping it cuts it off.
pub(super) struct Raw {
    client: SendRequest<Bytes>,
    connection: JoinSet<()>,
}

/// How a call ended: `grpc-status` and `grpc-message`.
pub(super) type End = (String, String);

impl Raw {
    pub(super) async fn to(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        // What is answered on a call that nobody listens to takes nothing from the others.
        let mut builder = h2::client::Builder::new();
        let handshake = builder.initial_connection_window_size(64 << 20).handshake(socket);
        let (client, driver) = handshake.await.unwrap();
        let mut connection = JoinSet::new();
        connection.spawn(async move {
            // How it ends is up to the test.
            let _ended = driver.await;
        });
        Self { client, connection }
    }

    /// Opens a call; `None` if the connection takes no more.
    pub(super) async fn open(&self, path: &str) -> Option<Call> {
        let mut client = self.client.clone().ready().await.ok()?;
        let request = Request::post(format!("http://picker{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (response, sending) = client.send_request(request, false).ok()?;
        Some(Call { response, sending })
    }

    /// Says all of `messages` on a call of its own, and hears how it ends.
    pub(super) async fn call(&self, path: &str, messages: &[&[u8]]) -> End {
        let mut call = self.open(path).await.unwrap();
        for message in messages {
            call.say(message);
        }
        call.end().await
    }

    /// Waits until the connection is over.
    pub(super) async fn closed(&mut self) {
        timeout(SOON, self.connection.join_next()).await.expect("the connection's end in time");
    }
}

/// A call that is open.
pub(super) struct Call {
    response: h2::client::ResponseFuture,
    sending: SendStream<Bytes>,
}

impl Call {
    /// Says a whole message.
    pub(super) fn say(&mut self, message: &[u8]) {
        let mut framed = vec![0];
        framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        framed.extend_from_slice(message);
        self.say_raw(&framed);
    }

    /// Says bytes that need not be a message.
    pub(super) fn say_raw(&mut self, bytes: &[u8]) {
        // What is said on an ended stream is lost, as on the wire.
        let _ended = self.sending.send_data(Bytes::copy_from_slice(bytes), false);
    }

    /// Says nothing more, and hears how the call ends.
    pub(super) async fn half_closed(mut self) -> End {
        let _ended = self.sending.send_data(Bytes::new(), true);
        self.end().await
    }

    /// Hears how the call ends, whatever is answered before.
    pub(super) async fn end(self) -> End {
        let ended = async {
            let response = self.response.await.unwrap();
            let text = |headers: &http::HeaderMap, name: &str| {
                headers.get(name).map(|value| value.to_str().unwrap().to_owned())
            };
            let headers = response.headers().clone();
            let trailers = trailers(response.into_body()).await;
            let find = |name| text(&trailers, name).or_else(|| text(&headers, name));
            (find("grpc-status").unwrap(), find("grpc-message").unwrap_or_default())
        };
        timeout(SOON, ended).await.expect("an end in time")
    }
}

async fn trailers(mut body: RecvStream) -> http::HeaderMap {
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
    }
    body.trailers().await.unwrap().unwrap_or_default()
}
