//! Bodies cut for Envoy.

use bytes::Bytes;
use smallvec::SmallVec;

/// Runs of body bytes that make up one message, in order, without a copy.
pub(super) type Pieces = SmallVec<[Bytes; 4]>;

/// Body bytes in one answer at most.
///
/// Envoy's default gRPC limits are far higher; this is the size at which the picker that Convoy
/// replaces cuts bodies, and what its tests compare.
pub(super) const BODY_ANSWER_BYTES_MAX: usize = 62_000;

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
