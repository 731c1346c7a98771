//! Random batches, friendly and hostile.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU16,
};

use convoy_prefix_index::{
    BlockHash, Endpoint, HashParams, HashVersion, Incarnation, Origin, Sequence, Stamp,
};
use convoy_raft::{
    batch::{Batch, ClusterChange, EndpointChange, Formed, Item, Seen, Sighted},
    identity::{ClusterId, DiskId, Generation, ReplicaName},
    machine::{LogPosition, SEMANTICS_FIRST},
};

/// Makes batches of which most items are carried out.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) random: fastrand::Rng,
    time: u64,
    sequence: u64,
    index: u64,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), time: 1_000_000, sequence: 0, index: 0 }
    }

    /// The next entry's position.
    pub(crate) fn position(&mut self) -> LogPosition {
        self.index += 1;
        position(self.index - 1)
    }

    pub(crate) fn batch(&mut self) -> Batch {
        self.time += self.random.u64(..100);
        // A new leader's clock may be behind.
        let stamp = Stamp(self.time - self.random.u64(..50));
        let items = self.random.usize(..12);
        Batch { stamp, items: (0..items).map(|_| self.item()).collect() }
    }

    pub(crate) fn item(&mut self) -> Item {
        match self.random.u32(..100) {
            0..70 => Item::Sighted(self.sighted()),
            70..88 => Item::Endpoint(self.endpoint_change()),
            _ => Item::Cluster(self.cluster_change()),
        }
    }

    pub(crate) fn sighted(&mut self) -> Sighted {
        self.sequence += self.random.u64(..3);
        let back = if self.random.u32(..20) == 0 { 2 } else { 0 };
        let age_ms = match self.random.u32(..30) {
            0 => u32::MAX,
            _ => self.random.u32(..500),
        };
        Sighted {
            origin: self.origin(),
            sequence: Sequence(self.sequence.saturating_sub(back)),
            endpoint: self.endpoint(),
            age_ms,
            seen: self.seen(),
        }
    }

    fn seen(&mut self) -> Seen {
        let chain = self.chain();
        if self.random.u32(..4) == 0 {
            return Seen::Touched { block: chain[self.random.usize(..chain.len())] };
        }
        let known = if self.random.bool() { 0 } else { self.random.usize(..chain.len()) };
        let (before, after) = chain.split_at(known);
        let mut hashes = after.to_vec();
        if self.random.u32(..20) == 0 {
            self.random.shuffle(&mut hashes);
        }
        Seen::Held { base: before.last().copied(), hashes }
    }

    /// One of a few families of chains, so that chains share prefixes.
    fn chain(&mut self) -> Vec<BlockHash> {
        let length = self.random.u64(1..20);
        let (family, turn) = (self.random.u64(..6), self.random.u64(1..20));
        let own = |block: u64| if block < turn { 0 } else { turn };
        (1..=length).map(|block| hash(family << 32 | own(block) << 16 | block)).collect()
    }

    fn endpoint_change(&mut self) -> EndpointChange {
        let endpoint = self.endpoint();
        let capacity_blocks = self.random.u32(..80);
        match self.random.u32(..6) {
            0 => EndpointChange::Left { endpoint },
            1 => EndpointChange::CapacityChanged { endpoint, capacity_blocks },
            _ => {
                let replaces = self.random.bool().then(|| Incarnation(self.random.u64(..3)));
                EndpointChange::Joined { endpoint, replaces, capacity_blocks }
            }
        }
    }

    fn cluster_change(&mut self) -> ClusterChange {
        match self.random.u32(..12) {
            0..4 => ClusterChange::ReplicaAdmitted {
                name: name(self.random.u64(..5)),
                disk: DiskId(self.random.u128(..4)),
            },
            4 => ClusterChange::ReplicaRemoved { id: self.random.u64(..50) },
            5 => ClusterChange::SizeDeclared {
                replicas: NonZeroU16::new(self.random.u16(1..9)).unwrap(),
            },
            6 | 7 => ClusterChange::BoundChanged { memberships_max: self.random.u64(..400) },
            8 => ClusterChange::OriginRetired { origin: self.origin() },
            9 => ClusterChange::Activated { semantics: SEMANTICS_FIRST },
            _ => ClusterChange::Formed(Box::new(formed(self.random.u8(..3)))),
        }
    }

    pub(crate) fn endpoint(&mut self) -> Endpoint {
        endpoint(self.random.u16(..5), self.random.u64(..10) / 9)
    }

    fn origin(&mut self) -> Origin {
        Origin { replica: self.random.u64(..3), start: self.random.u64(..2) }
    }
}

pub(crate) fn position(index: u64) -> LogPosition {
    LogPosition { term: 1 + index / 50, leader: 1, index }
}

pub(crate) fn endpoint(number: u16, incarnation: u64) -> Endpoint {
    let ip = if number.is_multiple_of(2) {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        IpAddr::V6(Ipv6Addr::LOCALHOST)
    };
    Endpoint::new(SocketAddr::new(ip, 8000 + number), Incarnation(incarnation))
}

pub(crate) fn name(number: u64) -> ReplicaName {
    ReplicaName::new(format!("epp-{number}")).unwrap()
}

pub(crate) fn hash(value: u64) -> BlockHash {
    // Spread as hashing would; not zero for any value that tests use.
    BlockHash::new((value + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).unwrap()
}

pub(crate) fn formed(key: u8) -> Formed {
    Formed {
        cluster: ClusterId(u128::from(key) + 7),
        pool: "default/llama".to_owned(),
        declared_size: NonZeroU16::new(3).unwrap(),
        generation: Generation { number: 1, random: 11 },
        hash: HashParams::new([key; 16], 256, HashVersion::V1).unwrap(),
        memberships_max: 200,
        semantics: SEMANTICS_FIRST,
    }
}
