//! Claims about `cargo demo`.

use std::fs;
use std::process::Command;
use std::time::Duration;

use convoy_tests::processes::{Process, eventually};
use convoy_tests::scratch::Scratch;
use convoy_tests::{binaries, envoy};

/// How long a demo may take on a machine that runs other tests beside it. Alone it takes 15 seconds.
const ENDS_WITHIN: Duration = Duration::from_mins(4);

/// Starts a demo. What it needs is built and fetched before, so that its time is its own.
fn demo(name: &str, arguments: &[&str], scratch: &Scratch) -> Process {
    binaries::epp().unwrap();
    envoy::binary().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(arguments);
    Process::start(name, command, scratch.path()).unwrap()
}

/// The processes whose parent is `parent`, by id.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        // The parent is the second field after the program's name, which stands in brackets.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let fields = stat.rsplit_once(')')?.1;
        (fields.split_ascii_whitespace().nth(1)?.parse() == Ok(parent)).then_some(id)
    });
    processes.collect()
}

#[tokio::test]
async fn two_demos_at_once_both_end_well() {
    let scratch = Scratch::new("demos").unwrap();
    let mut demos =
        [demo("one", &["--once"], &scratch), demo("two", &["--once", "--seed", "2"], &scratch)];
    for demo in &mut demos {
        let status = demo.exited(ENDS_WITHIN).await.unwrap();
        let output = demo.stdout();
        assert!(status.success(), "{status}\n{output}\n{}", demo.stderr());
        assert!(output.contains("prompt tokens found cached"), "{output}");
        assert!(!output.contains('\x1b'), "a pipe gets no colours");
    }
}

#[tokio::test]
async fn a_killed_demo_leaves_no_process_behind() {
    let scratch = Scratch::new("demos").unwrap();
    let mut demo = demo("killed", &[], &scratch);
    let up = eventually("a demo that shows requests", ENDS_WITHIN, async || {
        demo.stdout().contains("turn 1").then_some(())
    });
    up.await.unwrap();
    let parts = children(demo.id());
    // Two Envoys, a picker, and the process that plays the model servers.
    assert_eq!(parts.len(), 4, "{parts:?}");
    demo.kill().unwrap();
    let gone = eventually("the end of the demo's parts", ENDS_WITHIN, async || {
        // A dead process may stay visible until its new parent, if there is one, looks at it.
        let runs = |id: &u32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
        };
        (!parts.iter().any(runs)).then_some(())
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn a_demo_whose_terminal_closes_leaves_no_files_behind() {
    let scratch = Scratch::new("demos").unwrap();
    let mut demo = demo("closed", &[], &scratch);
    let up = eventually("a demo that shows requests", ENDS_WITHIN, async || {
        demo.stdout().contains("turn 1").then_some(())
    });
    up.await.unwrap();
    let of_demo = format!("-{}-", demo.id());
    let files = || {
        let entries = fs::read_dir(binaries::target_directory().join("tmp")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(&of_demo)).count()
    };
    // The demo's own, and one for each Envoy.
    assert_eq!(files(), 3);
    demo.hang_up().unwrap();
    demo.exited(ENDS_WITHIN).await.unwrap();
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn an_unknown_argument_is_named() {
    let scratch = Scratch::new("demos").unwrap();
    let mut demo = demo("wrong", &["--twice"], &scratch);
    let status = demo.exited(ENDS_WITHIN).await.unwrap();
    assert!(!status.success());
    assert!(demo.stderr().contains("--twice"), "{}", demo.stderr());
}
