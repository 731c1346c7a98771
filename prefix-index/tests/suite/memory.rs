//! Memory does not depend on how an index came to hold what it holds.

use convoy_prefix_index::{Command, Index, Restore, Statistics};

use crate::workload::{Filled, Kind, Workload, endpoint};

const ENDPOINTS: usize = 16;
/// With tiny chunks a small index has as many.
const MEMBERSHIPS: u64 = if cfg!(feature = "tiny-chunks") { 40_000 } else { 400_000 };

/// Bytes for each stored block.
fn each(bytes: usize, held: Statistics) -> usize {
    bytes * 100 / usize::try_from(held.blocks).unwrap()
}

/// What an index has after `churn` times its size went through it, at the bound.
fn after_churn(kind: Kind, churn: u64) -> (usize, Statistics) {
    let mut filled = Filled::new(ENDPOINTS, MEMBERSHIPS as u32, MEMBERSHIPS);
    let mut workload = Workload::new(kind, ENDPOINTS, 3);
    filled.fill(&mut workload, MEMBERSHIPS * 98 / 100);
    while filled.reader.statistics().evicted < churn * MEMBERSHIPS {
        let request = workload.request();
        let command = filled.propose(&request);
        filled.index.apply(&command);
    }
    (filled.index.bytes(), filled.reader.statistics())
}

#[track_caller]
fn check(kind: Kind) {
    let (fresh, held) = after_churn(kind, 0);
    let (churned, held_later) = after_churn(kind, 8);
    let (fresh, churned) = (each(fresh, held), each(churned, held_later));
    assert!(churned * 10 <= fresh * 11, "{kind:?}: {fresh} bytes for 100 blocks, then {churned}");
}

#[test]
fn churn_of_conversations_costs_no_memory() {
    check(Kind::Conversations { turns: 8 });
}

#[test]
fn churn_of_short_chains_costs_no_memory() {
    check(Kind::ThreeBlocks);
}

#[test]
fn churn_of_agent_trees_costs_no_memory() {
    check(Kind::AgentTrees);
}

#[test]
fn a_past_of_another_shape_costs_no_memory() {
    let conversations = Kind::Conversations { turns: 8 };
    let (fresh, held) = after_churn(conversations, 0);
    let mut filled = Filled::new(ENDPOINTS, MEMBERSHIPS as u32, MEMBERSHIPS);
    for (kind, seed) in [(Kind::ThreeBlocks, 7), (conversations, 8)] {
        let mut workload = Workload::new(kind, ENDPOINTS, seed);
        let until = filled.reader.statistics().evicted + 3 * MEMBERSHIPS;
        while filled.reader.statistics().evicted < until {
            let request = workload.request();
            let command = filled.propose(&request);
            filled.index.apply(&command);
        }
    }
    settle(&mut filled);
    let fresh = each(fresh, held);
    let later = each(filled.index.bytes(), filled.reader.statistics());
    assert!(later * 10 <= fresh * 11, "{fresh} bytes for 100 blocks, then {later}");
}

#[test]
fn what_left_endpoints_held_is_given_back() {
    let mut filled = Filled::new(ENDPOINTS, MEMBERSHIPS as u32, MEMBERSHIPS);
    let empty = filled.index.bytes();
    let mut workload = Workload::new(Kind::Conversations { turns: 8 }, ENDPOINTS, 3);
    filled.fill(&mut workload, MEMBERSHIPS * 98 / 100);
    let full = filled.index.bytes();
    for number in 0..ENDPOINTS {
        filled.index.apply(&Command::Left { endpoint: endpoint(number) });
    }
    assert_eq!(filled.reader.statistics().memberships, 0, "at once");
    let mut commands = 0;
    while filled.reader.statistics().blocks != 0 {
        filled.index.apply(&Command::Left { endpoint: endpoint(0) });
        commands += 1;
    }
    assert!(commands < MEMBERSHIPS / 256, "{commands} commands to reclaim it");
    // Each of five arenas keeps a chunk for growth beside the one in use.
    let left = filled.index.bytes() - empty;
    assert!(left <= 10 * 256 * 1024, "{left} of {full} bytes stay");
}

/// What an index with the same content has that never was another.
fn fresh(index: &Index) -> usize {
    let mut restore = Restore::new();
    for chunk in index.snapshot().chunks() {
        restore.push(&chunk).unwrap();
    }
    restore.finish().unwrap().bytes()
}

/// What an index may keep beside: of each large arena two chunks that are not full.
const CHUNKS_KEPT: usize = if cfg!(feature = "tiny-chunks") { 48 } else { 6 * 256 } * 1024;

fn full(kind: Kind) -> Filled {
    let mut filled = Filled::new(ENDPOINTS, 4 * MEMBERSHIPS as u32, 4 * MEMBERSHIPS);
    filled.fill(&mut Workload::new(kind, ENDPOINTS, 3), MEMBERSHIPS * 4 * 98 / 100);
    filled
}

/// Applies commands that change nothing, so that the index finishes what others left to do.
fn settle(filled: &mut Filled) {
    for _ in 0..200_000 {
        filled.index.apply(&Command::Left { endpoint: endpoint(ENDPOINTS) });
    }
}

#[track_caller]
fn check_returns(filled: &mut Filled, what: &str) {
    settle(filled);
    let (fresh, found) = (fresh(&filled.index), filled.index.bytes());
    assert!(found <= fresh / 10 * 11 + CHUNKS_KEPT, "{what}: {found} bytes, fresh {fresh}");
    assert_eq!(filled.index.digest(), filled.index.audit_digest());
}

#[test]
fn memory_returns_when_most_endpoints_leave() {
    for kind in [
        Kind::Conversations { turns: 8 },
        Kind::Conversations { turns: 1 },
        Kind::AgentTrees,
        Kind::ThreeBlocks,
        Kind::Documents,
    ] {
        let mut filled = full(kind);
        // Those that stay hold a block here and there of every chunk.
        for number in (0..ENDPOINTS).filter(|number| number % 4 != 0) {
            filled.index.apply(&Command::Left { endpoint: endpoint(number) });
        }
        check_returns(&mut filled, &format!("{kind:?}, one endpoint of four"));
    }
}

#[test]
fn memory_returns_when_bounds_are_lowered() {
    for kind in [Kind::AgentTrees, Kind::ThreeBlocks] {
        let mut filled = full(kind);
        for number in 0..ENDPOINTS {
            let capacity_blocks = MEMBERSHIPS as u32 / (2 + number as u32);
            let endpoint = endpoint(number);
            filled.index.apply(&Command::CapacityChanged { endpoint, capacity_blocks });
        }
        check_returns(&mut filled, &format!("{kind:?}, lower capacities"));
    }
}
