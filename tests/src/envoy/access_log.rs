//! Envoy's access log: one JSON object a line, one line a request, written when the request ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::{fs, io};

use serde::Deserialize;
use serde_json::{Value, json};

use super::bootstrap::typed;

/// How one request went, as Envoy saw it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Entry {
    pub method: Option<String>,
    pub path: Option<String>,
    /// The `x-request-id` that Envoy gave the request or took from it.
    pub request_id: Option<String>,
    /// The status sent to the client; 0 if it left before there was one.
    pub code: u16,
    /// Envoy's response flags, such as `UH` or `DC`.
    pub flags: Option<String>,
    /// Why the code is what it is, such as `via_upstream` or `ext_proc_error_gRPC_error_14{...}`.
    pub details: Option<String>,
    /// The endpoint that the picker named.
    pub picked: Option<String>,
    /// What each endpoint scored, if the picker was told to say so.
    pub scores: Option<BTreeMap<String, f64>>,
    /// The endpoint that Envoy chose.
    pub served: Option<String>,
    /// The model server whose answer was passed on.
    pub upstream: Option<SocketAddr>,
    /// How many model servers were tried.
    pub attempts: Option<u32>,
    /// From the first byte of the request to the last of the answer, in milliseconds.
    pub ms: u64,
    /// From the first byte of the request to the first of the answer, in milliseconds.
    pub first_byte_ms: Option<u64>,
    /// Bytes of the request's body.
    pub received_bytes: u64,
    /// Bytes of the answer's body.
    pub sent_bytes: u64,
}

impl Entry {
    /// Whether the picker, not the model server, is why the request failed.
    pub fn picker_failed(&self) -> bool {
        self.details.as_deref().is_some_and(|details| details.starts_with("ext_proc_error"))
    }
}

/// The logger that writes what [`Entry`] reads.
pub(super) fn sink(path: &Path) -> Value {
    let format = json!({
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "picked": "%DYNAMIC_METADATA(envoy.lb:x-gateway-destination-endpoint)%",
        "scores": "%DYNAMIC_METADATA(envoy.lb:x-gateway-destination-endpoint-scores)%",
        "served": "%DYNAMIC_METADATA(envoy.lb:x-gateway-destination-endpoint-served)%",
        "upstream": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "ms": "%DURATION%",
        "first_byte_ms": "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ms)%",
        "received_bytes": "%BYTES_RECEIVED%",
        "sent_bytes": "%BYTES_SENT%"
    });
    let sink = json!({"path": path, "log_format": {"json_format": format}});
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", sink)
    })
}

/// Reads the lines that are complete.
pub(super) fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // Envoy makes the file when it starts to listen.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let complete = text.rfind('\n').map_or("", |end| text.get(..=end).unwrap_or(""));
    complete.lines().map(|line| serde_json::from_str(line).map_err(io::Error::from)).collect()
}
