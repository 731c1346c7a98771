//! Names of headers and metadata keys that gateways, clients and pickers agree on.

/// The pick, as a request header and in metadata; where Envoy sent the request; among which
/// addresses to pick.
pub(super) use convoy_proto::hot::{
    DESTINATION, DESTINATION_SERVED as SERVED, DESTINATION_SUBSET as SUBSET,
};

/// Why a refused request was dropped.
pub(super) const DROPPED_REASON: &str = "x-llm-d-request-dropped-reason";
/// Marks responses that passed through the picker.
pub(super) const WENT_INTO_RESPONSE: &str = "x-went-into-resp-headers";
/// Who served, told to conformance tests in a response header.
pub(super) const CONFORMANCE_SERVED: &str = "x-conformance-test-served-endpoint";
pub(super) const REQUEST_ID: &str = "x-request-id";
pub(super) const CONTENT_LENGTH: &str = "content-length";
/// The client's fairness id, newest name first.
pub(super) const FAIRNESS_ID: [&str; 2] =
    ["x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id"];
/// The model to send the request to, newest name first.
pub(super) const MODEL_REWRITE: [&str; 2] =
    ["x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"];

/// What the client would rather have (RFC 7240), and the preference that is heeded: an endpoint that
/// holds a part of the prompt, or none.
pub(super) const PREFER: &str = "prefer";
pub(super) const IF_AVAILABLE: &str = "if-available";

/// Headers that steer the picker or that it sets itself. They are never set again from what the
/// client sent.
const SYSTEM_OWNED: [&str; 18] = [
    CONTENT_LENGTH,
    DESTINATION,
    SERVED,
    SUBSET,
    DROPPED_REASON,
    FAIRNESS_ID[0],
    FAIRNESS_ID[1],
    MODEL_REWRITE[0],
    MODEL_REWRITE[1],
    "x-llm-d-inference-objective",
    "x-gateway-inference-objective",
    "x-llm-d-slo-ttft-ms",
    "x-slo-ttft-ms",
    "x-llm-d-slo-tpot-ms",
    "x-slo-tpot-ms",
    "x-llm-d-video-fps",
    "x-llm-d-video-duration-seconds",
    "x-llm-d-video-resolution",
];

/// True for a header that is not set again.
pub(super) fn is_system_owned(name: &[u8]) -> bool {
    // Nearly every name is told apart by its first byte; the list is only read for the rest.
    matches!(name, [b'x' | b'X' | b'c' | b'C', ..])
        && SYSTEM_OWNED.iter().any(|owned| owned.as_bytes().eq_ignore_ascii_case(name))
}
