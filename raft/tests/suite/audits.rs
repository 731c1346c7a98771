//! Who is odd: digests compared between replicas.

use std::collections::BTreeSet;

use convoy_raft::machine::{
    LogPosition, MachineDigest,
    audit::{Audit, CHECKPOINTS_KEPT, Checkpoint, DIGEST_EVERY_ENTRIES, Duty, Verdict},
};

use crate::replay::for_seeds;

/// An audit of what replicas report: (replica, number of the position, digest).
fn audit(reports: &[(u64, u64, u64)]) -> Audit {
    let mut audit = Audit::default();
    for &(replica, number, digest) in reports {
        audit.report(replica, checkpoint(number, digest));
    }
    audit
}

fn checkpoint(number: u64, digest: u64) -> Checkpoint {
    let position = LogPosition { term: 1, leader: 1, index: number * DIGEST_EVERY_ENTRIES };
    Checkpoint { position, digest: MachineDigest(digest) }
}

fn live<const COUNT: usize>(replicas: [u64; COUNT]) -> BTreeSet<u64> {
    replicas.into()
}

fn odd<const COUNT: usize>(number: u64, right: u64, odd: [u64; COUNT]) -> Verdict {
    let index = number * DIGEST_EVERY_ENTRIES;
    Verdict::Odd { index, right: MachineDigest(right), odd: odd.into() }
}

#[test]
fn equal_digests_are_sound() {
    let audit = audit(&[(1, 1, 7), (2, 1, 7), (3, 1, 7), (1, 2, 8), (2, 2, 8)]);
    assert_eq!(audit.verdict(&live([1, 2, 3]), Some(1)), Verdict::Sound);
    assert_eq!(Audit::default().verdict(&live([1]), None), Verdict::Sound);
}

#[test]
fn what_most_hold_is_right_and_needs_no_leader() {
    let audit = audit(&[(1, 1, 7), (2, 1, 9), (3, 1, 7)]);
    let verdict = audit.verdict(&live([1, 2, 3]), None);
    assert_eq!(verdict, odd(1, 7, [2]));
    assert_eq!(verdict.duty(2, Some(1)), Duty::Rejoin);
    assert_eq!(verdict.duty(1, Some(1)), Duty::Nothing);
}

#[test]
fn an_odd_leader_hands_over_before_it_discards_anything() {
    let audit = audit(&[(1, 1, 9), (2, 1, 7), (3, 1, 7)]);
    let verdict = audit.verdict(&live([1, 2, 3]), Some(1));
    assert_eq!(verdict, odd(1, 7, [1]));
    assert_eq!(verdict.duty(1, Some(1)), Duty::HandOver);
    assert_eq!(verdict.duty(1, Some(2)), Duty::Rejoin);
}

#[test]
fn of_two_the_follower_is_odd() {
    let audit = audit(&[(1, 1, 9), (2, 1, 7)]);
    assert_eq!(audit.verdict(&live([1, 2]), Some(2)), odd(1, 7, [1]));
    assert_eq!(audit.verdict(&live([1, 2]), Some(1)), odd(1, 9, [2]));
    let nobody_leads = audit.verdict(&live([1, 2]), None);
    assert_eq!(nobody_leads, Verdict::Undecided { index: DIGEST_EVERY_ENTRIES });
    assert_eq!(nobody_leads.duty(1, None), Duty::Nothing);
}

#[test]
fn a_third_report_is_waited_for() {
    let audit = audit(&[(1, 1, 9), (2, 1, 7)]);
    let verdict = audit.verdict(&live([1, 2, 3]), Some(1));
    assert_eq!(verdict, Verdict::Undecided { index: DIGEST_EVERY_ENTRIES });
}

#[test]
fn who_began_behind_a_position_is_not_waited_for() {
    let audit = audit(&[(1, 1, 9), (2, 1, 7), (3, 2, 5)]);
    assert_eq!(audit.verdict(&live([1, 2, 3]), Some(1)), odd(1, 9, [2]));
}

#[test]
fn where_nothing_can_become_that_of_most_the_leader_is_right() {
    let audit = audit(&[(1, 1, 7), (2, 1, 7), (3, 1, 9), (4, 1, 9)]);
    assert_eq!(audit.verdict(&live([1, 2, 3, 4]), Some(3)), odd(1, 9, [1, 2]));
}

#[test]
fn who_is_not_live_has_no_say() {
    let audit = audit(&[(1, 1, 9), (2, 1, 7), (3, 1, 7)]);
    assert_eq!(audit.verdict(&live([1, 2]), Some(1)), odd(1, 9, [2]));
}

#[test]
fn a_replica_that_began_anew_is_sound_again() {
    let mut audit = audit(&[(1, 1, 7), (2, 1, 9), (3, 1, 7)]);
    audit.forget(2);
    audit.report(2, checkpoint(1, 7));
    assert_eq!(audit.verdict(&live([1, 2, 3]), Some(1)), Verdict::Sound);
}

#[test]
fn what_is_kept_is_bounded_and_only_fixed_positions_count() {
    let mut audit = Audit::default();
    for number in 0..100 {
        audit.report(1, checkpoint(number, number));
    }
    // Long forgotten, so it cannot be compared.
    audit.report(2, checkpoint(99 - CHECKPOINTS_KEPT as u64, 0));
    let mut between = checkpoint(99, 0);
    between.position.index += 1;
    audit.report(2, between);
    assert_eq!(audit.verdict(&live([1, 2]), Some(1)), Verdict::Sound);
    audit.report(2, checkpoint(99, 0));
    assert_eq!(audit.verdict(&live([1, 2]), Some(1)), odd(99, 99, [2]));
}

#[test]
fn all_replicas_judge_alike_in_whatever_order_reports_come() {
    for_seeds("all_replicas_judge_alike_in_whatever_order_reports_come", 300, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let replicas = random.u64(1..6);
        let mut reports: Vec<(u64, u64, u64)> = (1..=replicas)
            .flat_map(|replica| (1..4).map(move |number| (replica, number)))
            .map(|(replica, number)| (replica, number, u64::from(random.u8(..10) == 0)))
            .collect();
        let (alive, leader) = ((1..=replicas).collect(), random.bool().then_some(1));
        let verdict = audit(&reports).verdict(&alive, leader);
        random.shuffle(&mut reports);
        assert_eq!(audit(&reports).verdict(&alive, leader), verdict);
        if let Verdict::Odd { odd, .. } = verdict {
            assert!(odd.len() < alive.len(), "somebody is right");
        }
    });
}
