//! From a request's text to its chain: keyed, chained hashes of fixed runs of text.
//!
//! A block's name is `prf(parent's name, xxh3(the block's text))`. It names all the text before it
//! too, so two chains agree up to a block exactly when they have that block in common, and depth
//! can be searched instead of walked. The function is keyed: only who has the key can name a
//! block, and names tell nothing about the text.

mod siphash;

use std::{fmt, num::NonZeroU64};

pub(crate) use siphash::prf;
use xxhash_rust::xxh3::xxh3_64_with_secret;

/// The most blocks a chain has. Text beyond them is not hashed.
///
/// At 256 bytes to a block this is 16 MiB of text, four million tokens.
pub const CHAIN_BLOCKS_MAX: usize = 65_536;

/// Bytes of text in a block unless configured: about 64 engine tokens.
pub const BLOCK_BYTES_DEFAULT: u32 = 256;

const BLOCK_BYTES_MIN: u32 = 16;
const BLOCK_BYTES_MAX: u32 = 1 << 20;
const SECRET_BYTES: usize = 192;

/// A block's name: the keyed hash of the block and of all before it. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash(NonZeroU64);

impl BlockHash {
    /// The name with this value; `None` for zero, which names nothing.
    pub const fn new(value: u64) -> Option<Self> {
        match NonZeroU64::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The name as a number, for wires and files.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    fn from_prf(value: u64) -> Self {
        Self(NonZeroU64::new(value).unwrap_or(NonZeroU64::MIN))
    }
}

/// How text becomes names. Golden vectors pin each version for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashVersion {
    /// xxh3-64 with a secret derived from the key, then `SipHash`-1-3 over (parent, that).
    V1,
}

impl HashVersion {
    /// The number that snapshots and logs know this version by.
    pub const fn number(self) -> u16 {
        match self {
            Self::V1 => 1,
        }
    }

    /// The version of this number; `None` if this library is older than it.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            _ => None,
        }
    }
}

/// What replicas must agree on to name a block alike.
///
/// Holds: `block_bytes` lies within 16 bytes and 1 MiB.
#[derive(Clone)]
pub struct HashParams {
    key: [u8; 16],
    block_bytes: u32,
    version: HashVersion,
    /// xxh3's secret, a function of the key, kept because deriving it costs more than a block.
    secret: [u8; SECRET_BYTES],
}

/// Why hash parameters were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashParamsError {
    /// The size of a block in bytes is out of range.
    #[error("a block of {block_bytes} bytes is outside {BLOCK_BYTES_MIN} to {BLOCK_BYTES_MAX}")]
    BlockBytes { block_bytes: u32 },
}

impl HashParams {
    /// Parameters with this key. Refuses a block of less than 16 bytes or more than 1 MiB.
    pub fn new(
        key: [u8; 16],
        block_bytes: u32,
        version: HashVersion,
    ) -> Result<Self, HashParamsError> {
        if !(BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&block_bytes) {
            return Err(HashParamsError::BlockBytes { block_bytes });
        }
        Ok(Self { key, block_bytes, version, secret: derive_secret(key) })
    }

    /// The key itself. Whoever stores it keeps the file to its owner.
    pub fn key(&self) -> [u8; 16] {
        self.key
    }

    /// Bytes of text in a block.
    pub fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// By which function.
    pub fn version(&self) -> HashVersion {
        self.version
    }

    /// A number that tells keys apart and gives none away; for logs and status pages.
    pub fn key_id(&self) -> u64 {
        prf(self.key_words(), u64::MAX, DOMAIN)
    }

    fn key_words(&self) -> [u64; 2] {
        words(self.key)
    }

    fn content(&self, text: &[u8]) -> u64 {
        xxh3_64_with_secret(text, &self.secret)
    }

    /// The parent of every first block: covers version, block size, model and cache salt.
    fn seed(&self, model: &str, salt: Option<&str>) -> u64 {
        let key = self.key_words();
        let shape = u64::from(self.version.number()) << 32 | u64::from(self.block_bytes);
        let model = prf(key, prf(key, shape, DOMAIN), self.content(model.as_bytes()));
        match salt {
            None => prf(key, model, 0),
            Some(salt) => prf(key, prf(key, model, 1), self.content(salt.as_bytes())),
        }
    }
}

impl PartialEq for HashParams {
    fn eq(&self, other: &Self) -> bool {
        let Self { key, block_bytes, version, secret: _ } = self;
        (key, block_bytes, version) == (&other.key, &other.block_bytes, &other.version)
    }
}

impl Eq for HashParams {}

impl fmt::Debug for HashParams {
    /// Tells everything but the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HashParams")
            .field("key_id", &format_args!("{:016x}", self.key_id()))
            .field("block_bytes", &self.block_bytes)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Separates this use of the key from any other.
const DOMAIN: u64 = u64::from_le_bytes(*b"cvprefix");

fn words(key: [u8; 16]) -> [u64; 2] {
    let [low, high] = [0, 64].map(|shift| u128::from_le_bytes(key) >> shift);
    #[expect(clippy::cast_possible_truncation, reason = "takes the low half on purpose")]
    [low as u64, high as u64]
}

fn derive_secret(key: [u8; 16]) -> [u8; SECRET_BYTES] {
    let mut secret = [0; SECRET_BYTES];
    for (counter, word) in (0u64..).zip(secret.chunks_exact_mut(8)) {
        word.copy_from_slice(&prf(words(key), counter, !DOMAIN).to_le_bytes());
    }
    secret
}

/// Turns streamed text into a chain.
///
/// Text may come in any pieces; the chain is that of their concatenation. What follows the last
/// whole block is not hashed.
#[derive(Debug)]
pub struct ChainBuilder<'params> {
    params: &'params HashParams,
    key: [u64; 2],
    parent: u64,
    /// The start of a block whose rest has not come yet; shorter than a block.
    partial: Vec<u8>,
    chain: Vec<BlockHash>,
}

impl<'params> ChainBuilder<'params> {
    /// Begins a chain of text for `model`, of a request with the cache salt `salt` if it has one:
    /// both are part of every name.
    pub fn new(params: &'params HashParams, model: &str, salt: Option<&str>) -> Self {
        Self::reusing(params, model, salt, Vec::new())
    }

    /// As [`ChainBuilder::new`], building into `chain`, whose content is dropped and whose
    /// memory is kept.
    pub fn reusing(
        params: &'params HashParams,
        model: &str,
        salt: Option<&str>,
        mut chain: Vec<BlockHash>,
    ) -> Self {
        chain.clear();
        let parent = params.seed(model, salt);
        Self { params, key: params.key_words(), parent, partial: Vec::new(), chain }
    }

    /// Takes the next piece of text.
    pub fn update(&mut self, mut text: &[u8]) {
        let block_bytes = self.params.block_bytes as usize;
        if !self.partial.is_empty() {
            let missing = block_bytes - self.partial.len();
            let Some((head, rest)) = text.split_at_checked(missing) else {
                self.partial.extend_from_slice(text);
                return;
            };
            self.partial.extend_from_slice(head);
            let content = self.params.content(&self.partial);
            self.partial.clear();
            self.push(content);
            text = rest;
        }
        let blocks = text.chunks_exact(block_bytes);
        self.partial.extend_from_slice(blocks.remainder());
        for block in blocks {
            if self.chain.len() == CHAIN_BLOCKS_MAX {
                break;
            }
            self.push(self.params.content(block));
        }
    }

    /// The chain of all whole blocks, at most [`CHAIN_BLOCKS_MAX`].
    pub fn finish(self) -> Vec<BlockHash> {
        self.chain
    }

    fn push(&mut self, content: u64) {
        if self.chain.len() < CHAIN_BLOCKS_MAX {
            let block = BlockHash::from_prf(prf(self.key, self.parent, content));
            self.parent = block.get();
            self.chain.push(block);
        }
    }
}

#[cfg(test)]
mod tests;
