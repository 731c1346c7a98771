//! Claims about child processes.

use std::os::unix::process::ExitStatusExt as _;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Whether a process of this id runs: a zombie does not.
fn runs(id: u32) -> bool {
    let stat = read(Path::new(&format!("/proc/{id}/stat")));
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}

#[tokio::test]
async fn both_outputs_are_kept() {
    let logs = tempfile::tempdir().unwrap();
    let mut process =
        Process::start("talk", shell("echo to out; echo to err >&2; exit 3"), logs.path()).unwrap();
    assert_eq!(process.exited(SOON).await.unwrap().code(), Some(3));
    assert_eq!(process.stdout(), "to out\n");
    assert_eq!(process.last_words(5), "to err");
}

#[tokio::test]
async fn a_dropped_process_is_gone() {
    let logs = tempfile::tempdir().unwrap();
    let process = Process::start("sleep", shell("exec sleep 600"), logs.path()).unwrap();
    let id = process.id();
    assert!(runs(id));
    drop(process);
    assert!(!runs(id));
}

#[tokio::test]
async fn a_paused_process_ends_only_after_it_is_resumed() {
    let logs = tempfile::tempdir().unwrap();
    let mut process = Process::start("sleep", shell("exec sleep 600"), logs.path()).unwrap();
    process.pause().unwrap();
    process.terminate().unwrap();
    assert_eq!(process.exit_status().unwrap(), None);
    process.resume().unwrap();
    assert_eq!(process.exited(SOON).await.unwrap().signal(), Some(Signal::TERM.as_raw()));
}

#[tokio::test]
async fn a_child_outlives_the_thread_that_asked_for_it() {
    let logs = tempfile::tempdir().unwrap();
    let path = logs.path().to_owned();
    let ask = move || Process::start("sleep", shell("exec sleep 600"), &path).unwrap();
    let mut process = std::thread::spawn(ask).join().unwrap();
    // The kernel signals at the thread's end, which `join` has seen.
    assert_eq!(process.exit_status().unwrap(), None);
    assert!(runs(process.id()));
}

/// The child's child is started by this test program run again, so that the kernel and not a
/// destructor has to end it.
#[tokio::test]
async fn a_child_dies_when_its_parent_is_killed() {
    const LOGS: &str = "CONVOY_TEST_LOGS";
    if let Some(logs) = std::env::var_os(LOGS) {
        let child = Process::start("orphan", shell("exec sleep 600"), Path::new(&logs)).unwrap();
        fs::write(Path::new(&logs).join("id"), format!("{}\n", child.id())).unwrap();
        std::future::pending::<()>().await;
    }
    let logs = tempfile::tempdir().unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "processes::tests::a_child_dies_when_its_parent_is_killed"]);
    again.env(LOGS, logs.path());
    let mut parent = Process::start("parent", again, logs.path()).unwrap();
    let id = eventually("the orphan's id", SOON, async || {
        let text = fs::read_to_string(logs.path().join("id")).ok()?;
        text.strip_suffix('\n')?.parse::<u32>().ok()
    });
    let id = id.await.unwrap();
    assert!(runs(id));
    parent.kill().unwrap();
    eventually("the orphan's end", SOON, async || (!runs(id)).then_some(())).await.unwrap();
}

#[tokio::test]
async fn what_never_happens_is_named() {
    let never = eventually("rain", Duration::ZERO, async || None::<()>).await;
    let expected = NeverHappened { what: "rain".into(), within: Duration::ZERO };
    assert_eq!(never, Err(expected));
}
