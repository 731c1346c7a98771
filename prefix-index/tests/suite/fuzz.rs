//! Commands read from bytes: whatever the bytes are, index and model answer alike.
//!
//! Bytes come from seeds, so this runs on stable Rust in the gate. Unlike a history, which suits
//! what an index holds, bytes name few endpoints and blocks and every extreme of a number.

use std::net::{Ipv4Addr, SocketAddr};

use convoy_prefix_index::{
    BlockHash, Command, Digest, Endpoint, HashParams, HashVersion, Held, Incarnation, Index,
    Origin, Outcome, Parameters, Restore, Sequence, Stamp, Touched,
};

use crate::{model::Model, replay::for_seeds};

/// Reads values off the front of bytes; what is missing is zero.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// A number of which every size is likely.
    fn number(&mut self) -> u64 {
        match self.byte() {
            0xff => u64::MAX,
            0xfe => u64::from(u32::MAX) + u64::from(self.byte()),
            0xfd => 1 << (self.byte() % 64),
            small => u64::from(small % 32),
        }
    }

    fn endpoint(&mut self) -> Endpoint {
        let byte = self.byte();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::from(byte % 4)));
        Endpoint::new(address, Incarnation(u64::from(byte >> 2) % 2))
    }

    fn block(&mut self) -> Option<BlockHash> {
        BlockHash::new(u64::from(self.byte() % 40))
    }

    fn origin(&mut self) -> Origin {
        Origin { replica: u64::from(self.byte() % 3), start: 1 }
    }

    fn command(&mut self) -> Command {
        match self.byte() % 16 {
            0 => Command::Joined {
                endpoint: self.endpoint(),
                replaces: [None, Some(Incarnation(0)), Some(Incarnation(1))]
                    [usize::from(self.byte()) % 3],
                capacity_blocks: u32::try_from(self.number()).unwrap_or(u32::MAX),
            },
            1 => Command::Left { endpoint: self.endpoint() },
            2 => Command::CapacityChanged {
                endpoint: self.endpoint(),
                capacity_blocks: u32::try_from(self.number()).unwrap_or(u32::MAX),
            },
            3 => Command::OriginRetired { origin: self.origin() },
            4 => {
                let block_bytes = if self.byte() < 250 { 256 } else { 16 };
                let hash = HashParams::new([1; 16], block_bytes, HashVersion::V1).unwrap();
                Command::ParametersChanged(Parameters { hash, memberships_max: self.number() })
            }
            5..8 => Command::Touched(Touched {
                endpoint: self.endpoint(),
                block: self.block().unwrap_or(BlockHash::new(u64::MAX).unwrap()),
                stamp: Stamp(self.number()),
                origin: self.origin(),
                sequence: Sequence(self.number()),
            }),
            _ => self.held(),
        }
    }

    /// Often the blocks from one number to another, which other commands name in that order too.
    fn held(&mut self) -> Command {
        let (endpoint, base) = (self.endpoint(), self.block());
        let hashes = if self.byte() < 200 {
            let first = base.map_or(1, |base| base.get() + 1);
            (first..first + u64::from(self.byte() % 8)).filter_map(BlockHash::new).collect()
        } else {
            (0..self.byte() % 6).filter_map(|_| self.block()).collect()
        };
        let (stamp, origin) = (Stamp(self.number()), self.origin());
        Command::Held(Held {
            endpoint,
            base,
            hashes,
            stamp,
            origin,
            sequence: Sequence(self.number()),
        })
    }
}

fn without_slot(outcome: Outcome) -> Option<Outcome> {
    (!matches!(outcome, Outcome::Joined { .. })).then_some(outcome)
}

#[test]
fn commands_from_any_bytes_do_what_the_model_says() {
    for_seeds("commands_from_any_bytes_do_what_the_model_says", 2000, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let drawn: Vec<u8> = (0..random.usize(..2000)).map(|_| random.u8(..)).collect();
        let hash = HashParams::new([1; 16], 256, HashVersion::V1).unwrap();
        let parameters = Parameters { hash, memberships_max: 50 };
        let (mut model, mut index) = (Model::new(parameters.clone()), Index::new(parameters));
        let mut bytes = Bytes(&drawn);
        while !bytes.0.is_empty() {
            // Origins die soon, or their greatest sequence would refuse the rest.
            let retired = Command::OriginRetired { origin: bytes.origin() };
            for command in [bytes.command(), retired] {
                let expected = without_slot(model.apply(&command));
                assert_eq!(without_slot(index.apply(&command)), expected, "{command:?}");
                assert_eq!(index.digest(), Digest(model.digest()), "{command:?}");
            }
        }
        assert_eq!(index.audit_digest(), index.digest());
        let mut restore = Restore::new();
        for chunk in index.snapshot().chunks() {
            restore.push(&chunk).unwrap();
        }
        assert_eq!(restore.finish().unwrap().digest(), index.digest());
    });
}
