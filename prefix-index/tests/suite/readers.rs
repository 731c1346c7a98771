//! Readers on other threads while the writer applies.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::workload::{Filled, Kind, Workload, go_on};

/// Every depth that a reader sees is one that the endpoint had: the chains are built so that an
/// endpoint either holds all of a chain or a known part, whatever is evicted meanwhile.
#[test]
fn see_no_more_than_an_endpoint_ever_held() {
    const ENDPOINTS: usize = 8;
    let mut filled = Filled::new(ENDPOINTS, 30_000, 200_000);
    let mut workload = Workload::new(Kind::Conversations { turns: 16 }, ENDPOINTS, 5);
    let requests: Vec<_> = (0..1500).map(|_| workload.request()).collect();
    // The longest prefix of each request's chain that each endpoint is ever told to hold.
    let mut told = HashMap::new();
    for (endpoint, chain) in &requests {
        for (depth, block) in (1u32..).zip(chain) {
            told.entry((*block, *endpoint)).or_insert(depth);
        }
    }
    let (stop, queries) = (AtomicBool::new(false), AtomicUsize::new(0));
    let reader = filled.reader.clone();
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (reader, requests, told) = (reader.clone(), &requests, &told);
            let (stop, queries) = (&stop, &queries);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut depths = [0; ENDPOINTS];
                while !stop.load(Ordering::Relaxed) {
                    let (_, chain) = &requests[random.usize(..requests.len())];
                    let known = reader.depths(chain, &mut depths);
                    assert_eq!(known, depths.iter().copied().max().unwrap_or(0));
                    for (endpoint, &depth) in depths.iter().enumerate() {
                        let last = depth.checked_sub(1).map(|at| chain[at as usize]);
                        let legal = last.is_none_or(|block| told.contains_key(&(block, endpoint)));
                        assert!(legal, "endpoint {endpoint} never held {depth} blocks");
                    }
                    queries.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..3 {
            for request in &requests {
                let command = filled.propose(request);
                filled.index.apply(&command);
            }
            assert!(round < 3);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(0 < queries.load(Ordering::Relaxed));
}

/// What no command touches is seen whole at every moment, however much changes around it.
#[test]
fn never_lose_what_stays() {
    const ENDPOINTS: usize = 4;
    let mut filled = Filled::new(ENDPOINTS, 1 << 20, 1 << 20);
    let kept = go_on(&[], 1 << 50, 700);
    for (endpoint, depth) in [(0, 700), (1, 650), (2, 3), (3, 699)] {
        let command = filled.propose(&(endpoint, kept[..depth].to_vec()));
        filled.index.apply(&command);
    }
    let reader = filled.reader.clone();
    let (stop, missed, asked) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut depths = [0; ENDPOINTS];
            while !stop.load(Ordering::Relaxed) {
                reader.depths(&kept, &mut depths);
                asked.fetch_add(1, Ordering::Relaxed);
                if depths == [0; ENDPOINTS] {
                    // The writer was interrupted where readers must wait for it.
                    missed.fetch_add(1, Ordering::Relaxed);
                } else {
                    assert_eq!(depths, [700, 650, 3, 699]);
                }
            }
        });
        // Branches of the kept chain, so that its runs are cut and joined, and others.
        for number in 0..1500 {
            let at = fastrand::usize(..700);
            let branch = (3, go_on(&kept[..at], number + 1, 5));
            let command = filled.propose(&branch);
            filled.index.apply(&command);
            let other = (3, go_on(&[], number + 1, 300));
            let command = filled.propose(&other);
            filled.index.apply(&command);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (missed, asked) = (missed.into_inner(), asked.into_inner());
    assert!(missed * 100 <= asked, "{missed} of {asked} queries found nothing");
}
