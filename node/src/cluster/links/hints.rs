//! Hints that wait for one other replica: a bounded queue that gives up its oldest.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// Batches that wait. At one every 5 ms they cover 5 seconds.
const BATCHES_MAX: usize = 1024;

/// Their bytes. The other side's overlay holds 64 MiB in all.
const BYTES_MAX: usize = 4 << 20;

/// The queue. One task takes, any thread puts.
#[derive(Debug, Default)]
pub(super) struct HintQueue {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Bytes>,
    bytes: usize,
}

impl HintQueue {
    /// Puts a batch at the end, and says how many fell off the front for it.
    pub(super) fn put(&self, batch: Bytes) -> u64 {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.bytes += batch.len();
        waiting.batches.push_back(batch);
        let mut dropped = 0;
        while BATCHES_MAX < waiting.batches.len() || BYTES_MAX < waiting.bytes {
            let Some(oldest) = waiting.batches.pop_front() else {
                break;
            };
            waiting.bytes -= oldest.len();
            dropped += 1;
        }
        drop(waiting);
        self.filled.notify_one();
        dropped
    }

    /// Takes the oldest batch, once there is one.
    pub(super) async fn take(&self) -> Bytes {
        loop {
            if let Some(batch) = self.take_now() {
                return batch;
            }
            self.filled.notified().await;
        }
    }

    fn take_now(&self) -> Option<Bytes> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = waiting.batches.pop_front()?;
        waiting.bytes -= batch.len();
        Some(batch)
    }

    /// Forgets all that wait, and says how many.
    pub(super) fn clear(&self) -> u64 {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { batches, .. } = std::mem::take(&mut *waiting);
        u64::try_from(batches.len()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn batches_come_out_in_the_order_in_which_they_were_put() {
        let queue = HintQueue::default();
        for number in 0..10 {
            assert_eq!(queue.put(vec![number].into()), 0);
        }
        for number in 0..10 {
            assert_eq!(queue.take().await, vec![number]);
        }
        assert_eq!(queue.take_now(), None);
    }

    #[tokio::test]
    async fn a_queue_that_nobody_empties_keeps_the_youngest() {
        let queue = HintQueue::default();
        let dropped: u64 = (0..2000_u16).map(|n| queue.put(n.to_be_bytes().to_vec().into())).sum();
        assert_eq!(dropped, 2000 - BATCHES_MAX as u64);
        assert_eq!(queue.take().await, 976_u16.to_be_bytes().to_vec());
        assert_eq!(queue.clear(), BATCHES_MAX as u64 - 1);
        assert_eq!(queue.put(Bytes::new()), 0);
    }

    #[test]
    fn large_batches_are_bounded_by_their_bytes() {
        let queue = HintQueue::default();
        let batch = Bytes::from(vec![0; BYTES_MAX / 4]);
        let dropped: u64 = (0..10).map(|_| queue.put(batch.clone())).sum();
        assert_eq!((dropped, queue.clear()), (6, 4));
    }
}
