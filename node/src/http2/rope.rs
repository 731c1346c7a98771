//! Bytes waiting to go out: small pieces in one growing buffer, large ones by reference between
//! them.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A piece of at least this size is kept by reference; copying a smaller one costs about what its
/// place in a vectored write does. Bodies are cut to fit frames, so most pieces have two short
/// ends, and what of them is copied adds to what a body costs.
const SPLICE_BYTES_MIN: usize = 1024;

/// An emptied buffer larger than this is given back.
const BUFFER_KEPT_BYTES_MAX: usize = 256 << 10;

/// A queue of bytes that copies no large piece.
#[derive(Debug, Default)]
pub(crate) struct Rope {
    /// The small pieces, end to end. The first `taken` bytes are gone.
    buffer: Vec<u8>,
    taken: usize,
    splices: VecDeque<Splice>,
    spliced_bytes: usize,
}

/// A large piece, which stands before the byte `at` of the buffer. Never empty.
#[derive(Debug)]
struct Splice {
    at: usize,
    bytes: Bytes,
}

impl Rope {
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() - self.taken + self.spliced_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    pub(crate) fn push_bytes(&mut self, piece: &Bytes) {
        if piece.len() < SPLICE_BYTES_MIN {
            return self.push(piece);
        }
        self.spliced_bytes += piece.len();
        self.splices.push_back(Splice { at: self.buffer.len(), bytes: piece.clone() });
    }

    /// Fills `slices` with what is at the front; returns how many it filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut from = self.taken;
        let mut filled = 0;
        let mut put = |piece: &'a [u8]| {
            if !piece.is_empty()
                && let Some(slice) = slices.get_mut(filled)
            {
                *slice = IoSlice::new(piece);
                filled += 1;
            }
            filled < slices.len()
        };
        for splice in &self.splices {
            let before = self.buffer.get(from..splice.at).unwrap_or_default();
            from = splice.at;
            if !put(before) || !put(&splice.bytes) {
                return filled;
            }
        }
        put(self.buffer.get(from..).unwrap_or_default());
        filled
    }

    /// Removes the first `count` bytes, or all.
    pub(crate) fn advance(&mut self, count: usize) {
        self.drain(count, |_| (), |_| ());
    }

    /// Moves the first `count` bytes, or all, to the end of `to`.
    pub(crate) fn move_to(&mut self, to: &mut Self, count: usize) {
        // Two closures cannot borrow `to` at once, and the pieces must keep their order.
        let to = std::cell::RefCell::new(to);
        self.drain(
            count,
            |piece| to.borrow_mut().push(piece),
            |bytes| to.borrow_mut().push_bytes(&bytes),
        );
    }

    fn drain(&mut self, count: usize, mut small: impl FnMut(&[u8]), mut large: impl FnMut(Bytes)) {
        let mut left = count;
        while 0 < left {
            match self.splices.front_mut() {
                Some(splice) if splice.at == self.taken => {
                    let length = splice.bytes.len().min(left);
                    large(splice.bytes.split_to(length));
                    if !splice.bytes.has_remaining() {
                        self.splices.pop_front();
                    }
                    self.spliced_bytes -= length;
                    left -= length;
                }
                next => {
                    let end = next.map_or(self.buffer.len(), |splice| splice.at);
                    let length = (end - self.taken).min(left);
                    if length == 0 {
                        break;
                    }
                    small(self.buffer.get(self.taken..self.taken + length).unwrap_or_default());
                    self.taken += length;
                    left -= length;
                }
            }
        }
        self.tidy();
    }

    /// Gives up the part of the buffer that is gone, when that is cheap: at the end, or when it is
    /// the larger part, so that each byte is moved at most once on average.
    fn tidy(&mut self) {
        if self.taken == self.buffer.len() && self.splices.is_empty() {
            self.buffer.clear();
            self.taken = 0;
            if BUFFER_KEPT_BYTES_MAX < self.buffer.capacity() {
                self.buffer = Vec::new();
            }
        } else if BUFFER_KEPT_BYTES_MAX < self.taken && self.buffer.len() / 2 < self.taken {
            self.buffer.drain(..self.taken);
            for splice in &mut self.splices {
                splice.at -= self.taken;
            }
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(rope: &Rope) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = rope.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>()
    }

    #[test]
    fn a_large_piece_is_not_copied() {
        let large = Bytes::from(vec![7; SPLICE_BYTES_MIN]);
        let mut rope = Rope::default();
        rope.push(b"before");
        rope.push_bytes(&large);
        rope.push(b"after");
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(rope.slices(&mut slices), 3);
        assert_eq!(slices[1].as_ptr(), large.as_ptr());
    }

    #[test]
    fn fewer_slices_than_pieces_show_the_front() {
        let mut rope = Rope::default();
        rope.push(b"x");
        rope.push_bytes(&Bytes::from(vec![7; SPLICE_BYTES_MIN]));
        let mut slices = [IoSlice::new(&[]); 1];
        assert_eq!(rope.slices(&mut slices), 1);
        assert_eq!(&*slices[0], b"x");
        assert_eq!(rope.slices(&mut []), 0);
    }

    proptest! {
        #[test]
        fn a_rope_is_the_bytes_that_were_pushed(
            steps in prop::collection::vec((0..3u8, 0..3 * SPLICE_BYTES_MIN), 0..40),
        ) {
            let (mut rope, mut other) = (Rope::default(), Rope::default());
            let (mut model, mut other_model) = (VecDeque::new(), Vec::new());
            for (nth, (action, size)) in steps.into_iter().enumerate() {
                let fill = u8::try_from(nth).unwrap();
                match action {
                    0 => {
                        rope.push_bytes(&Bytes::from(vec![fill; size]));
                        model.extend(vec![fill; size]);
                    }
                    1 => {
                        rope.advance(size);
                        model.drain(..size.min(model.len()));
                    }
                    _ => {
                        rope.move_to(&mut other, size);
                        other_model.extend(model.drain(..size.min(model.len())));
                    }
                }
                prop_assert_eq!(rope.len(), model.len());
                prop_assert_eq!(&text(&rope), model.make_contiguous());
                prop_assert_eq!(&text(&other), &other_model);
            }
        }
    }
}
