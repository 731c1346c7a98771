//! What stands in a canonical text for a picture, film or recording.

use std::ops::ControlFlow;

use xxhash_rust::xxh3::Xxh3;

use super::super::json::Span;

/// Bytes of canonical text for one token.
const TOKEN_BYTES: u64 = 4;

/// Tokens of a picture: 640 x 360 pixels, 1,024 to a token.
const IMAGE_TOKENS: u64 = 225;

/// Tokens of a film: ten seconds, two frames a second, each a picture.
const VIDEO_TOKENS: u64 = 20 * IMAGE_TOKENS;

/// Kinds of content that are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Medium {
    Image,
    Video,
    Audio,
}

/// A digest of one medium's address or data, repeated to the weight of the tokens it stands for.
pub(super) struct StandIn {
    bytes: u64,
    digest: Xxh3,
}

impl StandIn {
    pub(super) fn new(medium: Medium, span: Span) -> Self {
        let tokens = match medium {
            Medium::Image => IMAGE_TOKENS,
            Medium::Video => VIDEO_TOKENS,
            // One for four letters of data, but no recording outweighs a film.
            Medium::Audio => span.len().div_ceil(TOKEN_BYTES).clamp(1, VIDEO_TOKENS),
        };
        Self { bytes: tokens * TOKEN_BYTES, digest: Xxh3::new() }
    }

    /// Takes the next bytes of the address or data, as they stand in the body.
    pub(super) fn feed(&mut self, raw: &[u8]) {
        self.digest.update(raw);
    }

    pub(super) fn finish(self, sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        let digest = self.digest.digest128().to_le_bytes();
        let mut left = self.bytes;
        while 0 < left {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(digest.len());
            sink(digest.get(..count).unwrap_or_default())?;
            left -= count as u64;
        }
        ControlFlow::Continue(())
    }
}
