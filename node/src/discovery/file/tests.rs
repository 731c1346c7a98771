//! The ways in which a file changes, and what is heard of each.

use std::{os::unix::fs::symlink, path::Path, time::Instant};

use tokio::sync::mpsc;

use super::*;
use crate::clock;

/// Stands in for the book and passes on the names of each list.
struct Listener(mpsc::UnboundedSender<Vec<String>>);

impl Actor for Listener {
    type Msg = Admitted<Fact>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        told: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Fact::Discovered(Event::Listed(listed)) = told.body else {
            return Err("a file lists its endpoints whole".into());
        };
        self.0.send(listed.into_iter().map(|endpoint| endpoint.key.name).collect())?;
        Ok(())
    }
}

struct Fixture {
    directory: tempfile::TempDir,
    lists: mpsc::UnboundedReceiver<Vec<String>>,
    arguments: Arguments,
    actor: ActorRef<Msg>,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Fixture {
    /// A watched file in a directory that `prepare` fills.
    async fn new(prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let path = directory.path().join("endpoints.yaml");
        let (sender, lists) = mpsc::unbounded_channel();
        let (book, _) = Actor::spawn(None, Listener(sender), ()).await.unwrap();
        let intake = Intake::new(8);
        intake.rewire(book);
        let arguments = Arguments {
            in_force: InForce::new(load(&path).unwrap()),
            path,
            watch: true,
            book: intake,
            metrics: Metrics::default(),
        };
        let (actor, _) = Actor::spawn(None, FileDiscovery, arguments.clone()).await.unwrap();
        Self { directory, lists, arguments, actor }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn listed(&mut self) -> Vec<String> {
        tokio::time::timeout(PATIENCE, self.lists.recv()).await.unwrap().unwrap()
    }

    async fn eventually(&self, holds: impl Fn(&Metrics) -> bool) {
        let started: Instant = clock::now();
        while !holds(&self.arguments.metrics) {
            assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn file(names: &[&str]) -> String {
    let entry = |(n, name)| format!("- {{name: {name}, address: 10.0.0.{}, port: '80'}}\n", n + 1);
    let entries: String = names.iter().enumerate().map(entry).collect();
    format!("endpoints:\n{entries}")
}

fn write(path: &Path, names: &[&str]) {
    std::fs::write(path, file(names)).unwrap();
}

#[tokio::test]
async fn a_write_in_place_is_seen() {
    let mut fixture = Fixture::new(|at| write(&at.join("endpoints.yaml"), &["a"])).await;
    assert_eq!(fixture.listed().await, ["a"]);
    for names in [["b", "c"], ["c", "b"], ["b", "d"]] {
        write(&fixture.path("endpoints.yaml"), &names);
        assert_eq!(fixture.listed().await, names);
    }
}

#[tokio::test]
async fn a_rename_over_the_file_is_seen_again_and_again() {
    let mut fixture = Fixture::new(|at| write(&at.join("endpoints.yaml"), &["a"])).await;
    assert_eq!(fixture.listed().await, ["a"]);
    for names in [["b"], ["c"], ["d"]] {
        write(&fixture.path("fresh"), &names);
        std::fs::rename(fixture.path("fresh"), fixture.path("endpoints.yaml")).unwrap();
        assert_eq!(fixture.listed().await, names);
    }
}

#[tokio::test]
async fn a_link_swapped_as_kubernetes_does_is_seen() {
    let volume = |at: &Path, version: &str, names: &[&str]| {
        std::fs::create_dir(at.join(version)).unwrap();
        write(&at.join(version).join("endpoints.yaml"), names);
        symlink(version, at.join("..data_tmp")).unwrap();
        std::fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
    };
    let mut fixture = Fixture::new(|at| {
        volume(at, "..v1", &["a"]);
        symlink("..data/endpoints.yaml", at.join("endpoints.yaml")).unwrap();
    })
    .await;
    assert_eq!(fixture.listed().await, ["a"]);
    for (version, before, names) in [("..v2", "..v1", ["b"]), ("..v3", "..v2", ["c"])] {
        volume(fixture.directory.path(), version, &names);
        std::fs::remove_dir_all(fixture.path(before)).unwrap();
        assert_eq!(fixture.listed().await, names);
    }
}

#[tokio::test]
async fn a_file_behind_a_link_to_another_directory_is_seen_by_polling() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("real.yaml");
    write(&target, &["a"]);
    let link = |at: &Path| symlink(&target, at.join("endpoints.yaml")).unwrap();
    let mut fixture = Fixture::new(link).await;
    assert_eq!(fixture.listed().await, ["a"]);
    for names in [["b"], ["c"]] {
        write(&target, &names);
        assert_eq!(fixture.listed().await, names);
    }
}

#[tokio::test]
async fn a_broken_edit_is_said_and_the_last_good_list_stays() {
    let mut fixture = Fixture::new(|at| write(&at.join("endpoints.yaml"), &["a"])).await;
    assert_eq!(fixture.listed().await, ["a"]);
    std::fs::write(fixture.path("endpoints.yaml"), "endpoints: [").unwrap();
    fixture.eventually(Metrics::is_refused).await;
    std::fs::remove_file(fixture.path("endpoints.yaml")).unwrap();
    fixture.eventually(|metrics| metrics.refusals.get() == 2).await;
    assert!(fixture.lists.is_empty());
    assert_eq!(fixture.arguments.in_force.get().endpoints.len(), 1);
    write(&fixture.path("endpoints.yaml"), &["a", "b"]);
    assert_eq!(fixture.listed().await, ["a", "b"]);
    assert!(!fixture.arguments.metrics.is_refused());
}

#[tokio::test]
async fn whoever_asks_hears_the_list_again() {
    let mut fixture = Fixture::new(|at| write(&at.join("endpoints.yaml"), &["a"])).await;
    assert_eq!(fixture.listed().await, ["a"]);
    let asks = Intake::new(1);
    asks.rewire(fixture.actor.clone());
    asks.offer(Relist).unwrap();
    assert_eq!(fixture.listed().await, ["a"]);
}

#[tokio::test]
async fn a_restarted_actor_lists_what_is_in_force_and_sees_what_it_missed() {
    let mut fixture = Fixture::new(|at| write(&at.join("endpoints.yaml"), &["a"])).await;
    assert_eq!(fixture.listed().await, ["a"]);
    fixture.actor.kill_and_wait(None).await.unwrap();
    write(&fixture.path("endpoints.yaml"), &["b"]);
    let arguments = fixture.arguments.clone();
    let (_actor, _) = Actor::spawn(None, FileDiscovery, arguments).await.unwrap();
    assert_eq!(fixture.listed().await, ["a"]);
    assert_eq!(fixture.listed().await, ["b"]);
}
