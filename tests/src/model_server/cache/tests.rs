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

/// Runs one prompt through the cache as a request would: what it finds, and what it holds.
fn run(cache: &mut KvCache, path: &[u8]) -> Option<(usize, Vec<BlockId>)> {
    let hashes = hashes(path);
    let matched = cache.matched(&hashes);
    let mut held = Vec::new();
    if !cache.grow(&mut held, &hashes[..matched], hashes.len()) {
        return None;
    }
    for (&id, &hash) in held.iter().zip(&hashes).skip(matched) {
        cache.fill(id, hash);
    }
    Some((matched, held))
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

    fn run(&mut self, hashes: &[BlockHash]) -> Option<(usize, Vec<usize>)> {
        let mut held: Vec<usize> = hashes.iter().map_while(|&hash| self.find(hash)).collect();
        let matched = held.len();
        let idle = held.iter().filter(|&&block| self.references[block] == 0).count();
        if self.free.len() < idle + hashes.len() - matched {
            return None;
        }
        self.free.retain(|block| !held.contains(block));
        for &hash in &hashes[matched..] {
            let block = self.free.pop_front().unwrap();
            self.full.retain(|&full| full != block);
            self.hash[block] = Some(hash);
            held.push(block);
        }
        self.full.extend(&held[matched..]);
        for &block in &held {
            self.references[block] += 1;
        }
        Some((matched, held))
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

#[derive(Clone, Debug)]
enum Step {
    Run(Vec<u8>),
    /// Ends one of the requests that run.
    Release(prop::sample::Index),
}

#[test]
fn the_cache_does_what_the_plain_one_does() {
    let prompt = prop::collection::vec(0..3_u8, 1..8);
    let step = prop_oneof![
        3 => prompt.prop_map(Step::Run),
        2 => any::<prop::sample::Index>().prop_map(Step::Release),
    ];
    let inputs = (2..24_u32, prop::collection::vec(step, 0..120));
    check(&inputs, |(capacity, steps)| {
        let mut cache = KvCache::new(capacity, true);
        let mut plain = Plain::new(capacity as usize);
        let mut running: Vec<(Vec<BlockId>, Vec<usize>)> = Vec::new();
        for step in steps {
            match step {
                Step::Run(path) => {
                    let found = run(&mut cache, &path);
                    let expected = plain.run(&hashes(&path));
                    let blocks = |held: &[BlockId]| -> Vec<usize> {
                        held.iter().map(|id| id.0 as usize).collect()
                    };
                    let seen = found.as_ref().map(|(matched, held)| (*matched, blocks(held)));
                    assert_eq!(seen, expected);
                    running.extend(found.zip(expected).map(|((_, a), (_, b))| (a, b)));
                }
                Step::Release(which) if !running.is_empty() => {
                    let (held, expected) = running.remove(which.index(running.len()));
                    cache.release(&held);
                    plain.release(&expected);
                }
                Step::Release(_) => {}
            }
            assert_eq!(cache.used(), capacity as usize - plain.free.len());
        }
    });
}
