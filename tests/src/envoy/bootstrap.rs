//! Envoy's start-up configuration, equal in effect to what Istio generates for a Gateway, an
//! `HTTPRoute` and an `InferencePool`.
//!
//! Istio sends its configuration over xDS; here listener and clusters are static and the endpoints
//! come from files, which Envoy watches. Left out, because upstream Envoy lacks them and nothing
//! here depends on them: Istio's metadata exchange, ALPN and statistics filters, and localities.

mod clusters;
mod listener;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The cluster of picker replicas, by the name Istio gives it.
pub const PICKER_CLUSTER: &str = "outbound|9002||epp.ns.svc.cluster.local";
/// The cluster of model servers, by the name Istio gives it.
pub const MODEL_SERVER_CLUSTER: &str = "outbound|54321||pool-ip-01234567.ns.svc.cluster.local";

/// What an operator can set about the gateway. The default is what Istio does when nobody has set
/// anything but the TLS that the picker's chart brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// How Envoy speaks to the picker.
    pub transport: Transport,
    /// Which `:authority` Envoy's calls to the picker carry.
    pub authority: Authority,
    /// How Envoy notices that a picker replica is dead.
    pub detection: Detection,
    /// What becomes of a request when the picker fails.
    pub failure_mode: FailureMode,
    /// How request bodies travel to the picker.
    pub request_body: BodyMode,
    /// How response bodies travel to the picker.
    pub response_body: BodyMode,
    /// Which `ext_proc` filters the listener has.
    pub filters: Filters,
    /// Who chooses the model server.
    pub routing: Routing,
    /// Whether another model server is tried when one cannot be reached.
    pub retry: Retry,
}

/// How Envoy speaks to the picker. HTTP/2 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// TLS that accepts any certificate, as `DestinationRule`'s `insecureSkipVerify`.
    #[default]
    Tls,
    Plaintext,
}

/// Which `:authority` Envoy's calls to the picker carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authority {
    /// The cluster's name, as under Istio. It has bars in it, which no URI may have: a server
    /// that reads it as one, as the `h2` crate does, resets every call.
    #[default]
    ClusterName,
    /// A plain name, for pickers built on such a server.
    Plain,
}

/// How Envoy notices that a picker replica is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detection {
    /// Istio's defaults: not at all. Endpoint discovery has to.
    #[default]
    Discovery,
    /// The `DestinationRule` that Convoy ships: outlier detection, HTTP/2 keepalive and a short
    /// connect timeout.
    Tuned,
}

/// What becomes of a request when the picker fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureMode {
    /// It fails.
    #[default]
    Close,
    /// It goes to some model server, if the picker could not be reached at all.
    Open,
}

/// How a body travels to the picker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyMode {
    /// In chunks, both ways at once; what Istio uses.
    #[default]
    FullDuplexStreamed,
    /// Whole, in one message.
    Buffered,
    /// In chunks, each answered before the next.
    Streamed,
    /// Not at all.
    None,
}

/// Which `ext_proc` filters the listener has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filters {
    #[default]
    One,
    /// A second one of the same name. The route's override goes by name, so each request opens two
    /// streams to the picker.
    TwoOfOneName,
}

/// Who chooses the model server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// The picker.
    #[default]
    Picker,
    /// Nobody: Envoy sends requests round robin and never calls the picker.
    RoundRobin,
}

/// Whether another model server is tried when one cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Twice, as under Istio. Envoy 1.40 then sends a body twice that ends in trailers and
    /// travelled through the picker in full duplex.
    #[default]
    Twice,
    /// Never.
    Never,
}

/// The files that a running Envoy reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// Endpoints of [`PICKER_CLUSTER`].
    pub(super) pickers: PathBuf,
    /// Endpoints of [`MODEL_SERVER_CLUSTER`].
    pub(super) model_servers: PathBuf,
    pub(super) access_log: PathBuf,
}

impl Files {
    pub(super) fn below(directory: &Path) -> Self {
        Self {
            pickers: directory.join("pickers.json"),
            model_servers: directory.join("model-servers.json"),
            access_log: directory.join("access.log"),
        }
    }
}

impl Bootstrap {
    /// The whole configuration. Listener and admin take any free port of 127.0.0.1.
    pub(super) fn render(self, files: &Files) -> Value {
        json!({
            // Needed as soon as a cluster's endpoints are discovered, be it from a file.
            "node": {"id": "router~127.0.0.1~gw.ns~ns.svc.cluster.local", "cluster": "gw.ns"},
            "admin": {"address": any_port()},
            "layered_runtime": {"layers": [
                {
                    "name": "global config",
                    "static_layer": {"overload.global_downstream_max_connections": "2147483647"}
                },
                {"name": "admin", "admin_layer": {}}
            ]},
            "static_resources": {
                "listeners": [listener::render(self, files)],
                "clusters": [
                    clusters::pickers(self, &files.pickers),
                    clusters::model_servers(&files.model_servers)
                ]
            }
        })
    }
}

/// An extension: its name, its message's type, and the message's fields.
fn extension(name: &str, message: &str, fields: Value) -> Value {
    json!({"name": name, "typed_config": typed(message, fields)})
}

/// A message that says its type, as Envoy wants it wherever a type is open.
pub(super) fn typed(message: &str, fields: Value) -> Value {
    with(fields, "@type", json!(format!("type.googleapis.com/{message}")))
}

/// The object `fields` with one more.
fn with(mut fields: Value, name: &str, value: Value) -> Value {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
    fields
}

fn any_port() -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}})
}

#[cfg(test)]
mod tests;
