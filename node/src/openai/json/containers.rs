//! Which containers are open: one bit for each, so that depth costs next to nothing.

use smallvec::SmallVec;

use super::DEPTH_MAX;

/// The open objects and arrays, outermost first.
#[derive(Debug, Default)]
pub(super) struct Containers {
    /// Bit `n` is set if the container at depth `n` is an object.
    objects: SmallVec<[u64; 2]>,
    depth: usize,
    innermost_is_object: bool,
}

impl Containers {
    /// Opens one; false if that is one too many.
    #[inline]
    pub(super) fn push(&mut self, is_object: bool) -> bool {
        if DEPTH_MAX <= self.depth {
            return false;
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if self.objects.len() <= word {
            self.objects.push(0);
        }
        if let Some(word) = self.objects.get_mut(word) {
            *word = *word & !(1 << bit) | u64::from(is_object) << bit;
        }
        self.depth += 1;
        self.innermost_is_object = is_object;
        true
    }

    /// Closes the innermost.
    #[inline]
    pub(super) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.innermost_is_object = self.depth.checked_sub(1).is_some_and(|innermost| {
            self.objects.get(innermost / 64).is_some_and(|word| word >> (innermost % 64) & 1 == 1)
        });
    }

    #[inline]
    pub(super) fn innermost_is_object(&self) -> bool {
        self.innermost_is_object
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.depth == 0
    }
}
