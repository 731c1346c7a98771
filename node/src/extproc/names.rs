//! Names of headers and metadata keys that gateways, clients and pickers agree on.

/// The pick, as a request header and as a key of [`NAMESPACE`].
pub const DESTINATION: &str = "x-gateway-destination-endpoint";
/// Where Envoy sent the request, told with the response.
pub const SERVED: &str = "x-gateway-destination-endpoint-served";
/// The metadata namespace of the pick.
pub const NAMESPACE: &str = "envoy.lb";
/// The metadata namespace of [`SUBSET`].
pub const SUBSET_NAMESPACE: &str = "envoy.lb.subset_hint";
/// Addresses among which to pick.
pub const SUBSET: &str = "x-gateway-destination-endpoint-subset";
/// Why a refused request was dropped.
pub const DROPPED_REASON: &str = "x-llm-d-request-dropped-reason";
/// Marks responses that passed through the picker.
pub const WENT_INTO_RESPONSE: &str = "x-went-into-resp-headers";
pub const REQUEST_ID: &str = "x-request-id";
pub const CONTENT_LENGTH: &str = "content-length";
/// The client's fairness id, newest name first.
pub const FAIRNESS_ID: [&str; 2] =
    ["x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id"];
/// The model to send the request to, newest name first.
pub const MODEL_REWRITE: [&str; 2] = ["x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"];

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

/// True for a header, in lower case, that is not set again.
pub fn is_system_owned(name: &[u8]) -> bool {
    // Nearly every name is told apart by its first bytes; the list is only read for the rest.
    (name.starts_with(b"x-") || name.starts_with(b"c"))
        && SYSTEM_OWNED.iter().any(|owned| owned.as_bytes() == name)
}
