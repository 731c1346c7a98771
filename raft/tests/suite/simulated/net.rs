//! A network in memory: delays, partitions, hosts that are gone.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use convoy_raft::{
    peers::Address,
    transport::{Caller, Destination, Frames, Lane, LinkError, Serve, Transport},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use tokio::sync::mpsc;

/// The network that all replicas are on.
#[derive(Clone)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
}

struct State {
    hosts: BTreeMap<Address, Host>,
    random: fastrand::Rng,
    millis_max: u64,
}

#[derive(Clone)]
struct Host {
    /// `None` while nobody listens.
    serve: Option<Arc<dyn Serve>>,
    /// Counts the lives of a host: what was connected to an earlier one is cut.
    life: u32,
    /// Sides do not reach each other.
    side: u32,
}

/// The network as one replica sees it.
struct Port {
    net: Net,
    own: Address,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let state = State { hosts: BTreeMap::new(), random, millis_max: 5 };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn port(&self, own: Address) -> Arc<dyn Transport> {
        Arc::new(Port { net: self.clone(), own })
    }

    pub(crate) fn listen(&self, at: Address, serve: Arc<dyn Serve>) {
        let mut state = self.state();
        let host = state.hosts.entry(at).or_insert(Host { serve: None, life: 0, side: 0 });
        host.serve = Some(serve);
        host.life += 1;
    }

    pub(crate) fn close(&self, at: &Address) {
        if let Some(host) = self.state().hosts.get_mut(at) {
            host.serve = None;
        }
    }

    pub(crate) fn put(&self, at: &Address, side: u32) {
        if let Some(host) = self.state().hosts.get_mut(at) {
            host.side = side;
        }
    }

    pub(crate) fn heal(&self) {
        for host in self.state().hosts.values_mut() {
            host.side = 0;
        }
    }

    /// How long a message may take.
    pub(crate) fn slow_down(&self, millis_max: u64) {
        self.state().millis_max = millis_max;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A message's way from `from` to `to`, if there is one: how long, and who is there.
    fn way(&self, from: &Address, to: &Address) -> Option<(Duration, Host)> {
        let mut state = self.state();
        let side = state.hosts.get(from)?.side;
        let host = state.hosts.get(to).filter(|host| host.side == side)?.clone();
        let millis_max = state.millis_max;
        Some((Duration::from_millis(state.random.u64(..=millis_max)), host))
    }

    /// Takes the time that a message takes. False when it is lost.
    async fn travel(&self, from: &Address, to: &Address, life: u32) -> bool {
        let Some((delay, _)) = self.way(from, to) else { return false };
        delay_by(delay).await;
        let there = |host: Host| host.serve.is_some() && host.life == life;
        self.way(from, to).is_some_and(|(_, host)| there(host))
    }
}

async fn delay_by(time: Duration) {
    let passed = tokio::time::timeout(time, std::future::pending::<()>()).await;
    assert!(passed.is_err(), "nothing ends it but time");
}

impl Transport for Port {
    fn call(
        &self,
        to: &Destination,
        question: Bytes,
        patience: Duration,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let (net, own, to) = (self.net.clone(), self.own.clone(), to.address.clone());
        let late = LinkError::TimedOut { to: to.to_string(), patience };
        let asking = async move {
            let Some((delay, host)) = net.way(&own, &to) else {
                // A partition swallows what is sent.
                return std::future::pending().await;
            };
            delay_by(delay).await;
            let serve = host.serve.ok_or_else(|| unreachable(&to))?;
            let answer = serve.call(Caller::default(), question).await?;
            if net.travel(&to, &own, life_of(&net, &own)).await {
                Ok(answer)
            } else {
                std::future::pending().await
            }
        };
        async move { tokio::time::timeout(patience, asking).await.unwrap_or(Err(late)) }.boxed()
    }

    fn stream(
        &self,
        to: &Destination,
        lane: Lane,
        frames: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Frames, LinkError>> {
        let (net, own, to) = (self.net.clone(), self.own.clone(), to.address.clone());
        async move {
            let way = net.way(&own, &to).and_then(|(_, host)| Some((host.life, host.serve?)));
            let (life, serve) = way.ok_or_else(|| unreachable(&to))?;
            let own_life = life_of(&net, &own);
            let there = carried(net.clone(), (own.clone(), to.clone()), life, frames.map(Ok));
            let answers = serve.stream(Caller::default(), lane, there.boxed()).await?;
            let back = carried(net, (to, own), own_life, answers);
            Ok(pumped(back.boxed()))
        }
        .boxed()
    }
}

fn life_of(net: &Net, of: &Address) -> u32 {
    net.state().hosts.get(of).map_or(0, |host| host.life)
}

/// Frames on their way, until one is lost.
fn carried(
    net: Net,
    (from, to): (Address, Address),
    life: u32,
    frames: impl stream::Stream<Item = Result<Bytes, LinkError>> + Send + Unpin + 'static,
) -> impl stream::Stream<Item = Result<Bytes, LinkError>> + Send {
    stream::unfold(Some((frames, net, from, to)), move |state| async move {
        let (mut frames, net, from, to) = state?;
        let frame = frames.next().await?;
        if net.travel(&from, &to, life).await {
            Some((frame, Some((frames, net, from, to))))
        } else {
            Some((Err(LinkError::Closed), None))
        }
    })
}

/// Reads ahead a little, as a socket's buffers do, whether somebody asks or not.
fn pumped(mut frames: Frames) -> Frames {
    let (sender, receiver) = mpsc::channel(16);
    #[expect(clippy::disallowed_methods, reason = "it ends with the stream")]
    tokio::spawn(async move {
        loop {
            tokio::select! {
                frame = frames.next() => match frame {
                    Some(frame) => if sender.send(frame).await.is_err() { return },
                    None => return,
                },
                () = sender.closed() => return,
            }
        }
    });
    let frames = stream::unfold(receiver, |mut receiver| async move {
        let frame = receiver.recv().await?;
        Some((frame, receiver))
    });
    frames.boxed()
}

fn unreachable(to: &Address) -> LinkError {
    LinkError::Unreachable { to: to.to_string(), why: "nobody listens".into() }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Port").field(&self.own).finish()
    }
}
