//! A real Envoy, configured as Istio configures a gateway in front of an `InferencePool`.

mod access_log;
mod admin;
mod bootstrap;
mod endpoints;
mod fetch;
mod running;

pub use access_log::Entry;
pub use admin::AdminError;
pub use bootstrap::{
    Authority, BodyMode, Bootstrap, Detection, FailureMode, Filters, MODEL_SERVER_CLUSTER,
    PICKER_CLUSTER, Retry, Routing, Transport,
};
pub use endpoints::{Endpoint, Health};
pub use fetch::{FetchError, VERSION, binary};
pub use running::{Envoy, EnvoyError};
