//! A replica without a log: links, and somebody behind them who answers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use convoy_raft::{
    identity::ReplicaName,
    transport::{Caller, Destination, FRAME_BYTES_MAX, Frames, Lane, LinkError, Serve},
};
use convoy_tests::processes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use ractor::{Actor, ActorCell, ActorRef};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch};

use super::{Authority, Paper};
use crate::{
    cluster::links::{
        Credentials, Hear, Links, Me, Metrics, Receivers, Security, Timing, unix_time,
    },
    supervision::{self, Supervisor, call},
};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A running replica.
pub(super) struct Replica {
    pub(super) links: Links,
    pub(super) metrics: Metrics,
    pub(super) supervision: supervision::Metrics,
    pub(super) address: SocketAddr,
    pub(super) behind: Arc<Behind>,
    pub(super) directory: TempDir,
    credentials: Option<Arc<Credentials>>,
    tree: ActorRef<supervision::Msg>,
}

/// How a replica of a test differs from others.
#[derive(Clone, Debug)]
pub(super) struct Story<'a> {
    pub(super) name: &'a str,
    pub(super) pool: &'a str,
    pub(super) timing: Timing,
    pub(super) address: Option<SocketAddr>,
}

impl<'a> Story<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        let timing = Timing { backoff_max: Duration::from_millis(100), ..Timing::default() };
        Self { name, pool: "ns/pool", timing, address: None }
    }
}

/// Answers, and remembers who asked.
pub(super) struct Behind {
    name: ReplicaName,
    pub(super) callers: Mutex<Vec<Caller>>,
    pub(super) heard: Mutex<Vec<(ReplicaName, Bytes)>>,
    /// Entries streams that have ended, with what they brought.
    pub(super) ended: watch::Sender<Vec<usize>>,
}

impl Replica {
    pub(super) async fn secure(
        authority: &Authority,
        story: &Story<'_>,
        paper: &Paper<'_>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = authority.issue(directory.path(), paper);
        // A replica starts with the name that its certificate has; what it says later may differ.
        let name = ReplicaName::new(paper.names[0]).unwrap();
        let credentials = match Credentials::load(files.clone(), name, unix_time()) {
            Ok(credentials) => credentials,
            // As if it had been good when the replica started.
            Err(_) => Credentials::unchecked(files),
        };
        Self::start(story, Security::Mutual(Arc::new(credentials)), directory).await
    }

    /// With a certificate that is as it should be.
    pub(super) async fn good(authority: &Authority, name: &str) -> Self {
        Self::secure(authority, &Story::of(name), &Paper::of(&[name])).await
    }

    pub(super) async fn insecure(story: &Story<'_>) -> Self {
        Self::start(story, Security::Insecure, tempfile::tempdir().unwrap()).await
    }

    async fn start(story: &Story<'_>, security: Security, directory: TempDir) -> Self {
        let address = story.address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let credentials = match &security {
            Security::Insecure => None,
            Security::Mutual(credentials) => Some(Arc::clone(credentials)),
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let name = ReplicaName::new(story.name).unwrap();
        let me = Me {
            name: name.clone(),
            pool: story.pool.to_owned(),
            advertised: address.into(),
            start: fastrand::u64(..),
        };
        let (metrics, supervision) = (Metrics::default(), supervision::Metrics::default());
        let links = Links::new(me, security, story.timing, metrics.clone());
        let behind = Arc::new(Behind {
            name,
            callers: Mutex::default(),
            heard: Mutex::default(),
            ended: watch::Sender::default(),
        });
        let receivers = Receivers {
            serve: Arc::clone(&behind) as Arc<dyn Serve>,
            hear: Arc::clone(&behind) as Arc<dyn Hear>,
        };
        let children = links.children(listener, receivers, supervision.clone());
        let arguments = supervision::Arguments { children, metrics: supervision.clone() };
        let (tree, _) = Actor::spawn(None, Supervisor, arguments).await.unwrap();
        Self { links, metrics, supervision, address, behind, directory, credentials, tree }
    }

    /// Asks whoever is at the address of `other`.
    pub(super) async fn ask(&self, other: &Self) -> Result<Bytes, LinkError> {
        self.ask_at(other.address, "hello").await
    }

    pub(super) async fn ask_at(
        &self,
        address: SocketAddr,
        question: &'static str,
    ) -> Result<Bytes, LinkError> {
        let question = Bytes::from_static(question.as_bytes());
        self.send(&destination(address, None), question).await
    }

    pub(super) async fn send(&self, to: &Destination, question: Bytes) -> Result<Bytes, LinkError> {
        use convoy_raft::transport::Transport as _;
        self.links.call(to, question, PATIENCE).await
    }

    /// Asks until there is an answer.
    pub(super) async fn reaches(&self, other: &Self) {
        eventually("an answer", async || self.ask(other).await.is_ok()).await;
    }

    pub(super) fn credentials(&self) -> &Credentials {
        self.credentials.as_ref().unwrap()
    }

    /// Takes up changed files at once, which it does by itself a little later.
    pub(super) fn renew(&self) {
        // The name in a test's certificate may be any.
        let renewed = self.credentials().reload(unix_time());
        assert!(renewed.unwrap(), "nothing had changed");
    }

    pub(super) async fn running(&self) -> Vec<(&'static str, ActorCell)> {
        call(&self.tree, supervision::Msg::Running, PATIENCE).await.unwrap()
    }

    pub(super) async fn stop(self) -> SocketAddr {
        let ended = self.tree.stop_and_wait(None, Some(PATIENCE)).await;
        assert!(ended.is_ok());
        self.address
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tree.stop(None);
    }
}

impl Serve for Behind {
    fn call(&self, from: Caller, question: Bytes) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        self.callers.lock().unwrap().push(from);
        let name = self.name.to_string();
        async move {
            match &*question {
                b"never" => std::future::pending().await,
                b"long" => Ok(vec![0; 2 * FRAME_BYTES_MAX].into()),
                b"no" => Err(LinkError::Refused { to: name, why: "it will not".to_owned() }),
                question => Ok([name.as_bytes(), b": ", question].concat().into()),
            }
        }
        .boxed()
    }

    fn stream(
        &self,
        from: Caller,
        lane: Lane,
        frames: Frames,
    ) -> BoxFuture<'static, Result<Frames, LinkError>> {
        self.callers.lock().unwrap().push(from);
        let ended = self.ended.clone();
        let answers = match lane {
            // Each is answered.
            Lane::Entries => {
                let counted = Counted { count: 0, ended };
                let echoed =
                    stream::unfold((frames, counted), async |(mut frames, mut counted)| {
                        let frame = frames.next().await?.ok()?;
                        counted.count += 1;
                        Some((Ok(frame), (frames, counted)))
                    });
                echoed.boxed()
            }
            // All are answered at once.
            Lane::Snapshot => stream::once(async move {
                let whole = frames.fold(0, async |sum, frame| sum + frame.map_or(0, |f| f.len()));
                Ok(Bytes::from(whole.await.to_string()))
            })
            .boxed(),
            // Nothing is ever read.
            Lane::Proposals => stream::once(async move {
                let _unread = frames;
                std::future::pending().await
            })
            .boxed(),
        };
        async move { Ok(answers) }.boxed()
    }
}

/// Counts the frames of a stream, and tells of its end however it comes.
struct Counted {
    count: usize,
    ended: watch::Sender<Vec<usize>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ended.send_modify(|ended| ended.push(self.count));
    }
}

impl Hear for Behind {
    fn hear(&self, from: &ReplicaName, batch: Bytes) {
        self.heard.lock().unwrap().push((from.clone(), batch));
    }
}

pub(super) fn destination(address: SocketAddr, name: Option<&str>) -> Destination {
    let name = name.map(|name| ReplicaName::new(name).unwrap());
    Destination { address: address.into(), name }
}

/// What a call that came to nothing says.
#[track_caller]
pub(super) fn text_of(outcome: Result<Bytes, LinkError>) -> String {
    outcome.map(|answer| answer.len()).expect_err("somebody answered").to_string()
}

pub(super) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    processes::eventually(what, PATIENCE, async || holds().await.then_some(())).await.unwrap();
}
