//! Claims about the cache, and the cache beside one written for plainness alone.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::random::check;
use super::super::tokens::{Chain, Tokens};
use super::*;

/// The hashes of a prompt of `path.len()` blocks; prompts with a common path share their blocks.
fn hashes(path: &[u8]) -> Vec<BlockHash> {
    let ids: Vec<u32> = path.iter().map(|&step| u32::from(step)).collect();
    Chain::new(&Tokens::of_ids(&ids), 1, 0).hashes().to_vec()
}

/// What a prompt finds in the cache, and what it holds then.
type Found<Id> = (usize, Vec<Id>);

/// Gives a prompt its blocks, not filled yet.
fn grow(cache: &mut KvCache, hashes: &[BlockHash]) -> Option<Found<BlockId>> {
    let matched = cache.matched(hashes);
    let mut held = Vec::new();
    cache.grow(&mut held, &hashes[..matched], hashes.len()).then_some((matched, held))
}

fn fill(cache: &mut KvCache, (matched, held): &Found<BlockId>, hashes: &[BlockHash]) {
    for (&id, &hash) in held.iter().zip(hashes).skip(*matched) {
        cache.fill(id, hash);
    }
}

/// Runs one prompt through the cache as a request would.
fn run(cache: &mut KvCache, path: &[u8]) -> Option<Found<BlockId>> {
    let hashes = hashes(path);
    let found = grow(cache, &hashes)?;
    fill(cache, &found, &hashes);
    Some(found)
}

fn run_and_release(cache: &mut KvCache, path: &[u8]) -> usize {
    let (matched, held) = run(cache, path).unwrap();
    cache.release(&held);
    matched
}

#[test]
fn released_blocks_are_found_again() {
    let mut cache = KvCache::new(8, true);
    assert_eq!(run_and_release(&mut cache, b"abcd"), 0);
    assert_eq!((cache.used(), cache.cached()), (0, 4));
    assert_eq!(run_and_release(&mut cache, b"abxy"), 2);
    assert_eq!(run_and_release(&mut cache, b"abcd"), 4);
}

#[test]
fn a_prompts_tail_is_forgotten_before_its_head() {
    let mut cache = KvCache::new(6, true);
    run_and_release(&mut cache, b"abcd");
    run_and_release(&mut cache, b"1234");
    assert_eq!(cache.matched(&hashes(b"abcd")), 2);
    assert_eq!(cache.matched(&hashes(b"1234")), 4);
}

#[test]
fn who_ended_earlier_is_forgotten_first_and_a_hit_counts_as_use() {
    let mut cache = KvCache::new(6, true);
    run_and_release(&mut cache, b"ab");
    run_and_release(&mut cache, b"cd");
    run_and_release(&mut cache, b"ef");
    run_and_release(&mut cache, b"ab");
    run_and_release(&mut cache, b"xy");
    assert_eq!(cache.matched(&hashes(b"ab")), 2);
    assert_eq!(cache.matched(&hashes(b"cd")), 0);
    assert_eq!(cache.matched(&hashes(b"ef")), 2);
}

#[test]
fn blocks_in_use_are_not_taken() {
    let mut cache = KvCache::new(6, true);
    let (_, held) = run(&mut cache, b"abcd").unwrap();
    assert_eq!(run(&mut cache, b"123"), None);
    assert_eq!(run_and_release(&mut cache, b"abx"), 2);
    assert_eq!(cache.used(), 4);
    cache.release(&held);
    assert_eq!(run_and_release(&mut cache, b"123456"), 0);
}

#[test]
fn a_hit_that_nobody_uses_needs_a_free_block_too() {
    let mut cache = KvCache::new(4, true);
    run_and_release(&mut cache, b"ab");
    let (_, _held) = run(&mut cache, b"xy").unwrap();
    // Two blocks are free and hold "ab": it fits with them, and with nothing beside them.
    assert_eq!(run(&mut cache, b"abc"), None);
    assert_eq!(run_and_release(&mut cache, b"ab"), 2);
}

#[test]
fn equal_blocks_computed_side_by_side_outlive_each_other() {
    let mut cache = KvCache::new(4, true);
    let mut held = [Vec::new(), Vec::new()];
    let hashes = hashes(b"ab");
    for held in &mut held {
        assert!(cache.grow(held, &[], 2));
    }
    for held in &held {
        for (&id, &hash) in held.iter().zip(&hashes) {
            cache.fill(id, hash);
        }
    }
    assert_eq!(cache.cached(), 2);
    cache.release(&held[0]);
    run_and_release(&mut cache, b"xy");
    assert_eq!(cache.matched(&hashes), 2);
}

#[test]
fn without_prefix_caching_nothing_is_found_again() {
    let mut cache = KvCache::new(8, false);
    run_and_release(&mut cache, b"abcd");
    assert_eq!(run_and_release(&mut cache, b"abcd"), 0);
    assert_eq!(cache.cached(), 0);
}

/// The cache as a list of blocks and a queue, searched from end to end.
struct Plain {
    hash: Vec<Option<BlockHash>>,
    references: Vec<u32>,
    free: VecDeque<usize>,
    /// Blocks that are full, in the order in which they became so.
    full: Vec<usize>,
}

impl Plain {
    fn new(capacity: usize) -> Self {
        Self {
            hash: vec![None; capacity],
            references: vec![0; capacity],
            free: (0..capacity).collect(),
            full: Vec::new(),
        }
    }

    fn find(&self, hash: BlockHash) -> Option<usize> {
        self.full.iter().copied().find(|&block| self.hash[block] == Some(hash))
    }

    fn grow(&mut self, hashes: &[BlockHash]) -> Option<Found<usize>> {
        let mut held: Vec<usize> = hashes.iter().map_while(|&hash| self.find(hash)).collect();
        let matched = held.len();
        let idle = held.iter().filter(|&&block| self.references[block] == 0).count();
        if self.free.len() < idle + hashes.len() - matched {
            return None;
        }
        self.free.retain(|block| !held.contains(block));
        for _ in matched..hashes.len() {
            let block = self.free.pop_front().unwrap();
            self.full.retain(|&full| full != block);
            held.push(block);
        }
        for &block in &held {
            self.references[block] += 1;
        }
        Some((matched, held))
    }

    fn fill(&mut self, (matched, held): &Found<usize>, hashes: &[BlockHash]) {
        for (&block, &hash) in held.iter().zip(hashes).skip(*matched) {
            self.hash[block] = Some(hash);
            self.full.push(block);
        }
    }

    fn release(&mut self, held: &[usize]) {
        for &block in held.iter().rev() {
            self.references[block] -= 1;
            if self.references[block] == 0 {
                self.free.push_back(block);
            }
        }
    }
}

/// Both, and the requests that run in them, always alike.
struct Pair {
    cache: KvCache,
    plain: Plain,
    running: Vec<(Vec<BlockId>, Vec<usize>)>,
}

impl Pair {
    fn new(capacity: u32) -> Self {
        let (cache, plain) = (KvCache::new(capacity, true), Plain::new(capacity as usize));
        Self { cache, plain, running: Vec::new() }
    }

    /// Starts prompts that all look before any of them fills its blocks.
    fn start(&mut self, paths: &[Vec<u8>]) {
        let paths: Vec<_> = paths.iter().map(|path| hashes(path)).collect();
        let mut started = Vec::new();
        for hashes in paths {
            let (found, expected) = (grow(&mut self.cache, &hashes), self.plain.grow(&hashes));
            let seen = found.as_ref().map(|(matched, held)| {
                (*matched, held.iter().map(|id| id.0 as usize).collect::<Vec<_>>())
            });
            assert_eq!(seen, expected);
            started.extend(found.zip(expected).map(|(found, expected)| (hashes, found, expected)));
        }
        for (hashes, found, expected) in started {
            fill(&mut self.cache, &found, &hashes);
            self.plain.fill(&expected, &hashes);
            self.running.push((found.1, expected.1));
        }
    }

    fn release(&mut self, which: prop::sample::Index) {
        if self.running.is_empty() {
            return;
        }
        let (held, expected) = self.running.remove(which.index(self.running.len()));
        self.cache.release(&held);
        self.plain.release(&expected);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Start(Vec<Vec<u8>>),
    /// Ends one of the requests that run.
    Release(prop::sample::Index),
}

#[test]
fn the_cache_does_what_the_plain_one_does() {
    let prompt = prop::collection::vec(0..3_u8, 1..8);
    let step = prop_oneof![
        3 => prop::collection::vec(prompt, 1..4).prop_map(Step::Start),
        5 => any::<prop::sample::Index>().prop_map(Step::Release),
    ];
    let inputs = (2..40_u32, prop::collection::vec(step, 0..120));
    check(&inputs, |(capacity, steps)| {
        let mut pair = Pair::new(capacity);
        for step in steps {
            match step {
                Step::Start(paths) => pair.start(&paths),
                Step::Release(which) => pair.release(which),
            }
            assert_eq!(pair.cache.used(), capacity as usize - pair.plain.free.len());
        }
    });
}
