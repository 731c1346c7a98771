//! `header-based-testing-filter`: only the endpoints that the request's own header names. It lets a
//! conformance test say where its request must go; production has no use for it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::Plugin;
use crate::scheduling::{Candidate, Filter, PickContext};

pub(super) const TYPE: &str = "header-based-testing-filter";

/// The request header that lists `ip` or `ip:port` entries, with commas between.
const HEADER: &str = "test-epp-endpoint-selection";

pub(super) fn build() -> Plugin {
    Plugin::Filter(Arc::new(HeaderBasedTestingFilter))
}

/// Keeps what the header names, in the header's order and once per IP address. Without the header
/// it keeps nobody.
#[derive(Debug)]
struct HeaderBasedTestingFilter;

impl Filter for HeaderBasedTestingFilter {
    fn filter(&self, context: &PickContext<'_>, candidates: &mut Vec<Candidate>) {
        let named = context.header(HEADER).unwrap_or_default();
        let mut kept: Vec<(IpAddr, Candidate)> = Vec::new();
        for (ip, port) in named.split(',').filter_map(address) {
            let is_named = |candidate: &&Candidate| {
                context.member(**candidate).is_some_and(|member| {
                    let address = member.endpoint.key.address;
                    address.ip() == ip && port.is_none_or(|port| port == address.port())
                })
            };
            // Of several endpoints of one address the last stands for it, as in the picker that
            // Convoy replaces.
            let Some(&candidate) = candidates.iter().rfind(is_named) else { continue };
            if kept.iter().all(|&(known, _)| known != ip) {
                kept.push((ip, candidate));
            }
        }
        candidates.clear();
        candidates.extend(kept.into_iter().map(|(_, candidate)| candidate));
    }
}

/// Reads `ip`, `ip:port`, `[ip]` or `[ip]:port`.
fn address(entry: &str) -> Option<(IpAddr, Option<u16>)> {
    let entry = entry.trim();
    if let Ok(address) = entry.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    Some((bare.parse().ok()?, None))
}
