//! A connection of another replica: who it is, and then its requests, for as long as it may make any.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use convoy_proto::replica::replica_server::ReplicaServer;
use convoy_raft::transport::Caller;
use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};
use tonic::codegen::Service;

use super::{
    CONNECTION_WINDOW_BYTES, MESSAGE_BYTES_MAX, Receivers, STREAM_WINDOW_BYTES, Shared,
    checks::Checks,
    door::Door,
    greeting::Peer,
    socket::{self, Introduced, IntroductionError, Stream},
    trust::Trust,
};
use crate::{clock, logging::chain as causes};

/// Streams at once: one for entries, for a snapshot, for proposals, for hints; some that end; and calls, which are
/// short.
const STREAMS_MAX: u32 = 64;

/// Metadata of a request. Replicas send next to none.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// Serves a connection until it ends. The caller holds a stranger's place until it is known.
pub(super) async fn serve(
    shared: Arc<Shared>,
    receivers: Receivers,
    socket: TcpStream,
    (from, place): (SocketAddr, OwnedSemaphorePermit),
) {
    let from_ip = from.ip().to_string();
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%from, %error, "a connection was gone before it was looked at");
        return;
    }
    let Introduced { stream, peer, chain } = match socket::answer(&shared, socket).await {
        Ok(introduced) => introduced,
        Err(IntroductionError::Refused(refusal)) => {
            shared.refused(clock::now(), &from_ip, &refusal);
            return;
        }
        Err(error) => {
            // A port probe, most often.
            tracing::debug!(%from, error = causes(&error), "a connection brought no replica");
            return;
        }
    };
    drop(place);
    shared.outlets.nudge(&peer);
    shared.metrics.connections.inc();
    shared.metrics.accepted.inc();
    let _counted = Counted(&shared);
    let mut checks = Checks::new(&shared, Trust::verify_caller);
    tokio::select! {
        ended = requests(&shared, receivers, stream, &peer) => {
            let ended = ended.map_err(|error| causes(&error));
            tracing::debug!(replica = peer.name.as_str(), %from, ?ended, "a replica's connection ended");
        }
        refusal = checks.failed(&peer, chain.as_ref()) => {
            shared.refused(clock::now(), &from_ip, &refusal);
        }
    }
}

async fn requests(
    shared: &Shared,
    receivers: Receivers,
    stream: Box<dyn Stream>,
    peer: &Peer,
) -> hyper::Result<()> {
    let proved = matches!(shared.security, super::Security::Mutual(_));
    let door = Door {
        from: peer.name.clone(),
        caller: Caller { name: proved.then(|| peer.name.clone()) },
        cluster: shared.cluster.subscribe(),
        serve: receivers.serve,
        hear: receivers.hear,
        metrics: shared.metrics.clone(),
    };
    let server = ReplicaServer::new(door)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut server = server.clone();
        async move {
            Ok::<_, Infallible>(server.call(request).await.unwrap_or_else(|never| match never {}))
        }
    });
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(shared.timing.keepalive_interval)
        .keep_alive_timeout(shared.timing.keepalive_timeout)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// Counts a connection for as long as it lasts.
struct Counted<'a>(&'a Shared);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.metrics.accepted.dec();
    }
}
