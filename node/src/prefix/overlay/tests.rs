//! What counts before it is applied.

use super::*;
use crate::{
    clock,
    prefix::{
        sighting::Allowance,
        tests::{blocks, endpoint, next_life, view},
    },
};

fn chains(all: &[&[u64]]) -> Chains {
    let mut chains = Chains::default();
    for chain in all {
        chains.push(&blocks(chain.iter().copied()));
    }
    chains
}

fn sighting(
    endpoint: &Arc<crate::endpoints::Endpoint>,
    sent: &[&[u64]],
    made_at: Instant,
) -> Sighting {
    let allowance = Arc::new(Allowance::new(1 << 20));
    Sighting::new(endpoint, &chains(sent), made_at, &allowance).unwrap()
}

/// As `(chain, position, blocks)`.
fn found(overlay: &Overlay, asked: &[&[u64]], view: &View, now: Instant) -> Vec<(u32, u32, u32)> {
    let mut overlaid = Vec::new();
    overlay.matches(&chains(asked), view, now, &mut overlaid);
    overlaid.iter().map(|found| (found.chain, found.position, found.blocks)).collect()
}

#[test]
fn the_longest_common_start_counts_for_each_prompt_and_endpoint() {
    let (a, b, now) = (endpoint("a", 0), endpoint("b", 1), clock::now());
    let pool = view(&[&a, &b]);
    let overlay = Overlay::default();
    overlay.insert(&sighting(&a, &[&[1, 2, 3], &[7]], now));
    overlay.insert(&sighting(&a, &[&[1, 2]], now));
    overlay.insert(&sighting(&b, &[&[1]], now));
    let asked: &[&[u64]] = &[&[1, 2, 3, 4], &[9], &[7, 8]];
    assert_eq!(found(&overlay, asked, &pool, now), [(0, 0, 3), (0, 1, 1), (2, 0, 1)]);
    assert_eq!(found(&overlay, &[], &pool, now), []);
}

#[test]
fn what_was_applied_is_gone_and_nothing_else() {
    let (a, now) = (endpoint("a", 0), clock::now());
    let (pool, overlay) = (view(&[&a]), Overlay::default());
    let (first, second) = (sighting(&a, &[&[1]], now), sighting(&a, &[&[2]], now));
    overlay.insert(&first);
    overlay.insert(&second);
    overlay.remove(&first);
    overlay.remove(&first);
    assert_eq!(found(&overlay, &[&[1], &[2]], &pool, now), [(1, 0, 1)]);
    assert_eq!(overlay.taken.load(Ordering::Relaxed).count_ones(), 1);
}

#[test]
fn another_life_of_the_endpoint_holds_nothing() {
    let (a, now) = (endpoint("a", 0), clock::now());
    let overlay = Overlay::default();
    overlay.insert(&sighting(&a, &[&[1]], now));
    assert_eq!(found(&overlay, &[&[1]], &view(&[&next_life(&a, 0)]), now), []);
}

#[test]
fn the_oldest_goes_when_there_is_no_room() {
    let (a, now) = (endpoint("a", 0), clock::now());
    let (pool, overlay) = (view(&[&a]), Overlay::default());
    for name in 1..=SIGHTINGS_MAX as u64 {
        let made_at = now + Duration::from_millis(name ^ 1);
        assert!(overlay.insert(&sighting(&a, &[&[name]], made_at)), "{name}");
    }
    let now = now + Duration::from_millis(100);
    assert!(!overlay.insert(&sighting(&a, &[&[1000]], now)));
    assert_eq!(found(&overlay, &[&[1], &[2], &[1000]], &pool, now), [(1, 0, 1), (2, 0, 1)]);
}

#[test]
fn what_is_too_old_counts_no_more_and_frees_its_endpoint() {
    let (a, now) = (endpoint("a", 0), clock::now());
    let (pool, overlay) = (view(&[&a]), Overlay::default());
    overlay.insert(&sighting(&a, &[&[1]], now));
    assert_eq!(found(&overlay, &[&[1]], &pool, now + AGE_MAX), [(0, 0, 1)]);
    let later = now + AGE_MAX + Duration::from_millis(1);
    assert_eq!(found(&overlay, &[&[1]], &pool, later), []);
    overlay.expire(now + AGE_MAX);
    assert_eq!(Arc::strong_count(&a), 3);
    overlay.expire(later);
    assert_eq!(Arc::strong_count(&a), 2);
}

/// Threads insert, find at once what they inserted, and have it removed, all on one overlay.
#[test]
fn threads_find_their_own_sightings_whatever_others_do() {
    let overlay = Overlay::default();
    let now = clock::now();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let overlay = &overlay;
            scope.spawn(move || {
                let own = endpoint("own", thread);
                let pool = view(&[&own]);
                for round in 1..=2000u64 {
                    let sent = [u64::from(thread) << 32 | round];
                    let sighting = sighting(&own, &[&sent], now);
                    overlay.insert(&sighting);
                    assert_eq!(found(overlay, &[&sent], &pool, now), [(0, 0, 1)]);
                    overlay.remove(&sighting);
                    assert_eq!(found(overlay, &[&sent], &pool, now), []);
                }
            });
        }
    });
    assert_eq!(overlay.taken.load(Ordering::Relaxed), 0);
    assert!(overlay.places.iter().all(|place| place.load().is_none()));
}
