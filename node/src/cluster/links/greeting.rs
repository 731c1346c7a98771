//! The greeting: both sides of a connection say who they are before anything else is said on it.
//!
//! It comes before HTTP/2, so that whoever is not of this cluster never gets as far as a request, and either side
//! can say why it will not have the other. The caller speaks first.

use std::io;

use convoy_proto::replica::{Hello, Verdict, Welcome};
use convoy_raft::{
    identity::{ClusterId, ReplicaName},
    peers::Address,
};
use prost::Message;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    Me,
    refusal::{Reason, Refusal},
    trust::carries,
};

/// The version of what replicas speak.
const PROTOCOL: u32 = 1;

/// A greeting holds names, which are short.
const MESSAGE_BYTES_MAX: usize = 4096;

/// The first byte of a TLS connection: a record of a handshake, or an alert.
const TLS_RECORDS: [u8; 2] = [0x16, 0x15];

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: ReplicaName,
    /// Drawn at random when its process started.
    pub(super) start: u64,
    /// Where it says that it is reached.
    pub(super) advertised: Option<Address>,
    /// Its cluster, when it said so.
    pub(super) cluster: Option<ClusterId>,
}

/// What a greeting is judged by.
pub(super) struct Judge<'a> {
    pub(super) me: &'a Me,
    pub(super) cluster: Option<ClusterId>,
    /// What the other side showed; `None` on connections without TLS.
    pub(super) certificate: Option<&'a CertificateDer<'a>>,
}

/// Why a greeting led to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetingError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the connection broke")]
    Broken(#[from] io::Error),
}

/// The caller's side.
pub(super) async fn call<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    judge: &Judge<'_>,
) -> Result<Peer, GreetingError> {
    send(stream, &judge.hello()).await?;
    let Welcome { hello, refusal } = receive(stream).await?;
    if let Some(refusal) = refusal {
        return Err(Refusal::told(&refusal).into());
    }
    let judged = judge.judge(&hello.unwrap_or_default());
    let refusal = judged.as_ref().err().map(Refusal::to_wire);
    send(stream, &Verdict { refusal }).await?;
    Ok(judged?)
}

/// The side that was called.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    judge: &Judge<'_>,
) -> Result<Peer, GreetingError> {
    let judged = match receive::<_, Hello>(stream).await {
        Ok(hello) => judge.judge(&hello),
        Err(GreetingError::Refused(garbled)) => Err(garbled),
        Err(broken @ GreetingError::Broken(_)) => return Err(broken),
    };
    let refusal = judged.as_ref().err().map(Refusal::to_wire);
    send(stream, &Welcome { hello: Some(judge.hello()), refusal }).await?;
    let peer = judged?;
    match receive(stream).await? {
        Verdict { refusal: Some(refusal) } => Err(Refusal::told(&refusal).into()),
        Verdict { refusal: None } => Ok(peer),
    }
}

impl Judge<'_> {
    fn hello(&self) -> Hello {
        Hello {
            protocol: PROTOCOL,
            name: self.me.name.to_string(),
            pool: self.me.pool.clone(),
            cluster: self.cluster.map_or_else(Default::default, to_bytes),
            start: self.me.start,
            advertised: self.me.advertised.to_string(),
        }
    }

    /// Whether who said `hello` is one of us.
    fn judge(&self, hello: &Hello) -> Result<Peer, Refusal> {
        if hello.protocol != PROTOCOL {
            let theirs = hello.protocol;
            let text = format!(
                "the other side speaks version {theirs} of the protocol between replicas, and {} \
                 version {PROTOCOL}; run versions that follow one another",
                self.me.name
            );
            return Err(Refusal::ours(Reason::Protocol, text));
        }
        let garbled =
            |what: &str| Refusal::ours(Reason::Garbled, format!("its greeting says {what}"));
        let name = ReplicaName::new(&*hello.name).map_err(|bad| garbled(&bad.to_string()))?;
        if let Some(certificate) = self.certificate {
            carries(certificate, &name).map_err(|carried| {
                let text = format!(
                    "it says that it is {name}, and its certificate carries {carried}; issue it with the \
                     replica's name as a DNS name, or let --replica-name be the one that it has"
                );
                Refusal::ours(Reason::OtherName, text)
            })?;
        }
        let cluster = match &*hello.cluster {
            [] => None,
            bytes => Some(of_bytes(bytes).ok_or_else(|| garbled("a cluster that is none"))?),
        };
        self.compare(hello, &name, cluster)?;
        let advertised = hello.advertised.parse().ok();
        Ok(Peer { name, start: hello.start, advertised, cluster })
    }

    /// Whether both replicas can be of one cluster. The texts are read on both sides.
    fn compare(
        &self,
        hello: &Hello,
        name: &ReplicaName,
        cluster: Option<ClusterId>,
    ) -> Result<(), Refusal> {
        let (me, pool) = (&self.me.name, &self.me.pool);
        if hello.pool != *pool {
            let text = format!(
                "{name} serves pool {:?}, and {me} serves {pool:?}; let --cluster-peers name the replicas of \
                 one pool",
                hello.pool
            );
            return Err(Refusal::ours(Reason::OtherPool, text));
        }
        other_cluster((name, cluster), (me, self.cluster))?;
        if name == me && hello.start != self.me.start {
            let text = format!("two replicas are named {me}; give each its own --replica-name");
            return Err(Refusal::ours(Reason::SameName, text));
        }
        Ok(())
    }
}

/// Refuses if both belong to a cluster, and not to the same.
pub(super) fn other_cluster(
    (name, theirs): (&ReplicaName, Option<ClusterId>),
    (me, ours): (&ReplicaName, Option<ClusterId>),
) -> Result<(), Refusal> {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            let text = format!(
                "{name} belongs to cluster {theirs}, and {me} to {ours}; if they should be one, empty the \
                 data directory of the smaller"
            );
            Err(Refusal::ours(Reason::OtherCluster, text))
        }
        (_, _) => Ok(()),
    }
}

pub(super) fn to_bytes(cluster: ClusterId) -> bytes::Bytes {
    cluster.0.to_be_bytes().to_vec().into()
}

pub(super) fn of_bytes(bytes: &[u8]) -> Option<ClusterId> {
    Some(ClusterId(u128::from_be_bytes(bytes.try_into().ok()?)))
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, message: &impl Message) -> io::Result<()> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(body);
    stream.write_all(&frame).await?;
    stream.flush().await
}

async fn receive<S, M>(stream: &mut S) -> Result<M, GreetingError>
where
    S: AsyncRead + Unpin,
    M: Message + Default,
{
    let garbled = |text: &str| GreetingError::from(Refusal::ours(Reason::Garbled, text));
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    if TLS_RECORDS.contains(&head[0]) {
        let text = "one side speaks TLS, and the other was started with --cluster-insecure; let all replicas \
                    have certificates, or none";
        return Err(Refusal::ours(Reason::NoTls, text).into());
    }
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if MESSAGE_BYTES_MAX < length {
        return Err(garbled("it does not greet as replicas do; is it one?"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    M::decode(&*body).map_err(|_| garbled("its greeting cannot be read; is it a replica?"))
}

#[cfg(test)]
mod tests;
