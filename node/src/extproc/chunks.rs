//! Bodies as they are held, and cut for Envoy.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// Runs of body bytes that make up one message, in order, without a copy.
pub(super) type Pieces = SmallVec<[Bytes; 4]>;

/// Body bytes in one answer at most.
///
/// Envoy's default gRPC limits are far higher; this is the size at which the picker that Convoy
/// replaces cuts bodies, and what its tests compare.
pub(super) const BODY_ANSWER_BYTES_MAX: usize = 62_000;

/// So many runs of a body are held by reference however short they are, which is all of most bodies.
const SHORT_RUNS_MAX: usize = 4;

/// Of more, those that are shorter than this are copied together: by reference each would keep all
/// that was read with it, and a client that sends single bytes would make each cost a hundred.
const SHORT_BYTES_MAX: usize = 4096;

/// The size of what they are copied into.
const GATHERED_BYTES: usize = 16 << 10;

/// A body, or what has come of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    runs: Pieces,
    /// What follows the runs, copied together.
    gathered: BytesMut,
    bytes: usize,
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds the next run.
    pub(super) fn push(&mut self, mut run: Bytes) {
        self.bytes += run.len();
        let is_short = run.len() < SHORT_BYTES_MAX;
        if !is_short || (self.gathered.is_empty() && self.runs.len() < SHORT_RUNS_MAX) {
            self.seal();
            if !run.is_empty() {
                self.runs.push(run);
            }
            return;
        }
        while !run.is_empty() {
            let mut room = self.gathered.capacity() - self.gathered.len();
            if room == 0 {
                self.seal();
                self.gathered = BytesMut::with_capacity(GATHERED_BYTES);
                room = GATHERED_BYTES;
            }
            self.gathered.extend_from_slice(&run.split_to(run.len().min(room)));
        }
    }

    /// All of it, in order.
    pub(super) fn runs(&mut self) -> &[Bytes] {
        self.seal();
        &self.runs
    }

    /// Takes all of it, in order.
    pub(super) fn take(&mut self) -> Pieces {
        self.seal();
        std::mem::take(self).runs
    }

    fn seal(&mut self) {
        if !self.gathered.is_empty() {
            self.runs.push(self.gathered.split().freeze());
        }
    }
}

impl FromIterator<Bytes> for Held {
    fn from_iter<I: IntoIterator<Item = Bytes>>(runs: I) -> Self {
        let mut held = Self::default();
        runs.into_iter().for_each(|run| held.push(run));
        held
    }
}

/// Cuts `body` into answers of [`BODY_ANSWER_BYTES_MAX`] and hands each to `each(pieces, last)`.
///
/// Neighbouring runs share an answer, so many small chunks become few messages. An empty body is
/// one empty answer.
pub(super) fn rechunk(body: impl IntoIterator<Item = Bytes>, mut each: impl FnMut(Pieces, bool)) {
    let mut pieces = Pieces::new();
    let mut room = BODY_ANSWER_BYTES_MAX;
    for mut run in body {
        while !run.is_empty() {
            if room == 0 {
                each(std::mem::take(&mut pieces), false);
                room = BODY_ANSWER_BYTES_MAX;
            }
            let piece = run.split_to(run.len().min(room));
            room -= piece.len();
            pieces.push(piece);
        }
    }
    each(pieces, true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(runs: &[usize], expected: &[usize]) {
        let body: Vec<Bytes> = runs.iter().map(|&len| Bytes::from(vec![7; len])).collect();
        let mut answers = Vec::new();
        let mut lasts = Vec::new();
        rechunk(body, |pieces, last| {
            answers.push(pieces.iter().map(Bytes::len).sum::<usize>());
            lasts.push(last);
        });
        assert_eq!(answers, expected);
        assert!(lasts.iter().rev().skip(1).all(|last| !last) && lasts.last() == Some(&true));
    }

    #[track_caller]
    fn check_held(runs: &[usize], expected: &[usize]) {
        let whole: Bytes = (0..runs.iter().sum()).map(|at: usize| at.to_le_bytes()[0]).collect();
        let mut rest = whole.clone();
        let mut held: Held = runs.iter().map(|&bytes| rest.split_to(bytes)).collect();
        assert_eq!(held.bytes(), whole.len());
        assert_eq!(held.runs().iter().map(Bytes::len).collect::<Vec<_>>(), expected);
        assert_eq!(held.take().concat(), whole);
        assert!(held.is_empty() && held.runs().is_empty());
    }

    #[test]
    fn the_first_runs_and_long_ones_are_held_by_reference() {
        check_held(&[], &[]);
        check_held(&[1, 2, 0, 3, 4], &[1, 2, 3, 4]);
        check_held(&[5000; 6], &[5000; 6]);
    }

    #[test]
    fn short_runs_after_those_are_copied_together() {
        check_held(&[1, 1, 1, 1, 1, 1, 1], &[1, 1, 1, 1, 3]);
        check_held(&[1, 1, 1, 1, 1, 1, 5000, 1], &[1, 1, 1, 1, 2, 5000, 1]);
        let mut expected = vec![4000; 4];
        expected.extend([GATHERED_BYTES, 6 * 4000 - GATHERED_BYTES]);
        check_held(&[4000; 10], &expected);
    }

    #[test]
    fn an_empty_body_is_one_empty_answer() {
        check(&[], &[0]);
        check(&[0], &[0]);
    }

    #[test]
    fn small_runs_share_an_answer() {
        check(&[10, 20, 30], &[60]);
    }

    #[test]
    fn an_exact_multiple_has_no_empty_tail() {
        check(&[62_000], &[62_000]);
        check(&[124_000], &[62_000, 62_000]);
    }

    #[test]
    fn a_long_run_is_cut() {
        check(&[61_999, 2, 62_000], &[62_000, 62_000, 1]);
    }
}
