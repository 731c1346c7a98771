//! Series by label set: made and counted in where requests are served, shown from elsewhere.
//!
//! Whoever counts makes itself a series and offers it here, which waits for nobody. Whoever shows
//! them takes in what was offered, and sums the series of each label set. A series in which nobody
//! counts any more is added to the first of its label set and dropped.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

/// Something that counts.
pub(super) trait Series: Debug {
    /// One in which nothing was counted.
    fn empty() -> Self;

    /// Counts all that `other` has counted.
    fn add(&self, other: &Self);

    /// Whether nothing was counted.
    fn is_empty(&self) -> bool;
}

/// All series of one kind.
#[derive(Debug)]
pub(super) struct Catalogue<K, S> {
    offers: mpsc::Sender<(K, Arc<S>)>,
    shown: Mutex<Shown<K, S>>,
    /// Where is counted what finds no place among the offers.
    other: Arc<S>,
}

#[derive(Debug)]
struct Shown<K, S> {
    offered: mpsc::Receiver<(K, Arc<S>)>,
    series: BTreeMap<K, Vec<Arc<S>>>,
}

/// Offers that wait at most. They are taken in every second, and few requests have labels that were
/// never seen.
const OFFERS_MAX: usize = 8192;

impl<K: Ord + Clone + Debug, S: Series> Catalogue<K, S> {
    /// `other` are the labels under which is counted what finds no place.
    pub(super) fn new(other: K) -> Self {
        let (offers, offered) = mpsc::channel(OFFERS_MAX);
        let none = Arc::new(S::empty());
        let series = BTreeMap::from([(other, vec![Arc::clone(&none)])]);
        Self { offers, shown: Mutex::new(Shown { offered, series }), other: none }
    }

    /// A series that is shown under `labels`, or under what they are bounded to. Waits for nobody.
    pub(super) fn series(&self, labels: K) -> Arc<S> {
        let series = Arc::new(S::empty());
        match self.offers.try_send((labels, Arc::clone(&series))) {
            Ok(()) => series,
            Err(_full) => Arc::clone(&self.other),
        }
    }

    /// Takes in what was offered, under labels that `bounded` makes of those it was offered with.
    pub(super) fn take_in(&self, mut bounded: impl FnMut(K) -> K) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let Shown { offered, series } = &mut *shown;
        while let Ok((labels, offer)) = offered.try_recv() {
            let all = series.entry(bounded(labels)).or_default();
            all.push(offer);
            fold(all);
        }
    }

    /// The sum of each label set, in order.
    pub(super) fn sums(&self) -> Vec<(K, S)> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |(labels, all): (&K, &Vec<Arc<S>>)| {
            let sum = S::empty();
            for series in all {
                sum.add(series);
            }
            let is_unused = matches!(&all[..], [only] if Arc::ptr_eq(only, &self.other));
            (!is_unused || !sum.is_empty()).then(|| (labels.clone(), sum))
        };
        shown.series.iter().filter_map(sum).collect()
    }
}

/// Drops the series that nobody else has, all but the first, which counts what they have counted.
fn fold<S: Series>(all: &mut Vec<Arc<S>>) {
    let mut rest = std::mem::take(all).into_iter();
    let Some(first) = rest.next() else { return };
    all.push(Arc::clone(&first));
    for series in rest {
        match Arc::try_unwrap(series) {
            Ok(left) => first.add(&left),
            Err(counting) => all.push(counting),
        }
    }
}

impl Series for AtomicU64 {
    fn empty() -> Self {
        Self::new(0)
    }

    fn add(&self, other: &Self) {
        self.fetch_add(other.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn is_empty(&self) -> bool {
        self.load(Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Catalogue<&'static str, AtomicU64>;

    fn count(series: &AtomicU64) {
        series.fetch_add(1, Ordering::Relaxed);
    }

    #[track_caller]
    fn check(numbers: &Numbers, expected: &[(&str, u64)]) {
        let sums = numbers.sums();
        let sums: Vec<_> =
            sums.iter().map(|(labels, sum)| (*labels, sum.load(Ordering::Relaxed))).collect();
        assert_eq!(sums, expected);
    }

    #[test]
    fn series_of_one_label_set_are_summed_whoever_counts() {
        let numbers = Numbers::new("other");
        let (one, same, another) = (numbers.series("a"), numbers.series("a"), numbers.series("b"));
        for series in [&one, &same, &another] {
            count(series);
        }
        numbers.take_in(|labels| labels);
        count(&one);
        check(&numbers, &[("a", 3), ("b", 1)]);
    }

    #[test]
    fn what_was_counted_stays_when_nobody_counts_any_more() {
        let numbers = Numbers::new("other");
        for _ in 0..100 {
            count(&numbers.series("a"));
            numbers.take_in(|labels| labels);
        }
        check(&numbers, &[("a", 100)]);
        let shown = numbers.shown.lock().unwrap();
        assert!(shown.series["a"].len() <= 2, "{:?}", shown.series);
    }

    #[test]
    fn what_finds_no_place_is_counted_as_other() {
        let numbers = Numbers::new("other");
        let waiting: Vec<_> = (0..OFFERS_MAX).map(|_| numbers.series("a")).collect();
        count(&numbers.series("b"));
        for series in &waiting {
            count(series);
        }
        numbers.take_in(|labels| labels);
        check(&numbers, &[("a", OFFERS_MAX as u64), ("other", 1)]);
        count(&numbers.series("b"));
        numbers.take_in(|labels| labels);
        check(&numbers, &[("a", OFFERS_MAX as u64), ("b", 1), ("other", 1)]);
    }

    #[test]
    fn counting_does_not_wait_for_who_shows() {
        let numbers = Numbers::new("other");
        let known = numbers.series("a");
        let shown = numbers.shown.lock().unwrap();
        count(&known);
        count(&numbers.series("b"));
        drop(shown);
        numbers.take_in(|labels| labels);
        check(&numbers, &[("a", 1), ("b", 1)]);
    }
}
