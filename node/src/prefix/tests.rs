//! What the tests of this room share: endpoints, views, chains.

use std::{collections::BTreeMap, sync::Arc};

use convoy_prefix_index::{BlockHash, HashParams, HashVersion, Parameters};

use crate::{
    clock,
    endpoints::{Endpoint, EndpointKey, InFlight, Load, Member, Sample, View},
    plugins::PrefixSettings,
};

/// An endpoint in a life of its own: `10.0.<slot>:8000`, so another slot is another address.
pub(super) fn endpoint(name: &str, slot: u32) -> Arc<Endpoint> {
    let [_, _, high, low] = slot.to_be_bytes();
    let address = ([10, 0, high, low], 8000).into();
    Arc::new(Endpoint {
        key: EndpointKey { namespace: "default".into(), name: name.into(), address },
        address_text: address.to_string(),
        metrics_host: address.to_string(),
        labels: BTreeMap::new(),
        incarnation: None,
        slot,
        in_flight: InFlight::default(),
    })
}

/// Another life at the same address.
pub(super) fn next_life(endpoint: &Endpoint, slot: u32) -> Arc<Endpoint> {
    Arc::new(Endpoint { slot, in_flight: InFlight::default(), ..endpoint.clone() })
}

pub(super) fn view(endpoints: &[&Arc<Endpoint>]) -> View {
    let member =
        |&endpoint: &_| Member { endpoint: Arc::clone(endpoint), ready: true, sample: None };
    View { members: endpoints.iter().map(member).collect() }
}

/// The same view, in which every engine tells a cache of `cache_blocks` blocks of 16 tokens.
pub(super) fn telling(mut view: View, cache_blocks: u32) -> View {
    for member in &mut view.members {
        let cache_block_tokens = Some(16);
        let load = Load { cache_blocks: Some(cache_blocks), cache_block_tokens, ..Load::default() };
        member.sample = Some(Arc::new(Sample { load, sampled_at: clock::now() }));
    }
    view
}

pub(super) fn blocks(names: impl IntoIterator<Item = u64>) -> Vec<BlockHash> {
    names.into_iter().map(|name| BlockHash::new(name).unwrap()).collect()
}

/// Blocks of 64 tokens, four of the engine's.
pub(super) fn settings() -> PrefixSettings {
    PrefixSettings {
        block_tokens: 64,
        chain_blocks_max: None,
        endpoint_blocks_max: 100_000,
        capacity_from_engine: true,
    }
}

pub(super) fn parameters(memberships_max: u64) -> Parameters {
    let hash = HashParams::new([7; 16], settings().block_bytes(), HashVersion::V1).unwrap();
    Parameters { hash, memberships_max }
}
