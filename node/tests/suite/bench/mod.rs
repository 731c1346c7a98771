//! The load generator against a picker that is right, and against pickers that are wrong in one way each.

mod picker;

use std::ffi::OsString;
use std::net::SocketAddr;

use convoy_node::bench::{self, Asked, BenchError, Report};
use convoy_node::logging;
use picker::{Manner, Picker};
use serde_json::Value;

/// A short load of small requests; what it finds does not depend on how long it lasts.
const LOAD: &str = "--rate 200 --duration 300ms --warm-up 100ms --input-tokens 2000 --output-tokens 5 --chunk-bytes 1KiB";

async fn bench(address: SocketAddr, flags: &str) -> Result<Report, BenchError> {
    let flags: Vec<OsString> =
        format!("--target {address} {flags}").split_whitespace().map(OsString::from).collect();
    let Asked::Run { settings, .. } = bench::read(flags).unwrap() else {
        unreachable!("not --help")
    };
    tokio::task::spawn_blocking(move || bench::run(*settings)).await.unwrap()
}

/// What a plaintext run against a picker of this manner finds, as JSON.
async fn found(manner: Manner, flags: &str) -> Value {
    let picker = Picker::start(manner, false).await;
    let report = bench(picker.address, &format!("{LOAD} --plaintext {flags}")).await.unwrap();
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    let requests = &json["requests"];
    assert_eq!(
        number(&requests["completed"])
            + number(&requests["failed"])
            + number(&requests["not_sent"]),
        number(&requests["due"]),
        "{json}"
    );
    let wrong = json["errors"].as_object().unwrap().values();
    assert_eq!(wrong.map(|kind| number(&kind["count"])).sum::<u64>(), number(&requests["failed"]));
    assert_eq!(report.is_good(), requests["failed"] == 0 && requests["not_sent"] == 0, "{json}");
    json
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Asserts that every request of a picker of this manner fails in one way.
async fn all_fail(manner: Manner, flags: &str, kind: &str) {
    let json = found(manner, flags).await;
    assert_eq!(json["requests"]["completed"], 0, "{json}");
    let errors = json["errors"].as_object().unwrap();
    assert_eq!(errors.keys().collect::<Vec<_>>(), [kind]);
    assert!(!errors[kind]["first"].as_str().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picker_that_is_right_completes_every_request() {
    let json = found(Manner::Right, "").await;
    let requests = &json["requests"];
    assert!((20..120).contains(&number(&requests["due"])), "{json}");
    assert_eq!(requests["completed"], requests["due"]);
    assert_eq!(requests["unobserved"], 0);
    assert_eq!(json["picks"]["10.0.0.1:8000"], requests["completed"]);
    // Headers, 9 chunks; headers, 5 tokens, the usage, the end.
    assert_eq!(number(&json["messages"]["sent"]), 18 * number(&requests["completed"]));
    for time in ["pick", "pick_since_due", "exchange", "send_delay"] {
        let time = &json["latency_us"][time];
        assert_eq!(time["count"], requests["due"]);
        let order = ["p50", "p90", "p99", "p99_9", "max"].map(|at| time[at].as_f64().unwrap());
        assert!(order.is_sorted(), "{time}");
    }
    assert!(json["latency_us"]["token"].is_null(), "tokens were not spaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_without_asking_who_it_is() {
    let picker = Picker::start(Manner::Right, true).await;
    let report = bench(picker.address, LOAD).await.unwrap();
    assert!(report.is_good(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_body_and_one_at_a_time_are_served_too() {
    for flags in ["--profile bodyless", "--profile bodyless --observation any"] {
        let picker = Picker::start(Manner::Right, false).await;
        let flags = format!("--concurrency 3 --duration 100ms --warm-up 0 --plaintext {flags}");
        let report = bench(picker.address, &flags).await.unwrap();
        assert!(report.is_good(), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_keep_their_distance_and_their_way_back_is_measured() {
    let json = found(Manner::Right, "--token-gap 10ms --warm-up 100ms").await;
    let completed = number(&json["requests"]["completed"]);
    assert_eq!(number(&json["latency_us"]["token"]["count"]), 5 * completed);
    assert!(40_000.0 <= json["latency_us"]["exchange"]["p50"].as_f64().unwrap(), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picker_may_leave_after_the_request_where_that_is_expected() {
    for expected in ["off", "any"] {
        let json = found(Manner::Leaves, &format!("--observation {expected}")).await;
        assert_eq!(json["requests"]["failed"], 0, "{json}");
        assert_eq!(json["requests"]["unobserved"], json["requests"]["completed"]);
    }
    all_fail(Manner::Leaves, "", "left_before_answer").await;
    all_fail(Manner::Right, "--observation off", "stayed").await;
    let json = found(Manner::Right, "--observation any").await;
    assert_eq!(
        (&json["requests"]["failed"], &json["requests"]["unobserved"]),
        (&0.into(), &0.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_be_wrong_is_counted_under_its_name() {
    let rows = [
        (Manner::ChangesRequest, "wrong_echo"),
        (Manner::SwapsAnswer, "wrong_echo"),
        (Manner::NoMetadata, "no_pick_in_metadata"),
        (Manner::Fails(tonic::Code::ResourceExhausted), "grpc_status_8"),
        (Manner::LeavesEarly, "left_early"),
        (Manner::Refuses, "refused_503"),
    ];
    for (manner, kind) in rows {
        all_fail(manner, "", kind).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picker_that_hangs_is_waited_for_no_longer_than_asked() {
    all_fail(Manner::Hangs, "--timeout 100ms", "timed_out").await;
    let json = found(Manner::Hangs, "--timeout 300ms --in-flight-max 4").await;
    assert!(0 < number(&json["requests"]["not_sent"]), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_measured_within_the_window() {
    let own = std::process::id();
    let json = found(Manner::Right, &format!("--pid {own} --idle 50ms")).await;
    let process = &json["processes"][0];
    assert_eq!(process["pid"], own);
    assert_eq!(json["generator"]["pid"], own);
    for field in ["cpu_us_per_request", "cores", "idle_cores"] {
        assert!(0.0 < process[field].as_f64().unwrap(), "{field} in {json}");
    }
    assert!(number(&process["rss_bytes"]) <= number(&process["rss_peak_ever_bytes"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_used_is_named_with_what_may_help() {
    let plain = Picker::start(Manner::Right, false).await;
    let tls = Picker::start(Manner::Right, true).await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let rows = [
        (nobody, "", "cannot reach"),
        (plain.address, "", "add --plaintext"),
        (tls.address, "--plaintext", "leave out --plaintext"),
    ];
    for (address, flags, expected) in rows {
        let error = bench(address, &format!("{LOAD} {flags}")).await.unwrap_err();
        let text = logging::chain(&error);
        assert!(text.contains(expected) && text.contains(&address.to_string()), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_picker_gives_up_is_made_anew() {
    let json = found(Manner::Renews, "").await;
    assert_eq!(json["requests"]["failed"], 0, "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picker_that_goes_away_fails_what_comes_after_and_the_run_ends() {
    let json = found(Manner::GoesAway, "").await;
    assert!(0 < number(&json["requests"]["completed"]), "{json}");
    assert!(0 < number(&json["errors"]["connect"]["count"]), "{json}");
}
