//! The digest of a model: from all marks, with the standard library's hash, which under its
//! default key is the one that the index uses.

use std::{
    hash::{DefaultHasher, Hasher},
    net::SocketAddr,
};

use convoy_prefix_index::Endpoint;

use super::Model;

impl Model {
    pub(crate) fn endpoint_digest(&self, endpoint: &Endpoint) -> Option<u64> {
        let state = self.endpoints.get(&endpoint.address())?;
        let marks = state
            .holdings
            .iter()
            .filter_map(|(block, holding)| Some(fold(&[block.get(), holding.mark?.0])))
            .fold(0, u64::wrapping_add);
        let address = match endpoint.address() {
            SocketAddr::V4(v4) => [4 << 16 | u64::from(v4.port()), v4.ip().to_bits().into(), 0],
            SocketAddr::V6(v6) => {
                let ip = v6.ip().to_bits();
                [6 << 16 | u64::from(v6.port()), (ip >> 64) as u64, ip as u64]
            }
        };
        let [a, b, c] = address;
        let capacity = state.capacity_blocks.into();
        Some(fold(&[a, b, c, state.incarnation.0, capacity, state.holdings.len() as u64, marks]))
    }

    pub(crate) fn digest(&self) -> u64 {
        let hash = &self.parameters.hash;
        let mut words = vec![
            u64::from(hash.version().number()) << 32 | u64::from(hash.block_bytes()),
            hash.key_id(),
            self.parameters.memberships_max,
            self.endpoints.len() as u64,
        ];
        words.extend(self.endpoints.iter().filter_map(|(address, state)| {
            self.endpoint_digest(&Endpoint::new(*address, state.incarnation))
        }));
        words.push(self.origins.len() as u64);
        for (origin, sequence) in &self.origins {
            words.extend([origin.replica, origin.start, sequence.0]);
        }
        fold(&words)
    }
}

fn fold(words: &[u64]) -> u64 {
    words.iter().fold(0, |folded, word| {
        let mut hasher = DefaultHasher::new();
        hasher.write(&folded.to_le_bytes());
        hasher.write(&word.to_le_bytes());
        hasher.finish()
    })
}
