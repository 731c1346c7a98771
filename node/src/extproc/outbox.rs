//! Answers on their way to the transport.

use std::ops::Range;

use bytes::Bytes;

use super::chunks::Pieces;

/// Encoded answers of one stream, in order. Heads share one buffer, which is reused; bodies are kept
/// by reference.
#[derive(Debug, Default)]
pub struct Outbox {
    heads: Vec<u8>,
    messages: Vec<(Range<usize>, Pieces)>,
}

impl Outbox {
    /// Adds a message that is what `head` appends, followed by `body`.
    pub fn push(&mut self, body: Pieces, head: impl FnOnce(&mut Vec<u8>)) {
        let start = self.heads.len();
        head(&mut self.heads);
        self.messages.push((start..self.heads.len(), body));
    }

    /// Drops what was added.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.messages.clear();
    }

    /// Head and body of each message, in order.
    pub fn messages(&self) -> impl Iterator<Item = (&[u8], &[Bytes])> {
        self.messages.iter().map(|(head, body)| {
            let head = self.heads.get(head.clone()).unwrap_or_default();
            (head, body.as_slice())
        })
    }
}
