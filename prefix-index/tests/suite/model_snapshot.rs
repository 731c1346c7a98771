//! The bytes of a model's snapshot, written from the description of the format alone.

use std::{collections::BTreeMap, net::SocketAddr};

use convoy_prefix_index::{BlockHash, Stamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::Model;

type Children = BTreeMap<Option<BlockHash>, Vec<BlockHash>>;

/// One chunk: models are small.
pub(crate) fn snapshot(model: &Model) -> Vec<u8> {
    let mut payload = Vec::new();
    let marks = model.endpoints.values().flat_map(|state| state.holdings.values());
    let youngest = marks.filter_map(|holding| holding.mark).max().unwrap_or_default();
    head(model, youngest, &mut payload);
    let mut children = Children::new();
    for (&name, block) in &model.blocks {
        children.entry(block.parent).or_default().push(name);
    }
    for &root in children.get(&None).into_iter().flatten() {
        stretch(model, &children, root, youngest, &mut payload);
    }
    for (number, state) in (0..).zip(model.endpoints.values()) {
        for (name, holding) in &state.holdings {
            if let Some(stamp) = holding.mark.filter(|_| holding.children != 0) {
                payload.push(5);
                number_into(&mut payload, number);
                payload.extend(name.get().to_le_bytes());
                number_into(&mut payload, youngest.0 - stamp.0);
            }
        }
    }
    payload.push(6);
    payload.extend(model.digest().to_le_bytes());
    frame(0, &payload)
}

pub(crate) fn frame(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut framed = (payload.len() as u32).to_le_bytes().to_vec();
    framed.extend(number.to_le_bytes());
    framed.extend(xxh3_64_with_seed(payload, number.into()).to_le_bytes());
    framed.extend(payload);
    framed
}

fn head(model: &Model, youngest: Stamp, payload: &mut Vec<u8>) {
    let hash = &model.parameters.hash;
    payload.push(1);
    payload.extend(b"CvPX");
    payload.extend(1u16.to_le_bytes());
    payload.extend(hash.version().number().to_le_bytes());
    payload.extend(hash.block_bytes().to_le_bytes());
    payload.extend(hash.key());
    payload.extend(model.parameters.memberships_max.to_le_bytes());
    payload.extend(youngest.0.to_le_bytes());
    for (address, state) in &model.endpoints {
        payload.push(2);
        match address {
            SocketAddr::V4(v4) => {
                payload.push(4);
                payload.extend(v4.ip().octets());
            }
            SocketAddr::V6(v6) => {
                payload.push(6);
                payload.extend(v6.ip().octets());
            }
        }
        payload.extend(address.port().to_le_bytes());
        payload.extend(state.incarnation.0.to_le_bytes());
        payload.extend(state.capacity_blocks.to_le_bytes());
    }
    for (origin, sequence) in &model.origins {
        payload.push(3);
        for word in [origin.replica, origin.start, sequence.0] {
            payload.extend(word.to_le_bytes());
        }
    }
}

fn stretch(
    model: &Model,
    children: &Children,
    first: BlockHash,
    youngest: Stamp,
    payload: &mut Vec<u8>,
) {
    let mut names = vec![first];
    let after = loop {
        match children.get(&names.last().copied()).map_or(&[][..], |after| after) {
            [only] => names.push(*only),
            after => break after,
        }
    };
    payload.push(4);
    number_into(payload, names.len() as u64);
    payload.extend(names.iter().flat_map(|name| name.get().to_le_bytes()));
    let mut leaves = Vec::new();
    for (at, name) in names.iter().enumerate() {
        for (number, state) in (0u64..).zip(model.endpoints.values()) {
            let leaf = state.holdings.get(name).filter(|holding| holding.children == 0);
            leaves.extend(leaf.and_then(|leaf| Some((at, number, leaf.mark?))));
        }
    }
    number_into(payload, leaves.len() as u64);
    for (at, number, stamp) in leaves {
        number_into(payload, (names.len() - 1 - at) as u64);
        number_into(payload, number);
        number_into(payload, youngest.0 - stamp.0);
    }
    number_into(payload, after.len() as u64);
    for &next in after {
        stretch(model, children, next, youngest, payload);
    }
}

fn number_into(payload: &mut Vec<u8>, mut number: u64) {
    while 0x80 <= number {
        payload.push(number as u8 | 0x80);
        number >>= 7;
    }
    payload.push(number as u8);
}
