//! Claims about a picker whose request path stands still. Envoy would wait for it as long as its
//! message timeout allows, so the picker's own watchdog has to end it.

mod unread_log;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use convoy_proto::base::{HeaderMap, HeaderValue};
use convoy_proto::ext_proc::external_processor_client::ExternalProcessorClient;
use convoy_proto::ext_proc::processing_request::Request as Asked;
use convoy_proto::ext_proc::processing_response::Response as Told;
use convoy_proto::ext_proc::{HttpBody, HttpHeaders, ProcessingRequest};
use convoy_tests::binaries;
use convoy_tests::epp::{self, Epp};
use convoy_tests::processes::eventually;
use convoy_tests::scratch::Scratch;
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::tokio_stream;

/// How soon a picker that hangs must be gone: gateways wait for it meanwhile.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// How long anything else may take. It takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the process exits with when its request path hangs.
const HUNG: i32 = 70;

/// Starts the picker that [`blockable`] orders.
async fn started(files: &Path) -> Epp {
    Epp::start_as("epp", blockable(files), files).await.unwrap()
}

/// A picker of one endpoint, which blocks the thread that serves a request for as long as the
/// request's header `test-epp-block` says.
fn blockable(files: &Path) -> Command {
    epp::list_endpoints(files, &[SocketAddr::from(([192, 168, 1, 2], 8000))]).unwrap();
    let plugins = json!([
        { "type": "blocking-testing-filter", "parameters": { "blocksAtMost": "1m" } },
        { "type": "random-picker" },
        { "type": "file-discovery", "parameters": { "path": files.join("endpoints.yaml") } },
    ]);
    let configuration = json!({
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": plugins,
        "dataLayer": { "discovery": { "pluginRef": "file-discovery" } },
    });
    let path = files.join("endpoint-picker-config.yaml");
    // JSON is YAML.
    std::fs::write(&path, configuration.to_string()).unwrap();
    let mut command = Command::new(binaries::epp().unwrap());
    command
        .args(["--pool-name", "pool", "--zap-encoder", "json", "--secure-serving=false"])
        .args(["--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0"])
        .arg("--config-file")
        .arg(path);
    command
}

/// Asks for a pick that blocks its thread for so long; true when somebody was picked.
async fn ask(picker: SocketAddr, block: &str) -> Result<bool, Status> {
    let header = |(key, value): (&str, &str)| HeaderValue {
        key: key.to_owned(),
        raw_value: value.to_owned().into(),
        ..HeaderValue::default()
    };
    let headers = [(":path", "/v1/completions"), ("test-epp-block", block)].map(header);
    let headers = HttpHeaders {
        headers: Some(HeaderMap { headers: headers.into() }),
        ..HttpHeaders::default()
    };
    let body = br#"{"model":"m","prompt":"a"}"#.as_slice().into();
    let body = HttpBody { body, end_of_stream: true, ..HttpBody::default() };
    let messages = [Asked::RequestHeaders(headers), Asked::RequestBody(body)]
        .map(|asked| ProcessingRequest { request: Some(asked), ..ProcessingRequest::default() });
    let gone = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    let client = ExternalProcessorClient::connect(format!("http://{picker}"));
    let answers = client.await.map_err(gone)?.process(tokio_stream::iter(messages)).await?;
    let answer = answers.into_inner().message().await?;
    Ok(answer.is_some_and(|answer| matches!(answer.response, Some(Told::RequestHeaders(_)))))
}

#[tokio::test]
async fn a_picker_that_hangs_ends_itself_within_two_seconds_and_says_why() {
    let files = Scratch::new("watchdog").unwrap();
    let mut picker = started(files.path()).await;
    let extproc = picker.ports().extproc;
    let asked_at = Instant::now();
    let ended = async {
        let status = picker.process().exited(PATIENCE).await.unwrap();
        (status, asked_at.elapsed())
    };
    let (answer, (status, after)) = tokio::join!(ask(extproc, "1m"), ended);
    answer.unwrap_err();
    let log = picker.process().stderr();
    assert_eq!(status.code(), Some(HUNG), "{status}: {log}");
    assert!(after <= GONE_WITHIN, "it ended after {after:?}: {log}");
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let why = "the request path has not moved for a second; the process ends";
    assert_eq!((&last["level"], &last["msg"]), (&json!("error"), &json!(why)));
}

#[tokio::test]
async fn a_picker_that_is_held_up_for_less_than_a_second_goes_on() {
    let files = Scratch::new("watchdog").unwrap();
    let mut picker = started(files.path()).await;
    for block in ["300ms", "300ms", "300ms", "300ms", "0s"] {
        assert!(ask(picker.ports().extproc, block).await.unwrap(), "{block}");
    }
    assert_eq!(picker.process().exit_status().unwrap(), None);
}

/// A container that is frozen, or a laptop that sleeps, stops the watchdog with all that it watches.
#[tokio::test]
async fn a_picker_that_was_stopped_whole_is_not_taken_for_one_that_hangs() {
    let files = Scratch::new("watchdog").unwrap();
    let mut picker = started(files.path()).await;
    assert!(ask(picker.ports().extproc, "0s").await.unwrap());
    picker.process().pause().unwrap();
    // Three seconds without a beat, by any clock but the watchdog's own running time, are three
    // times what it allows. That they pass is what is claimed about, so they have to.
    let stopped_at = Instant::now();
    let passed = async || (Duration::from_secs(3) <= stopped_at.elapsed()).then_some(());
    eventually("three seconds to pass", PATIENCE, passed).await.unwrap();
    picker.process().resume().unwrap();
    // The watchdog looks every 50 ms, and would end the process at its first look.
    let lived_on = picker.process().exited(Duration::from_millis(500)).await;
    lived_on.expect_err("a process that lives on");
    assert!(ask(picker.ports().extproc, "0s").await.unwrap());
}
