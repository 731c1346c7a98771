//! The whole tree of actors, with a file and servers.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Instant,
};

use prometheus_client::encoding::text::encode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use super::*;
use crate::{clock, endpoints::View};

/// A model server whose page tells a queue.
struct Server {
    address: std::net::SocketAddr,
    waiting: Arc<AtomicU32>,
    silent: Arc<AtomicBool>,
    /// Connections open at the moment; each holds a clone.
    open: Arc<()>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start(waiting: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = Arc::new(AtomicU32::new(waiting));
        let silent = Arc::new(AtomicBool::new(false));
        let open = Arc::new(());
        let shared = (Arc::clone(&waiting), Arc::clone(&silent));
        let counted = Arc::clone(&open);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let (waiting, silent) = shared.clone();
                let counted = Arc::clone(&counted);
                connections.spawn(async move {
                    let mut request = [0; 4096];
                    while socket.read(&mut request).await.is_ok_and(|bytes| 0 < bytes) {
                        if silent.load(Ordering::Relaxed) {
                            std::future::pending::<()>().await;
                        }
                        let waiting = waiting.load(Ordering::Relaxed);
                        let page = format!("vllm:num_requests_waiting {waiting}\n");
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", page.len());
                        let answer = format!("{head}\r\n{page}");
                        if socket.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                    drop(counted);
                });
            }
        });
        Self { address, waiting, silent, open, _serving: serving }
    }

    fn connections(&self) -> usize {
        // One is the server's own, one its listener's.
        Arc::strong_count(&self.open) - 2
    }

    fn says(&self, waiting: u32) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }
}

struct Fixture {
    tree: Tree,
    registry: Registry,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

fn write(path: &Path, servers: &[&Server]) {
    let mut text = String::from("endpoints:\n");
    for (n, server) in servers.iter().enumerate() {
        let (ip, port) = (server.address.ip(), server.address.port());
        writeln!(text, "- {{name: server-{n}, address: {ip}, port: '{port}'}}").unwrap();
    }
    std::fs::write(path, text).unwrap();
}

fn settings(path: &Path) -> Settings {
    Settings {
        pool: "pool".into(),
        discovery: plugins::FileDiscovery { path: path.to_owned(), watch: true },
        metrics: Some(MetricsReading::default()),
        refresh_interval: Duration::from_millis(10),
        limits: Limits::default(),
        load_age_max: Duration::from_secs(2),
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn eventually(holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let (asked_at, begun) = (std::panic::Location::caller(), clock::now());
    async move {
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {asked_at}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Fixture {
    async fn new(servers: &[&Server]) -> Self {
        Self::with_file(|path| write(path, servers)).await
    }

    async fn with_file(prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("endpoints.yaml");
        prepare(&path);
        let mut registry = Registry::default();
        let tree =
            start(settings(&path), PublishedView::new(), Vec::new(), &mut registry).await.unwrap();
        Self { tree, registry, path, _directory: directory }
    }

    fn queues(&self) -> Vec<Option<u32>> {
        queues(&self.tree.view().load())
    }

    async fn eventually_queues(&self, expected: &[Option<u32>]) {
        eventually(|| self.queues() == expected).await;
    }

    async fn child(&self, name: &str) -> ActorCell {
        let begun: Instant = clock::now();
        loop {
            let running = self.tree.running().await.unwrap();
            if let Some((_, child)) = running.into_iter().find(|(running, _)| *running == name) {
                return child;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} does not run");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Kills a child and returns when another runs in its place.
    async fn replace(&self, name: &str) {
        let killed = self.child(name).await;
        killed.kill_and_wait(None).await.unwrap();
        while self.child(name).await.get_id() == killed.get_id() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text
    }
}

fn queues(view: &View) -> Vec<Option<u32>> {
    let waiting = |sample: &crate::endpoints::Sample| sample.load.waiting_requests;
    view.members.iter().map(|member| member.sample.as_deref().and_then(waiting)).collect()
}

#[tokio::test]
async fn the_view_holds_the_endpoints_at_once_and_their_loads_soon() {
    let (a, b) = (Server::start(1).await, Server::start(2).await);
    let fixture = Fixture::new(&[&a, &b]).await;
    assert_eq!(fixture.tree.view().load().members.len(), 2);
    fixture.eventually_queues(&[Some(1), Some(2)]).await;
    b.says(7);
    fixture.eventually_queues(&[Some(1), Some(7)]).await;
    let metrics = fixture.metrics();
    assert!(metrics.contains("llm_d_epp_average_queue_size{name=\"pool\"} 4.0"), "{metrics}");
    fixture.tree.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_silent_server_delays_no_other() {
    let (a, b) = (Server::start(1).await, Server::start(2).await);
    a.silent.store(true, Ordering::Relaxed);
    let fixture = Fixture::new(&[&a, &b]).await;
    fixture.eventually_queues(&[None, Some(2)]).await;
    b.says(3);
    fixture.eventually_queues(&[None, Some(3)]).await;
    fixture.tree.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn an_edit_of_the_file_moves_the_scrapers_and_keeps_what_stays() {
    let (a, b) = (Server::start(1).await, Server::start(2).await);
    let fixture = Fixture::new(&[&a]).await;
    fixture.eventually_queues(&[Some(1)]).await;
    let first = Arc::clone(&fixture.tree.view().load().members[0].endpoint);
    first.in_flight.started(1);
    write(&fixture.path, &[&a, &b]);
    fixture.eventually_queues(&[Some(1), Some(2)]).await;
    let view = fixture.tree.view().load_full();
    assert!(Arc::ptr_eq(&view.members[0].endpoint, &first));
    assert_eq!(view.members.iter().map(|m| m.endpoint.slot).collect::<Vec<_>>(), [0, 1]);
    write(&fixture.path, &[]);
    std::fs::write(&fixture.path, "endpoints: []").unwrap();
    fixture.eventually_queues(&[]).await;
    eventually(|| a.connections() + b.connections() == 0).await;
    fixture.tree.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn each_child_that_is_killed_is_started_again_and_the_view_stays_readable() {
    let (a, b) = (Server::start(1).await, Server::start(2).await);
    let fixture = Fixture::new(&[&a]).await;
    fixture.eventually_queues(&[Some(1)]).await;
    for (waiting, child) in [(10, "book"), (20, "scrapers"), (30, "file-discovery")] {
        let endpoint = Arc::clone(&fixture.tree.view().load().members[0].endpoint);
        fixture.replace(child).await;
        let view = fixture.tree.view().load_full();
        assert!(Arc::ptr_eq(&view.members[0].endpoint, &endpoint), "after {child}");
        a.says(waiting);
        fixture.eventually_queues(&[Some(waiting)]).await;
        let counted = format!("convoy_actor_restarts_total{{actor=\"{child}\"}} 1");
        assert!(fixture.metrics().contains(&counted), "{}", fixture.metrics());
        eventually(|| a.connections() == 1).await;
    }
    write(&fixture.path, &[&a, &b]);
    fixture.eventually_queues(&[Some(30), Some(2)]).await;
    fixture.tree.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_scraper_that_is_killed_is_started_again() {
    let a = Server::start(1).await;
    let fixture = Fixture::new(&[&a]).await;
    fixture.eventually_queues(&[Some(1)]).await;
    for scraper in fixture.child("scrapers").await.get_children() {
        scraper.kill_and_wait(None).await.unwrap();
    }
    a.says(5);
    fixture.eventually_queues(&[Some(5)]).await;
    assert!(fixture.metrics().contains("convoy_actor_restarts_total{actor=\"scraper\"} 1"));
    fixture.tree.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_child_that_fails_too_often_ends_the_tree_but_not_the_view() {
    // Nothing is scraped, so that nothing runs but the waits, and those take no time.
    let entry = "{name: a, address: 10.0.0.1, port: '80', ready: false}";
    let file = format!("endpoints: [{entry}]");
    let mut fixture = Fixture::with_file(|path| std::fs::write(path, file).unwrap()).await;
    let failures_max = Policy::ESSENTIAL.failures_max.unwrap();
    tokio::time::pause();
    for _ in 0..failures_max {
        fixture.replace("book").await;
    }
    fixture.child("book").await.kill();
    fixture.tree.ended().await;
    assert_eq!(fixture.tree.view().load().members.len(), 1);
}

#[tokio::test]
async fn what_cannot_start_says_what_helps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("endpoints.yaml");
    let refused = async |settings: Settings| {
        let (view, registry) = (PublishedView::new(), &mut Registry::default());
        let error = start(settings, view, Vec::new(), registry).await.unwrap_err();
        assert!(!error.remedy().is_empty());
        error.to_string()
    };
    assert!(refused(settings(&path)).await.contains("cannot read endpoints file"));
    std::fs::write(&path, "endpoints: [{name: a, address: 10.0.0.1, port: 80}]").unwrap();
    assert!(refused(settings(&path)).await.contains("endpoints[0].port: cannot be 80"));
    std::fs::write(&path, "endpoints: []").unwrap();
    let mut odd = settings(&path);
    odd.metrics = Some(MetricsReading {
        source: plugins::MetricsSource { path: "/ /".into(), ..plugins::MetricsSource::default() },
        ..MetricsReading::default()
    });
    assert!(refused(odd).await.starts_with("metrics-data-source: path"));
}
