//! `destination-endpoint-served-verifier`: a response header tells which endpoint served, as Envoy
//! reports it. It lets a conformance test see where its request went.

use super::Plugin;

pub(super) const TYPE: &str = "destination-endpoint-served-verifier";

pub(super) fn build() -> Plugin {
    Plugin::ServedVerifier
}
