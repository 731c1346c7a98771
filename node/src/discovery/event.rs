//! What a source of endpoints says, whatever it is: a file, or Kubernetes.

use std::collections::BTreeMap;

use crate::endpoints::EndpointKey;

/// One endpoint as its source describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEndpoint {
    pub key: EndpointKey,
    /// `host:port` whose metrics page tells the endpoint's load; IPv6 is bracketed.
    pub metrics_host: String,
    pub labels: BTreeMap<String, String>,
    /// May it take requests? One that is not ready stays known, with what it holds.
    pub ready: bool,
    /// One life of the engine's process, where the source can tell lives apart.
    pub incarnation: Option<String>,
}

/// A change of the pool, as its source tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The pool, listed afresh: these endpoints and no others.
    Listed(Vec<ListedEndpoint>),
    /// This endpoint is in the pool, so described.
    Upserted(ListedEndpoint),
    /// This endpoint is in the pool no more.
    Removed(EndpointKey),
}
