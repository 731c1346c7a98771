//! A connection before anything but TLS and the greeting was said on it.

use std::{io, net::SocketAddr, sync::Arc};

use convoy_raft::peers::Address;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{
    Security, Shared,
    greeting::{self, GreetingError, Judge, Peer},
    refusal::Refusal,
};

/// A socket, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The certificates that the other side showed, its own first.
pub(super) type Chain = Vec<CertificateDer<'static>>;

/// A connection on which both sides know each other.
pub(super) struct Introduced {
    pub(super) stream: Box<dyn Stream>,
    pub(super) peer: Peer,
    /// `None` on connections without TLS.
    pub(super) chain: Option<Chain>,
}

/// Why two replicas did not get to know each other.
#[derive(Debug, thiserror::Error)]
pub(super) enum IntroductionError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("it took longer than {0:?}")]
    TooSlow(std::time::Duration),
}

/// Bytes that are read and thrown away after a refusal, so that it is not overtaken by a reset.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// Calls whoever is at `address`.
pub(super) async fn call(
    shared: &Shared,
    address: &Address,
) -> Result<Introduced, IntroductionError> {
    let connecting = TcpStream::connect((address.host(), address.port()));
    let patience = shared.timing.connect;
    let socket = timeout(patience, connecting)
        .await
        .map_err(|_| IntroductionError::TooSlow(patience))?
        .map_err(IntroductionError::Connect)?;
    let introducing = async {
        socket.set_nodelay(true).map_err(IntroductionError::Connect)?;
        let (mut stream, chain): (Box<dyn Stream>, _) = match &shared.security {
            Security::Insecure => (Box::new(socket), None),
            Security::Mutual(credentials) => {
                let connector = TlsConnector::from(credentials.client());
                let name = server_name(address);
                let stream = connector.connect(name, socket).await.map_err(broken)?;
                let chain = chain(stream.get_ref().1.peer_certificates());
                (Box::new(stream), Some(chain))
            }
        };
        let peer = greeting::call(&mut stream, &judge(shared, chain.as_ref())).await;
        ended(stream, chain, peer).await
    };
    let patience = shared.timing.greeting;
    timeout(patience, introducing).await.map_err(|_| IntroductionError::TooSlow(patience))?
}

/// Answers whoever called.
pub(super) async fn answer(
    shared: &Shared,
    socket: TcpStream,
) -> Result<Introduced, IntroductionError> {
    let introducing = async {
        let (mut stream, chain): (Box<dyn Stream>, _) = match &shared.security {
            Security::Insecure => (Box::new(socket), None),
            Security::Mutual(credentials) => accept(credentials.server(), socket).await?,
        };
        let peer = greeting::answer(&mut stream, &judge(shared, chain.as_ref())).await;
        ended(stream, chain, peer).await
    };
    let patience = shared.timing.greeting;
    timeout(patience, introducing).await.map_err(|_| IntroductionError::TooSlow(patience))?
}

async fn accept(
    config: Arc<ServerConfig>,
    socket: TcpStream,
) -> Result<(Box<dyn Stream>, Option<Chain>), IntroductionError> {
    match TlsAcceptor::from(config).accept(socket).into_fallible().await {
        Ok(stream) => {
            let chain = chain(stream.get_ref().1.peer_certificates());
            Ok((Box::new(stream), Some(chain)))
        }
        Err((error, socket)) => {
            linger(socket).await;
            Err(broken(error))
        }
    }
}

/// Takes a connection over, or ends it so that a last word arrives.
async fn ended(
    stream: Box<dyn Stream>,
    chain: Option<Chain>,
    peer: Result<Peer, GreetingError>,
) -> Result<Introduced, IntroductionError> {
    match peer {
        Ok(peer) => Ok(Introduced { stream, peer, chain }),
        Err(GreetingError::Refused(refusal)) => {
            linger(stream).await;
            Err(refusal.into())
        }
        // With TLS 1.3 the called looks at the caller's certificate after the caller thinks that all is well.
        Err(GreetingError::Broken(error)) => Err(broken(error)),
    }
}

fn judge<'a>(shared: &'a Shared, chain: Option<&'a Chain>) -> Judge<'a> {
    let cluster = *shared.cluster.borrow();
    Judge { me: &shared.me, cluster, certificate: chain.and_then(|chain| chain.first()) }
}

fn broken(error: io::Error) -> IntroductionError {
    match Refusal::of_tls(&error) {
        Some(refusal) => refusal.into(),
        None => IntroductionError::Broken(error),
    }
}

fn chain(shown: Option<&[CertificateDer<'static>]>) -> Chain {
    shown.unwrap_or_default().to_vec()
}

/// What TLS wants a name for, of which nothing depends here: see `Trust`.
fn server_name(address: &Address) -> ServerName<'static> {
    let any = || ServerName::from(SocketAddr::from(([0, 0, 0, 0], 0)).ip());
    ServerName::try_from(address.host().to_owned()).unwrap_or_else(|_| any())
}

/// Says that all is said, and waits until the other side has read it and gone. Unread bytes would have the
/// system reset the connection, and a reset may overtake what was written.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut thrown_away = vec![0; 1024];
    let mut left = LINGER_BYTES_MAX;
    while let Ok(read) = stream.read(&mut thrown_away).await
        && 0 < read
        && 0 < left
    {
        left = left.saturating_sub(read);
    }
}
