//! What `epp` says in its log, from its start to its end, and of itself on the command line.

use std::process::Command;
use std::time::Duration;

use convoy_tests::binaries;
use convoy_tests::epp::{Epp, Launch, list_endpoints};
use convoy_tests::processes::eventually;
use convoy_tests::scratch::Scratch;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// The lines whose message begins with `message`.
fn said(log: &str, message: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["msg"].as_str().is_some_and(|said| said.starts_with(message)))
        .collect()
}

#[tokio::test]
async fn a_log_tells_what_serves_who_came_and_each_step_of_the_end() {
    let scratch = Scratch::new("log").unwrap();
    let launch = Launch {
        name: "epp".to_owned(),
        directory: scratch.path().to_owned(),
        flags: vec!["--drain-timeout=0s".to_owned()],
    };
    let mut epp = Epp::start(&launch).await.unwrap();
    let process = epp.process();
    let log = process.stdout() + &process.stderr();
    let serving = &said(&log, "serving")[0];
    assert_eq!((&serving["pool"], &serving["namespace"]), (&"demo".into(), &"default".into()));
    let scorers = "queue-scorer*2, kv-cache-utilization-scorer*2, prefix-cache-scorer*3";
    assert_eq!(serving["scorers"], scorers);
    assert_eq!(said(&log, "the pool is empty").len(), 1, "{log}");

    list_endpoints(scratch.path(), &["127.0.0.1:9".parse().unwrap()]).unwrap();
    let read = eventually("the list that was read", SOON, async || {
        let log = process.stdout() + &process.stderr();
        let is_said = !said(&log, "the pool has ready endpoints again").is_empty();
        said(&log, "endpoints file read").pop().filter(|_| is_said)
    });
    assert_eq!(read.await.unwrap()["added"], "default/server-1 (127.0.0.1:9)");

    process.terminate().unwrap();
    process.exited(SOON).await.unwrap();
    let log = process.stdout() + &process.stderr();
    let step = &said(&log, "asking gateways to leave")[0];
    for field in ["since_signal_ms", "connections", "streams"] {
        assert!(step[field].is_u64(), "{field}: {step}");
    }
    assert_eq!(said(&log, "told to stop; serving on").len(), 1, "{log}");
    assert!(!log.contains("Seen"), "{log}");
}

#[test]
fn epp_tells_its_version() {
    let output = Command::new(binaries::epp().unwrap()).arg("--version").output().unwrap();
    assert!(output.status.success());
    let version = String::from_utf8(output.stdout).unwrap();
    assert!(version.starts_with(concat!("epp ", env!("CARGO_PKG_VERSION"))), "{version}");
}
