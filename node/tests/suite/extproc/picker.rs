//! The real `epp`, without TLS, on free ports, with endpoints from a file.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, ExitStatus},
    time::Duration,
};

use convoy_tests::{
    epp::{Epp, Ports, Readiness},
    processes::eventually,
    scratch::Scratch,
};
use serde_json::{Value, json};

use super::gateway::Gateway;

/// How long anything may take that should happen at once.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// The only endpoint of most tests. Nobody listens there: a pick needs no answer from it.
pub(super) const ENDPOINT: &str = "192.168.1.2:8000";

/// The list of endpoints, which pickers watch.
const ENDPOINTS_FILE: &str = "endpoints.yaml";

/// How a picker is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup<'a> {
    /// `ip:port` of each.
    pub(super) endpoints: &'a [&'a str],
    /// Where the page of each endpoint's load is.
    pub(super) metrics_host: &'a str,
    /// Types of the plugins beside `file-discovery`, in one profile.
    pub(super) plugins: &'a [&'a str],
    /// Parameters of plugins, by type, as JSON.
    pub(super) parameters: &'a [(&'a str, &'a str)],
    /// Types of the parsers; if none, the usual ones.
    pub(super) parsers: &'a [&'a str],
    /// Whether the endpoints are ready.
    pub(super) ready: bool,
    pub(super) flags: &'a [&'a str],
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            endpoints: &[ENDPOINT],
            // Nobody listens there, and one learns that at once.
            metrics_host: "127.0.0.1:1",
            plugins: &["queue-scorer", "kv-cache-utilization-scorer", "prefix-cache-scorer"],
            parameters: &[],
            parsers: &[],
            ready: true,
            flags: &[],
        }
    }
}

/// A running picker. It is killed when dropped, and when this process dies.
pub(super) struct Picker {
    epp: Epp,
    files: Scratch,
}

impl Picker {
    pub(super) async fn start(setup: Setup<'_>) -> Self {
        let files = Scratch::new("extproc").unwrap();
        let command = command(setup, files.path());
        let epp = Epp::start_as("epp", command, files.path()).await;
        let epp = epp.unwrap_or_else(|error| unreachable!("{error}"));
        Self { epp, files }
    }

    /// A picker of one endpoint, started with `flags`.
    pub(super) async fn with_flags(flags: &[&str]) -> Self {
        Self::start(Setup { flags, ..Setup::default() }).await
    }

    pub(super) fn ports(&self) -> Ports {
        self.epp.ports()
    }

    pub(super) async fn readiness(&self) -> Readiness {
        self.epp.readiness().await
    }

    /// Tells it to stop, as Kubernetes does.
    pub(super) fn terminate(&mut self) {
        self.epp.process().terminate().unwrap();
    }

    /// Waits until it has ended by itself.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        self.epp.process().exited(SOON).await.unwrap()
    }

    /// A new connection to it.
    pub(super) async fn gateway(&self) -> Gateway {
        Gateway::to(self.epp.ports().extproc).await
    }

    /// Makes `endpoint`, in this incarnation, the only one.
    pub(super) fn list(&self, endpoint: &str, incarnation: &str) {
        let setup = Setup { endpoints: &[endpoint], metrics_host: endpoint, ..Setup::default() };
        let mut list = list(setup);
        list["endpoints"][0]["incarnation"] = incarnation.into();
        let path = self.files.path().join(ENDPOINTS_FILE);
        let part = path.with_extension("part");
        fs::write(&part, list.to_string()).unwrap();
        fs::rename(part, path).unwrap();
    }

    pub(super) async fn metrics_page(&self) -> String {
        self.epp.metrics_page().await.expect("a metrics page")
    }

    /// The sum of a metric's samples whose labels hold each of `labels`.
    pub(super) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        sum(&self.metrics_page().await, name, labels)
    }

    /// Waits until a metric is `expected`.
    pub(super) async fn metric_becomes(&self, name: &str, labels: &[&str], expected: f64) {
        let mut found = f64::NAN;
        let waited = eventually(name, SOON, async || {
            found = self.metric(name, labels).await;
            (found.to_bits() == expected.to_bits()).then_some(())
        });
        let happened = waited.await.is_ok();
        assert!(happened, "{name} {labels:?} is {found}, not {expected}");
    }
}

/// The command that starts a picker; its files are in `directory`.
pub(super) fn command(setup: Setup<'_>, directory: &Path) -> Command {
    let endpoints = directory.join(ENDPOINTS_FILE);
    fs::write(&endpoints, list(setup).to_string()).unwrap();
    let configuration = directory.join("endpoint-picker-config.yaml");
    fs::write(&configuration, configured(setup, &endpoints).to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_epp"));
    command
        .args(["--pool-name", "pool", "--zap-encoder", "json", "--secure-serving=false"])
        .args(["--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0"])
        .arg("--config-file")
        .arg(configuration)
        .args(setup.flags);
    command
}

/// The file of endpoints; JSON is YAML.
fn list(setup: Setup<'_>) -> Value {
    let endpoint = |(number, address): (usize, &&str)| {
        let address: SocketAddr = address.parse().unwrap();
        json!({
            "name": format!("pod-{number}"),
            "address": address.ip(),
            "port": address.port().to_string(),
            "metricsHost": setup.metrics_host,
            "ready": setup.ready,
        })
    };
    json!({ "endpoints": setup.endpoints.iter().enumerate().map(endpoint).collect::<Vec<_>>() })
}

fn configured(setup: Setup<'_>, endpoints: &Path) -> Value {
    let discovery =
        json!({ "type": "file-discovery", "parameters": { "path": endpoints, "watchFile": true } });
    let parameters = |kind: &str| -> Option<Value> {
        let (_, written) = setup.parameters.iter().find(|(of, _)| *of == kind)?;
        Some(serde_json::from_str(written).unwrap())
    };
    let plugins =
        setup.plugins.iter().map(|kind| json!({ "type": kind, "parameters": parameters(kind) }));
    let parsers = setup.parsers.iter().map(|kind| json!({ "pluginRef": kind }));
    json!({
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": plugins.chain([discovery]).collect::<Vec<_>>(),
        "requestHandler": { "parsers": parsers.collect::<Vec<_>>() },
        "dataLayer": { "discovery": { "pluginRef": "file-discovery" } },
    })
}

fn sum(page: &str, name: &str, labels: &[&str]) -> f64 {
    let samples = page.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, rest) = series.split_once('{').unwrap_or((series, ""));
        let is_asked = found == name && labels.iter().all(|label| rest.contains(label));
        is_asked.then(|| value.parse::<f64>().unwrap())
    });
    samples.sum()
}

#[test]
fn samples_are_summed_by_name_and_labels() {
    let page = "# TYPE a counter\na_total{b=\"c\",d=\"e\"} 1\na_total{b=\"c\"} 2\naa_total 4\n";
    let check = |name, labels: &[&str], expected: f64| {
        assert!((sum(page, name, labels) - expected).abs() < 1e-9, "{name} {labels:?}");
    };
    check("a_total", &[], 3.0);
    check("a_total", &["d=\"e\""], 1.0);
    check("aa_total", &[], 4.0);
    check("b_total", &[], 0.0);
}
