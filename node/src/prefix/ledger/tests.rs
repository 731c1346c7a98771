//! What the index is told of endpoints and sightings, without an actor.

use convoy_prefix_index::BlockHash;

use super::*;
use crate::{
    clock,
    prefix::tests::{blocks, endpoint, next_life, parameters, settings, telling, view},
};

fn ledger(memberships_max: u64) -> Ledger {
    Ledger::new(parameters(memberships_max), settings(), 1)
}

fn follow(ledger: &mut Ledger, view: &View) -> bool {
    let mut tally = Tally::default();
    let differs = ledger.follow(view, &mut tally);
    assert_eq!(tally.refused, []);
    differs
}

/// Tells that the chain was sent, however many commands it takes; answers with the refusals.
fn send(ledger: &mut Ledger, endpoint: &Endpoint, chain: &[BlockHash]) -> Vec<Refusal> {
    let (mut tally, mut said) = (Tally::default(), 0);
    for step in 0..100 {
        match ledger.sighted(endpoint, (chain, said), Stamp(1), &mut tally) {
            Said::Part(more) => said = more,
            Said::AskAgain => {}
            Said::Whole => return tally.refused,
        }
        assert_ne!(step, 99, "the chain is never whole");
    }
    tally.refused
}

/// Blocks of `chain` that picks find at the endpoint; `None` if they find no endpoint.
fn depth(ledger: &Ledger, endpoint: &Endpoint, chain: &[BlockHash]) -> Option<u32> {
    let published = ledger.published();
    let place = published.places.get(endpoint.slot as usize)?.as_ref()?;
    let mut depths = vec![0; published.reader.slots()];
    published.reader.depths(chain, &mut depths);
    Some(depths[place.slot.0 as usize])
}

#[test]
fn holdings_follow_who_is_in_the_view() {
    let (a, b, chain) = (endpoint("a", 0), endpoint("b", 3), blocks(1..=4));
    let mut ledger = ledger(1000);
    assert!(follow(&mut ledger, &view(&[&a, &b])));
    assert_eq!(send(&mut ledger, &a, &chain), []);
    assert_eq!(depth(&ledger, &a, &chain), Some(4));
    assert_eq!(depth(&ledger, &b, &chain), Some(0));

    assert!(follow(&mut ledger, &view(&[&b])));
    assert_eq!(depth(&ledger, &a, &chain), None);
    assert_eq!(ledger.left().len(), 1);
    assert_eq!(ledger.left(), []);
    // A sighting that waited while its endpoint left says nothing.
    assert_eq!(send(&mut ledger, &a, &chain), []);
    assert_eq!(ledger.reader().statistics().memberships, 0);
}

#[test]
fn another_life_at_an_address_starts_empty_in_one_step() {
    let (first, chain) = (endpoint("a", 0), blocks(1..=4));
    let second = next_life(&first, 1);
    let mut ledger = ledger(1000);
    follow(&mut ledger, &view(&[&first]));
    send(&mut ledger, &first, &chain);
    assert!(follow(&mut ledger, &view(&[&second])));
    assert_eq!(depth(&ledger, &first, &chain), None);
    assert_eq!(depth(&ledger, &second, &chain), Some(0));
    send(&mut ledger, &first, &chain);
    assert_eq!(depth(&ledger, &second, &chain), Some(0), "a sighting of the life before");
}

#[test]
fn a_readiness_flap_and_another_description_keep_holdings() {
    let (a, chain) = (endpoint("a", 0), blocks(1..=4));
    let mut ledger = ledger(1000);
    follow(&mut ledger, &view(&[&a]));
    send(&mut ledger, &a, &chain);
    let mut unready = view(&[&a]);
    unready.members[0].ready = false;
    assert!(!follow(&mut ledger, &unready));
    let labels = [("role".to_owned(), "decode".to_owned())].into();
    let relabelled = Arc::new(Endpoint { labels, ..Endpoint::clone(&a) });
    assert!(!follow(&mut ledger, &view(&[&relabelled])));
    assert_eq!(depth(&ledger, &relabelled, &chain), Some(4));
}

#[test]
fn an_address_listed_twice_counts_for_the_second_when_the_first_has_left() {
    let first = endpoint("old name", 0);
    let key = crate::endpoints::EndpointKey { name: "new name".into(), ..first.key.clone() };
    let second = Arc::new(Endpoint { key, ..Endpoint::clone(&next_life(&first, 1)) });
    let (mut ledger, mut tally) = (ledger(1000), Tally::default());
    ledger.follow(&view(&[&first, &second]), &mut tally);
    assert_eq!(tally.applied, 1);
    assert_eq!(tally.refused.len(), 1);
    assert!(ledger.knows(&first) && !ledger.knows(&second));
    assert!(follow(&mut ledger, &view(&[&second])));
    assert!(ledger.knows(&second));
}

/// What the ledger would say of `chain` at `endpoint`.
fn command(ledger: &mut Ledger, endpoint: &Endpoint, chain: &[BlockHash]) -> Command {
    let joined = &ledger.joined[&endpoint.slot];
    let place = (joined.name, joined.slot);
    ledger.next_command(place, (chain, 0), Stamp(1)).1.unwrap()
}

#[test]
fn only_what_no_endpoint_is_known_to_hold_is_said() {
    let (a, b) = (endpoint("a", 0), endpoint("b", 1));
    let mut ledger = ledger(1000);
    follow(&mut ledger, &view(&[&a, &b]));
    send(&mut ledger, &a, &blocks(1..=4));
    let (longer, branch) = (blocks(1..=6), blocks([1, 2, 30]));
    let (known, unknown) = (blocks(1..=4), blocks([40, 41]));
    // Whom the chain is sent to, the chain, the base said, and the blocks said after it.
    let none: &[u64] = &[];
    let rows = [
        (&a, &longer, Some(4), &[5, 6][..]),
        (&b, &longer, Some(4), &[5, 6]),
        (&a, &branch, Some(2), &[30]),
        (&b, &branch, Some(2), &[30]),
        (&b, &known, Some(4), none),
        (&b, &unknown, None, &[40, 41]),
    ];
    for (endpoint, chain, base, hashes) in rows {
        let Command::Held(held) = command(&mut ledger, endpoint, chain) else {
            panic!("not said to be held: {chain:?}");
        };
        assert_eq!(held.base.map(BlockHash::get), base, "{chain:?}");
        assert_eq!(held.hashes, blocks(hashes.iter().copied()), "{chain:?}");
    }
    for known in [1, 4] {
        let chain = blocks(1..=known);
        let Command::Touched(touched) = command(&mut ledger, &a, &chain) else {
            panic!("not said to be touched: {chain:?}");
        };
        assert_eq!(Some(&touched.block), chain.last());
    }
}

#[test]
fn a_long_chain_is_said_in_parts_and_held_whole() {
    let (a, b) = (endpoint("a", 0), endpoint("b", 1));
    let mut ledger = ledger(200_000);
    follow(&mut ledger, &view(&[&a, &b]));
    let all = HELD_BLOCKS_MAX * 3 + 7;
    let chain = blocks(1..=all as u64);
    let (mut tally, mut said, mut parts) = (Tally::default(), 0, Vec::new());
    while let Said::Part(part) = ledger.sighted(&a, (&chain, said), Stamp(1), &mut tally) {
        said = part;
        parts.push(part);
    }
    assert_eq!(parts, [1, 2, 3].map(|parts| parts * HELD_BLOCKS_MAX));
    assert_eq!(tally, Tally { applied: 4, refused: vec![] });
    let all = u32::try_from(all).unwrap();
    assert_eq!(depth(&ledger, &a, &chain), Some(all));
    // All of it is known by now, so one command says it of another endpoint.
    let mut tally = Tally::default();
    assert_eq!(ledger.sighted(&b, (&chain, 0), Stamp(1), &mut tally), Said::Whole);
    assert_eq!(depth(&ledger, &b, &chain), Some(all));
}

#[test]
fn chains_are_cut_to_the_capacity_before_they_are_said() {
    let (a, chain) = (endpoint("a", 0), blocks(1..=50));
    let mut ledger = ledger(1000);
    let small = telling(view(&[&a]), 4 * 10);
    follow(&mut ledger, &small);
    ledger.resize(&small, clock::now(), &mut Tally::default());
    send(&mut ledger, &a, &chain);
    assert_eq!(depth(&ledger, &a, &chain), Some(10));
    let joined = &ledger.joined[&0];
    assert_eq!(joined.capacity_blocks, 10);
    assert_eq!(send(&mut ledger, &a, &chain), []);
    assert_eq!(ledger.reader().statistics().memberships, 10);
}

#[test]
fn what_an_engine_tells_of_its_cache_is_taken_if_it_makes_sense() {
    let told = |cache_blocks, cache_block_tokens| Load {
        cache_block_tokens,
        cache_blocks,
        ..Load::default()
    };
    let rows = [
        (told(Some(1000), Some(16)), Some(250)),
        (told(Some(0), Some(16)), None),
        (told(Some(1000), Some(0)), None),
        (told(Some(3), Some(16)), None),
        (told(None, Some(16)), None),
        (told(Some(1000), None), None),
        (told(Some(u32::MAX), Some(u32::MAX)), Some(u32::MAX)),
    ];
    for (load, blocks) in rows {
        assert_eq!(capacity(&load, &settings()), blocks, "{load:?}");
        let off = PrefixSettings { capacity_from_engine: false, ..settings() };
        assert_eq!(capacity(&load, &off), None, "{load:?}");
    }
}

#[test]
fn a_capacity_that_changes_at_every_reading_is_taken_now_and_then() {
    let a = endpoint("a", 0);
    let start = clock::now();
    let mut ledger = ledger(1000);
    follow(&mut ledger, &view(&[&a]));
    let mut taken = Vec::new();
    for second in 0..25 {
        let told = telling(view(&[&a]), 400 + 4 * second);
        let now = start + Duration::from_secs(second.into());
        ledger.resize(&told, now, &mut Tally::default());
        let capacity = ledger.joined[&0].capacity_blocks;
        if taken.last() != Some(&capacity) {
            taken.push(capacity);
        }
    }
    assert_eq!(taken, [100, 110, 120]);
}

#[test]
fn a_chain_is_held_after_a_shrink_as_soon_as_eviction_has_caught_up() {
    let (a, b) = (endpoint("a", 0), endpoint("b", 1));
    let mut ledger = ledger(200_000);
    follow(&mut ledger, &view(&[&a, &b]));
    // Chains of their own, so that each is evicted by itself.
    for first in 0..40_000 {
        send(&mut ledger, &a, &blocks([first + 1]));
    }
    let shrunk = telling(view(&[&a]), 4);
    ledger.resize(&shrunk, clock::now(), &mut Tally::default());
    let chain = blocks(1_000_000..1_000_004);
    let refused = send(&mut ledger, &b, &chain);
    assert!(!refused.is_empty() && refused.len() < 20, "{} refusals", refused.len());
    assert!(refused.iter().all(|&refusal| refusal == Refusal::Shrinking), "{refused:?}");
    assert_eq!(depth(&ledger, &b, &chain), Some(4));
}

#[test]
fn the_index_never_holds_more_than_it_may_and_a_base_that_was_evicted_is_said_again() {
    let (a, b) = (endpoint("a", 0), endpoint("b", 1));
    let mut ledger = ledger(10);
    follow(&mut ledger, &view(&[&a, &b]));
    let chain = blocks(1..=9);
    send(&mut ledger, &a, &chain[..8]);
    send(&mut ledger, &b, &chain);
    assert_eq!(depth(&ledger, &b, &chain), Some(9));
    assert!(ledger.reader().statistics().memberships <= 10);
    let long = blocks(100..120);
    send(&mut ledger, &a, &long);
    assert_eq!(depth(&ledger, &a, &long), Some(10));
    assert_eq!(ledger.reader().statistics().memberships, 10);
}

#[test]
fn slots_of_the_index_are_used_again_once_nobody_can_ask_about_them() {
    let mut ledger = ledger(1000);
    let chain = blocks(1..=4);
    let mut peak = 0;
    for _ in 0..200 {
        let pod = endpoint("a", 0);
        follow(&mut ledger, &view(&[&pod]));
        send(&mut ledger, &pod, &chain);
        follow(&mut ledger, &view(&[]));
        for slot in ledger.left() {
            ledger.release(slot);
        }
        peak = peak.max(ledger.reader().slots());
    }
    assert!(peak < 4, "{peak} slots for one endpoint");
}
