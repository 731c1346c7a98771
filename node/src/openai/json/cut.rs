//! The beginning of a token that the end of a chunk has cut.

use super::SHORT_BYTES_MAX;

/// At most the first [`SHORT_BYTES_MAX`] bytes of one token.
#[derive(Debug)]
pub(super) struct Cut {
    bytes: [u8; SHORT_BYTES_MAX],
    length: usize,
}

impl Default for Cut {
    fn default() -> Self {
        Self { bytes: [0; SHORT_BYTES_MAX], length: 0 }
    }
}

impl Cut {
    /// Forgets the last token. Called where a token begins.
    pub(super) fn reset(&mut self) {
        self.length = 0;
    }

    /// Keeps what `chunk`, which begins at `base`, holds of the token that begins at `start`.
    pub(super) fn keep(&mut self, chunk: &[u8], start: u64, base: u64) {
        let skip = usize::try_from(start.saturating_sub(base)).unwrap_or(usize::MAX);
        let bytes = chunk.get(skip..).unwrap_or_default();
        let free = self.bytes.get_mut(self.length..).unwrap_or_default();
        let count = free.len().min(bytes.len());
        if let (Some(free), Some(bytes)) = (free.get_mut(..count), bytes.get(..count)) {
            free.copy_from_slice(bytes);
            self.length += count;
        }
    }

    /// The first `length` bytes, if so many were kept.
    pub(super) fn get(&self, length: usize) -> Option<&[u8]> {
        if length <= self.length { self.bytes.get(..length) } else { None }
    }
}
