//! Memory that strangers may fill, counted over the whole process.

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

/// Bytes in use, and how many may be. Clones count together.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes_max: i64,
    bytes: Gauge,
}

/// Nothing is refused.
impl Default for Budget {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl Budget {
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max: i64::try_from(bytes_max).unwrap_or(i64::MAX), bytes: Gauge::default() }
    }

    /// Shows what is in use under `name`.
    pub fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.bytes.clone());
    }

    /// A part of it, empty as yet.
    pub fn share(&self) -> Share {
        Share { of: self.clone(), bytes: 0 }
    }
}

/// What one holder has of a [`Budget`]; dropping it gives all back.
#[derive(Debug)]
pub struct Share {
    of: Budget,
    bytes: usize,
}

/// A [`Budget`] has not so many bytes left; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent;

impl Share {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `bytes` more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Spent> {
        if bytes == 0 {
            return Ok(());
        }
        let more = i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = self.of.bytes.inc_by(more);
        if self.of.bytes_max < before.saturating_add(more) {
            self.of.bytes.dec_by(more);
            return Err(Spent);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives `bytes` back, or all.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        if 0 < bytes {
            self.of.bytes.dec_by(i64::try_from(bytes).unwrap_or(i64::MAX));
            self.bytes -= bytes;
        }
    }

    /// Has `bytes` from here on; on an error, what it had.
    pub fn set(&mut self, bytes: usize) -> Result<(), Spent> {
        self.shrink(self.bytes.saturating_sub(bytes));
        self.grow(bytes - self.bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_never_exceed_their_budget() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert_eq!(one.grow(6), Ok(()));
        assert_eq!(other.grow(5), Err(Spent));
        assert_eq!((other.grow(4), other.bytes()), (Ok(()), 4));
        assert_eq!((one.set(7), one.bytes()), (Err(Spent), 6));
        one.shrink(2);
        assert_eq!((other.set(6), other.bytes()), (Ok(()), 6));
    }

    #[test]
    fn a_dropped_share_gives_everything_back() {
        let budget = Budget::new(10);
        let mut dropped = budget.share();
        dropped.grow(10).unwrap();
        drop(dropped);
        assert_eq!(budget.share().grow(10), Ok(()));
    }

    #[test]
    fn a_share_gives_back_no_more_than_it_has() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        one.grow(5).unwrap();
        other.shrink(5);
        assert_eq!(other.grow(6), Err(Spent));
    }
}
