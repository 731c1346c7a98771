//! Every interleaving of one reader and one command, on an index as small as can be.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p convoy-prefix-index --release --test loom`
//! (with a target directory of its own, lest everything else is built anew). At most two
//! preemptions are tried unless `LOOM_MAX_PREEMPTIONS` says otherwise: no wrong answer is known
//! to need more.

#![cfg(loom)]

use std::net::{Ipv4Addr, SocketAddr};

use convoy_prefix_index::{
    BlockHash, Command, Endpoint, HashParams, HashVersion, Held, Incarnation, Index, Origin,
    Outcome, Parameters, Sequence, Stamp,
};

/// An index with two endpoints of this capacity.
fn index(capacity_blocks: u32) -> Index {
    let hash = HashParams::new([1; 16], 256, HashVersion::V1).unwrap();
    let mut index = Index::new(Parameters { hash, memberships_max: 100 });
    for number in 0..2 {
        let endpoint = endpoint(number);
        index.apply(&Command::Joined { endpoint, replaces: None, capacity_blocks });
    }
    index
}

fn endpoint(number: u16) -> Endpoint {
    Endpoint::new(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8000 + number), Incarnation(1))
}

fn chain(names: &[u64]) -> Vec<BlockHash> {
    names.iter().filter_map(|&name| BlockHash::new(name)).collect()
}

fn held(number: u16, base: Option<u64>, names: &[u64], sequence: u64) -> Command {
    Command::Held(Held {
        endpoint: endpoint(number),
        base: base.and_then(BlockHash::new),
        hashes: chain(names),
        stamp: Stamp(sequence),
        origin: Origin { replica: 1, start: 1 },
        sequence: Sequence(sequence),
    })
}

/// Runs `command` beside a query for `asked`; the answer must be one of `legal`, or the reader
/// found something changed each time, and knows nothing.
fn check(
    capacity: u32,
    before: &'static [Command],
    command: &'static Command,
    asked: &'static [u64],
    legal: &'static [[u32; 2]],
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(2);
    model.max_branches = 100_000;
    model.check(move || {
        let mut index = index(capacity);
        for command in before {
            assert!(!matches!(index.apply(command), Outcome::Refused(_)));
        }
        let reader = index.reader();
        let query = loom::thread::spawn(move || {
            let mut depths = [9; 2];
            reader.depths(&chain(asked), &mut depths);
            depths
        });
        index.apply(command);
        let depths = query.join().unwrap();
        assert!(legal.contains(&depths) || depths == [0, 0], "{depths:?}");
    });
}

/// Commands that outlive the model's runs.
fn keep<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

#[test]
fn a_chain_that_grows_is_seen_as_it_was_or_is() {
    let before = keep([held(0, None, &[1], 1)]);
    check(9, before, keep(held(0, Some(1), &[2], 2)), &[1, 2], &[[1, 0], [2, 0]]);
}

#[test]
fn a_run_that_is_cut_is_seen_whole() {
    let before = keep([held(0, None, &[1, 2], 1)]);
    check(9, before, keep(held(1, Some(1), &[3], 2)), &[1, 2], &[[2, 0], [2, 1]]);
}

#[test]
fn a_second_holder_takes_nothing_from_the_first() {
    let before = keep([held(0, None, &[1, 2], 1)]);
    check(9, before, keep(held(1, Some(2), &[], 2)), &[1, 2], &[[2, 0], [2, 1], [2, 2]]);
}

#[test]
fn an_evicted_chain_is_not_mistaken_for_the_one_in_its_place() {
    let before = keep([held(0, None, &[1, 2], 1)]);
    let legal = &[[2, 0], [1, 0], [0, 0]];
    check(2, before, keep(held(0, None, &[5, 6], 2)), &[1, 2], legal);
}

#[test]
fn runs_that_are_joined_are_seen_whole() {
    // The second endpoint's branch goes, and the first one's two runs become one.
    let before = keep([held(0, None, &[1, 2], 1), held(1, Some(1), &[3], 2)]);
    check(2, before, keep(held(1, None, &[7, 8], 3)), &[1, 2], &[[2, 1], [2, 0]]);
}

/// A command that changes nothing, but goes on with what earlier ones left to do.
fn idle() -> Command {
    Command::OriginRetired { origin: Origin { replica: 9, start: 9 } }
}

/// Another endpoint's chains fill the first chunks and go; then the chain's cells, its run and the
/// table's segments move down, one step for each command.
#[test]
fn a_chain_is_seen_whole_while_it_is_moved() {
    for steps in 0..32 {
        let filling = (1..9).map(|name| held(1, None, &[name], name));
        let chain = [held(0, None, &[20, 21, 22, 23], 9), held(0, None, &[30], 10)];
        let gone = Command::Left { endpoint: endpoint(1) };
        let before: Vec<_> = filling.chain(chain).chain([gone]).collect();
        let before = [before, vec![idle(); steps]].concat();
        check(9, keep(before), keep(idle()), &[20, 21, 22, 23], &[[4, 0]]);
    }
}

/// The same for runs that others follow, which learn where it went later.
#[test]
fn a_branch_is_seen_whole_while_what_is_before_it_is_moved() {
    for steps in 0..48 {
        let filling = (1..9).map(|name| held(1, None, &[name], name));
        let branches = [
            held(0, None, &[20, 21], 9),
            held(0, Some(20), &[22], 10),
            held(0, Some(20), &[23], 11),
        ];
        let gone = Command::Left { endpoint: endpoint(1) };
        let before: Vec<_> = filling.chain(branches).chain([gone]).collect();
        let before = [before, vec![idle(); steps]].concat();
        check(9, keep(before), keep(idle()), &[20, 22], &[[2, 0]]);
    }
}
