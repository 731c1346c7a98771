//! Memory does not depend on how an index came to hold what it holds.

use convoy_prefix_index::{Command, Statistics};

use crate::workload::{Filled, Kind, Workload, endpoint};

const ENDPOINTS: usize = 16;
const MEMBERSHIPS: u64 = 400_000;

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
