//! A histogram in which any number of threads count without waiting for one another.
//!
//! That of [`prometheus_client`] has a mutex, which every pick would take some twenty times, and the
//! page while it is written.

use std::{
    fmt::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// Counts of values by size. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    /// The largest value of each bucket but the last, in order.
    tops: &'static [f64],
    /// One more than `tops`.
    buckets: Arc<[AtomicU64]>,
    /// The bits of an `f64`.
    sum: Arc<AtomicU64>,
}

impl Histogram {
    pub(super) fn new(tops: &'static [f64]) -> Self {
        let buckets = (0..=tops.len()).map(|_| AtomicU64::new(0)).collect();
        Self { tops, buckets, sum: Arc::new(AtomicU64::new(0f64.to_bits())) }
    }

    /// Counts `value` so many times.
    pub(super) fn observe(&self, value: f64, times: u32) {
        let place = self.tops.partition_point(|top| *top < value);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(u64::from(times), Ordering::Relaxed);
            self.add_to_sum(value * f64::from(times));
        }
    }

    /// Counts all that `other`, which has the same buckets, has counted.
    pub(super) fn add(&self, other: &Self) {
        for (own, others) in self.buckets.iter().zip(&*other.buckets) {
            own.fetch_add(others.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.add_to_sum(other.sum());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.load(Ordering::Relaxed) == 0)
    }

    fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }

    fn add_to_sum(&self, more: f64) {
        let mut before = self.sum.load(Ordering::Relaxed);
        loop {
            let after = (f64::from_bits(before) + more).to_bits();
            let swapped =
                self.sum.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => return,
                Err(found) => before = found,
            }
        }
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), Error> {
        let tops = self.tops.iter().copied().chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = tops.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    fn page(histogram: Histogram) -> String {
        let mut registry = Registry::default();
        registry.register("a", "a", histogram);
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        page
    }

    #[test]
    fn values_are_counted_up_to_the_top_of_their_bucket() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 9.0] {
            histogram.observe(value, 1);
        }
        histogram.observe(3.0, 2);
        let page = page(histogram);
        let expected = "a_sum 20.0\na_count 7\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"2.0\"} 4\n\
                        a_bucket{le=\"+Inf\"} 7\n";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn what_another_counted_is_added() {
        let (one, other) = (Histogram::new(&[1.0]), Histogram::new(&[1.0]));
        one.observe(0.5, 1);
        other.observe(4.0, 3);
        one.add(&other);
        let page = page(one);
        let expected = "a_sum 12.5\na_count 4\na_bucket{le=\"1.0\"} 1\na_bucket{le=\"+Inf\"} 4\n";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn threads_lose_nothing_of_each_other() {
        let histogram = Histogram::new(&[1.0]);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| (0..10_000).for_each(|_| histogram.observe(2.0, 1)));
            }
        });
        let page = page(histogram);
        assert!(page.contains("a_sum 80000.0\na_count 40000\n"), "{page}");
    }
}
