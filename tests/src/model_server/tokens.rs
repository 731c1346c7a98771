//! A stand-in for a tokenizer: four bytes of text are one token.
//!
//! Deterministic, without a vocabulary, and close to the four characters a token that English text
//! has with real tokenizers. Every piece of text (a prompt, a message's role, a message's content)
//! starts at a token of its own and is padded with zero bytes to whole tokens, as real tokenizers
//! do not merge across the marks that a chat template puts between messages. Hence the tokens of an
//! answer are the tokens it has when a client sends it back as an earlier message.

use std::num::NonZeroU64;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes of text in one token.
pub const TOKEN_BYTES: usize = 4;

/// Tokens that stand for an image, a sound or a video, whatever its size.
const MEDIA_TOKENS: usize = 225;

/// Marks of the chat template. No UTF-8 text contains the byte 0xff.
const MESSAGE_START: [u8; TOKEN_BYTES] = [0xff, 1, 0, 0];
const MESSAGE_END: [u8; TOKEN_BYTES] = [0xff, 2, 0, 0];
const HEADER_END: [u8; TOKEN_BYTES] = [0xff, 3, 0, 0];

/// Tokens, each of them [`TOKEN_BYTES`] bytes long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    bytes: Vec<u8>,
}

impl Tokens {
    /// The tokens of a plain prompt.
    pub fn of_text(text: &str) -> Self {
        let mut tokens = Self::default();
        tokens.push_text(text);
        tokens
    }

    /// A prompt that came as token ids.
    pub fn of_ids(ids: &[u32]) -> Self {
        Self { bytes: ids.iter().flat_map(|id| id.to_le_bytes()).collect() }
    }

    /// Appends `text`, beginning at a new token.
    pub fn push_text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(TOKEN_BYTES), 0);
    }

    /// Opens a message: what follows is its content.
    pub fn open_message(&mut self, role: &str) {
        self.bytes.extend_from_slice(&MESSAGE_START);
        self.push_text(role);
        self.bytes.extend_from_slice(&HEADER_END);
    }

    /// Ends the message that was opened last.
    pub fn close_message(&mut self) {
        self.bytes.extend_from_slice(&MESSAGE_END);
    }

    /// Appends placeholders for a piece of content that is not text, told apart by `description`.
    pub fn push_media(&mut self, description: &str) {
        let placeholder = xxh3_64(description.as_bytes()).to_le_bytes();
        for _ in 0..MEDIA_TOKENS {
            self.bytes.extend(placeholder.iter().take(TOKEN_BYTES));
        }
    }

    /// How many tokens these are.
    pub fn len(&self) -> usize {
        self.bytes.len() / TOKEN_BYTES
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn push(&mut self, token: [u8; TOKEN_BYTES]) {
        self.bytes.extend_from_slice(&token);
    }
}

/// Names a block of tokens together with all blocks before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockHash(NonZeroU64);

impl BlockHash {
    fn of(block: &[u8], parent: u64) -> Self {
        Self(NonZeroU64::new(xxh3_64_with_seed(block, parent)).unwrap_or(NonZeroU64::MIN))
    }
}

/// What makes equal text unequal for the cache: another adapter, another salt.
///
/// vLLM adds the adapter to every block's hash and the salt to the first one's; since each hash
/// contains its parent's, seeding the first block with both tells the same prompts apart.
pub fn chain_root(adapter: Option<&str>, cache_salt: Option<&str>) -> u64 {
    let salted = cache_salt.map_or(0, |salt| xxh3_64_with_seed(salt.as_bytes(), 1));
    adapter.map_or(salted, |name| xxh3_64_with_seed(name.as_bytes(), salted.wrapping_add(2)))
}

/// The hashes of a growing run of tokens, one for each full block.
#[derive(Clone, Debug)]
pub struct Chain {
    block_bytes: usize,
    root: u64,
    hashes: Vec<BlockHash>,
    /// Tokens after the last full block.
    rest: Tokens,
}

impl Chain {
    /// Hashes `tokens` in blocks of `block_tokens` each, starting from `root`.
    pub fn new(tokens: &Tokens, block_tokens: usize, root: u64) -> Self {
        let block_bytes = block_tokens.max(1) * TOKEN_BYTES;
        let blocks = tokens.bytes.chunks_exact(block_bytes);
        let rest = Tokens { bytes: blocks.remainder().to_vec() };
        let mut parent = root;
        let hashes = blocks
            .map(|block| {
                let hash = BlockHash::of(block, parent);
                parent = hash.0.get();
                hash
            })
            .collect();
        Self { block_bytes, root, hashes, rest }
    }

    /// Appends one token.
    pub fn push(&mut self, token: [u8; TOKEN_BYTES]) {
        self.rest.push(token);
        if self.rest.bytes.len() == self.block_bytes {
            let parent = self.hashes.last().map_or(self.root, |hash| hash.0.get());
            self.hashes.push(BlockHash::of(&self.rest.bytes, parent));
            self.rest.bytes.clear();
        }
    }

    /// The hashes of the full blocks.
    pub fn hashes(&self) -> &[BlockHash] {
        &self.hashes
    }

    /// A number that names the whole run; equal runs have equal numbers.
    pub fn fingerprint(&self) -> u64 {
        let parent = self.hashes.last().map_or(self.root, |hash| hash.0.get());
        xxh3_64_with_seed(&self.rest.bytes, parent)
    }
}

/// The words of answers. Each is one token with the space that follows it.
const WORDS: [&[u8; TOKEN_BYTES]; 32] = [
    b"the ", b"and ", b"you ", b"can ", b"see ", b"how ", b"one ", b"two ", b"ten ", b"six ",
    b"now ", b"new ", b"old ", b"big ", b"way ", b"day ", b"sun ", b"sea ", b"sky ", b"map ",
    b"key ", b"log ", b"run ", b"set ", b"put ", b"get ", b"all ", b"any ", b"few ", b"for ",
    b"its ", b"own ",
];

/// Token `index` of the answer to the prompt that `fingerprint` names.
///
/// Words carry no meaning; equal prompts get equal answers, on every server.
pub fn answer_token(fingerprint: u64, index: u64) -> [u8; TOKEN_BYTES] {
    let drawn = xxh3_64_with_seed(&index.to_le_bytes(), fingerprint);
    let word = usize::try_from(drawn % WORDS.len() as u64).unwrap_or(0);
    **WORDS.get(word).unwrap_or(&b"the ")
}

/// Appends tokens `from..to` of an answer to `text`.
pub fn answer_text(fingerprint: u64, from: u64, to: u64, text: &mut String) {
    for index in from..to {
        text.extend(answer_token(fingerprint, index).map(char::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_are_one_token_and_the_last_is_padded() {
        assert_eq!(Tokens::of_text("").len(), 0);
        assert_eq!(Tokens::of_text("abcd").len(), 1);
        assert_eq!(Tokens::of_text("abcde").len(), 2);
        assert_eq!(Tokens::of_text("abcde").bytes, b"abcde\0\0\0");
        assert_eq!(Tokens::of_ids(&[0x6463_6261]), Tokens::of_text("abcd"));
    }

    #[test]
    fn a_chain_grown_by_tokens_equals_one_hashed_at_once() {
        let whole = Chain::new(&Tokens::of_text(&"abcd".repeat(100)), 16, 7);
        let mut grown = Chain::new(&Tokens::of_text(&"abcd".repeat(13)), 16, 7);
        for _ in 13..100 {
            grown.push(*b"abcd");
        }
        assert_eq!(grown.hashes(), whole.hashes());
        assert_eq!(grown.fingerprint(), whole.fingerprint());
        assert_eq!(whole.hashes().len(), 6);
    }

    #[test]
    fn an_answer_sent_back_continues_the_chain_that_produced_it() {
        let mut asked = Tokens::default();
        asked.open_message("user");
        asked.push_text("What?");
        asked.close_message();
        asked.open_message("assistant");
        let mut chain = Chain::new(&asked, 4, 0);
        let fingerprint = chain.fingerprint();
        for index in 0..40 {
            chain.push(answer_token(fingerprint, index));
        }
        let mut answer = String::new();
        answer_text(fingerprint, 0, 40, &mut answer);
        let mut sent_back = asked.clone();
        sent_back.push_text(&answer);
        sent_back.close_message();
        let next = Chain::new(&sent_back, 4, 0);
        assert_eq!(next.hashes().get(..chain.hashes().len()), Some(chain.hashes()));
    }

    #[test]
    fn adapter_and_salt_give_other_roots() {
        let roots = [
            chain_root(None, None),
            chain_root(Some("a"), None),
            chain_root(None, Some("a")),
            chain_root(Some("a"), Some("a")),
            chain_root(Some("b"), Some("a")),
        ];
        for (index, root) in roots.iter().enumerate() {
            assert!(!roots[..index].contains(root));
        }
    }
}
