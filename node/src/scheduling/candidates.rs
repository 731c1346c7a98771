//! Who may be picked at all: the endpoints of a view that are ready and in the request's subset.

use std::net::IpAddr;

use super::Candidate;
use crate::endpoints::View;

/// The endpoints that a gateway allows for one request, named by IP address; ports do not count.
///
/// They are sorted: a gateway may name as many as there are endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subset(Box<[IpAddr]>);

impl Subset {
    /// Reads a gateway's hint: `ip` or `ip:port` entries, IPv6 with or without brackets. An entry
    /// that is no address names nobody.
    pub fn from_hint<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let mut addresses: Vec<_> = entries.into_iter().filter_map(address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Self(addresses.into())
    }

    /// Memory that the addresses take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.binary_search(&address.to_canonical()).is_ok()
    }
}

/// The IP address in `ip`, `ip:port`, `[ip]` or `[ip]:port`. One of IPv4 is that however it is
/// written.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let host = match entry.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None => entry.rsplit_once(':')?.0,
    };
    host.parse().ok().as_ref().map(IpAddr::to_canonical)
}

/// Replaces `into` by the candidates of `view`: ready, and in the subset if there is one.
pub fn candidates(view: &View, subset: Option<&Subset>, into: &mut Vec<Candidate>) {
    into.clear();
    let positions = (0..).map(Candidate);
    into.extend(positions.zip(&view.members).filter_map(|(candidate, member)| {
        let address = member.endpoint.key.address.ip();
        let allowed = subset.is_none_or(|subset| subset.contains(address));
        (member.ready && allowed).then_some(candidate)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduling::fixture::{World, unsampled};

    #[track_caller]
    fn check(hint: &[&str], expected: &[u32]) {
        let mut view = World::of(&[unsampled(), unsampled(), unsampled()]).view;
        view.members[2].ready = false;
        let mut found = vec![Candidate(9)];
        candidates(&view, Some(&Subset::from_hint(hint.iter().copied())), &mut found);
        assert_eq!(found, expected.iter().copied().map(Candidate).collect::<Vec<_>>());
    }

    #[test]
    fn a_subset_names_endpoints_by_address_whatever_the_port() {
        check(&["10.0.0.1"], &[0]);
        check(&["10.0.0.2:9999", " 10.0.0.1:8000 "], &[0, 1]);
        check(&["[::ffff:1]:8000"], &[]);
        check(&["::ffff:10.0.0.2", "10.0.0.2", "10.0.0.1"], &[0, 1]);
    }

    #[test]
    fn what_is_not_ready_is_no_candidate_even_if_named() {
        check(&["10.0.0.3"], &[]);
    }

    #[test]
    fn an_empty_subset_has_no_candidates() {
        check(&[], &[]);
        check(&["nobody", "", "[", "::::"], &[]);
    }

    #[test]
    fn without_a_subset_every_ready_endpoint_is_a_candidate() {
        let mut found = Vec::new();
        candidates(&World::of(&[unsampled(), unsampled()]).view, None, &mut found);
        assert_eq!(found, [Candidate(0), Candidate(1)]);
    }

    #[test]
    fn ipv6_addresses_are_read_with_and_without_brackets() {
        for entry in ["fd00::1", "[fd00::1]", "[fd00::1]:8000"] {
            assert_eq!(address(entry), Some("fd00::1".parse().unwrap()), "{entry}");
        }
    }
}
