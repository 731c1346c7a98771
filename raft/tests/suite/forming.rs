//! Forming and membership among many replicas: who forms, who joins, who votes in the end.

use std::time::Duration;

use crate::{replay::for_seeds, world::World};

const SOON: Duration = Duration::from_secs(20);
/// Limit without a leader, an election's time, an attempt that failed, and the joining.
const AFTER_LOSS: Duration = Duration::from_mins(1);
/// And the removal of who is long gone.
const IN_THE_END: Duration = Duration::from_mins(4);

fn settled(seed: u64, count: u16) -> World {
    let mut world = World::new(seed, count);
    world.set_up(|_| true);
    world.eventually(SOON, World::is_settled);
    world
}

#[test]
fn replicas_that_start_together_form_one_cluster() {
    for_seeds("replicas_that_start_together_form_one_cluster", 40, |seed| {
        for count in [1, 2, 3, 4, 5, 8] {
            let world = settled(seed, count);
            assert_eq!(world.laws.founded(), 1);
        }
    });
}

#[test]
fn nobody_forms_below_its_majority() {
    for_seeds("nobody_forms_below_its_majority", 20, |seed| {
        for (count, up) in [(2, 1), (3, 1), (5, 2), (8, 4)] {
            let mut world = World::new(seed, count);
            world.set_up(|of| of < up);
            world.run(IN_THE_END);
            assert_eq!(world.laws.founded(), 0, "{up} of {count}");
        }
    });
}

#[test]
fn a_majority_forms_without_the_rest_and_the_rest_joins() {
    for_seeds("a_majority_forms_without_the_rest_and_the_rest_joins", 20, |seed| {
        let mut world = World::new(seed, 5);
        world.set_up(|of| 2 <= of);
        world.eventually(SOON, World::is_settled);
        world.set_up(|_| true);
        world.eventually(SOON, World::is_settled);
        assert_eq!(world.laws.founded(), 1);
    });
}

#[test]
fn a_wiped_replica_joins_whichever_it_is() {
    for_seeds("a_wiped_replica_joins_whichever_it_is", 20, |seed| {
        let mut world = settled(seed, 3);
        for wiped in 0..3 {
            world.wipe(wiped);
            world.run(Duration::from_secs(2));
            world.set_up(|_| true);
            world.eventually(SOON, World::is_settled);
        }
        assert_eq!(world.laws.founded(), 1);
    });
}

#[test]
fn all_that_stop_at_once_go_on_with_the_log_they_had() {
    for_seeds("all_that_stop_at_once_go_on_with_the_log_they_had", 20, |seed| {
        for count in [1, 2, 3, 5] {
            let mut world = settled(seed, count);
            world.set_up(|_| false);
            world.run(Duration::from_secs(30));
            world.set_up(|_| true);
            world.eventually(SOON, World::is_settled);
            assert_eq!(world.laws.founded(), 1);
        }
    });
}

#[test]
fn two_of_three_wiped_at_once_form_again_from_the_third() {
    for_seeds("two_of_three_wiped_at_once_form_again_from_the_third", 40, |seed| {
        let mut world = settled(seed, 3);
        let kept = usize::try_from(seed % 3).unwrap();
        for of in (0..3).filter(|&of| of != kept) {
            world.wipe(of);
        }
        world.set_up(|_| true);
        world.eventually(AFTER_LOSS, World::is_settled);
        assert_eq!(world.laws.clusters.len(), 1, "it is the third's cluster");
        assert_eq!(world.laws.founded(), 2);
    });
}

#[test]
fn either_of_two_goes_on_alone() {
    for_seeds("either_of_two_goes_on_alone", 20, |seed| {
        for gone in [0, 1] {
            let mut world = settled(seed, 2);
            world.crash(gone);
            world.eventually(AFTER_LOSS, World::is_settled);
            world.set_up(|_| true);
            world.eventually(AFTER_LOSS, World::is_settled);
            assert_eq!(world.laws.clusters.len(), 1);
        }
    });
}

#[test]
fn a_majority_lost_for_good_is_not_needed() {
    for_seeds("a_majority_lost_for_good_is_not_needed", 20, |seed| {
        // Of eight, five vote. Three of those are lost, and five of eight remain.
        let mut world = settled(seed, 8);
        let log = world.logs.values().next().unwrap();
        let lost: Vec<_> = log.voters.iter().take(3).map(|id| log.members[id].clone()).collect();
        for name in lost {
            world.crash(world.of_name(&name));
        }
        world.eventually(AFTER_LOSS, World::is_settled);
        assert_eq!(world.laws.founded(), 2);
        world.set_up(|_| true);
        world.eventually(IN_THE_END, World::is_settled);
    });
}

#[test]
fn two_generations_become_one_when_the_partition_heals() {
    for_seeds("two_generations_become_one_when_the_partition_heals", 20, |seed| {
        let mut world = settled(seed, 2);
        world.replicas[0].side = 1;
        world.run(AFTER_LOSS);
        let led = world.logs.values().filter(|log| log.leader.is_some()).count();
        assert_eq!(led, 2, "both serve\n{}", world.describe());
        world.heal();
        world.eventually(SOON, World::is_settled);
    });
}

#[test]
fn scaling_up_and_down_leaves_the_right_voters() {
    for_seeds("scaling_up_and_down_leaves_the_right_voters", 10, |seed| {
        let mut world = World::new(seed, 8);
        // Declared eight, so five begin.
        for up in [5, 8, 6, 7, 5, 8] {
            world.set_up(|of| of < up);
            world.eventually(IN_THE_END, World::is_settled);
        }
        assert_eq!(world.laws.founded(), 1);
    });
}

#[test]
fn replicas_that_leave_one_after_the_other_never_lose_the_quorum() {
    let test = "replicas_that_leave_one_after_the_other_never_lose_the_quorum";
    for_seeds(test, 20, |seed| {
        for count in [2, 3, 5, 8] {
            let mut world = settled(seed, count);
            for of in 0..usize::from(count) {
                world.leave(of);
                world.run(Duration::from_secs(1));
                let led = world.logs.values().any(|log| log.leader.is_some());
                assert!(led, "{count} without {of}");
                world.start(of);
                world.eventually(SOON, World::is_settled);
            }
            assert_eq!(world.laws.founded(), 1);
        }
    });
}

/// Anything, for two minutes; then nothing more.
fn chaos(seed: u64, count: u16, wipes: bool) -> World {
    let mut world = World::new(seed, count);
    let replicas = usize::from(count);
    world.crash_chance = 0.05;
    for _ in 0..world.random.usize(5..40) {
        let of = world.random.usize(..replicas);
        match world.random.u8(..12) {
            0..=3 if !world.is_up(of) => world.start(of),
            4 | 5 => world.crash(of),
            6 if wipes => world.wipe(of),
            7 | 8 => world.replicas[of].side = world.random.u32(..3),
            9 => world.heal(),
            _ => world.set_up(|_| true),
        }
        let pause = Duration::from_millis(world.random.u64(..15_000));
        world.run(pause);
    }
    world.crash_chance = 0.0;
    world.heal();
    world.set_up(|_| true);
    world
}

#[test]
fn whatever_happened_all_end_in_one_generation_with_the_right_voters() {
    let test = "whatever_happened_all_end_in_one_generation_with_the_right_voters";
    for_seeds(test, 150, |seed| {
        for count in [1, 2, 3, 4, 5, 8] {
            let mut world = chaos(seed, count, false);
            world.eventually(IN_THE_END, World::is_settled);
            assert_eq!(world.laws.clusters.len(), 1);
            world.run(Duration::from_mins(1));
            assert!(world.is_settled(), "and stay there");
        }
    });
}

#[test]
fn whatever_was_wiped_one_cluster_is_never_split_by_itself() {
    let test = "whatever_was_wiped_one_cluster_is_never_split_by_itself";
    for_seeds(test, 150, |seed| {
        for count in [2, 3, 5] {
            let mut world = chaos(seed, count, true);
            world.run(IN_THE_END);
            // A majority of empty disks that sees no state begins another cluster. Who comes later
            // with the old one's is refused until an operator decides.
            assert!(world.is_settled() || 1 < world.laws.clusters.len(), "{}", world.describe());
        }
    });
}
