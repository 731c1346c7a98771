//! A body as it arrived: chunks kept by reference, read by span.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::json::Span;

/// Finds spans in a list of chunks. Spans in ascending order cost one walk over the chunks.
pub(super) struct Reader<'a> {
    chunks: &'a [Bytes],
    /// The chunk that the last span began in, and where that chunk begins in the body.
    index: usize,
    base: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(chunks: &'a [Bytes]) -> Self {
        Self { chunks, index: 0, base: 0 }
    }

    /// Hands the bytes of `span` to `sink`, a slice of each chunk that holds some of them, until
    /// it has enough. What lies beyond the chunks is not there.
    pub(super) fn read(
        &mut self,
        span: Span,
        mut sink: impl FnMut(&'a [u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if span.start < self.base {
            (self.index, self.base) = (0, 0);
        }
        while let Some(chunk) = self.chunks.get(self.index) {
            let end = self.base + chunk.len() as u64;
            if span.start < end {
                break;
            }
            self.base = end;
            self.index += 1;
        }
        let mut base = self.base;
        for chunk in self.chunks.get(self.index..).unwrap_or_default() {
            if span.end <= base {
                break;
            }
            let from = clamp(span.start.saturating_sub(base), chunk.len());
            let to = clamp(span.end - base, chunk.len());
            if let Some(slice) = chunk.get(from..to)
                && !slice.is_empty()
            {
                sink(slice)?;
            }
            base += chunk.len() as u64;
        }
        ControlFlow::Continue(())
    }
}

fn clamp(offset: u64, length: usize) -> usize {
    usize::try_from(offset).unwrap_or(length).min(length)
}
