//! Scores by rows: one endpoint each.

use proptest::prelude::*;

use super::{filter, scorer};
use crate::{
    endpoints::Load,
    scheduling::{
        Candidate,
        fixture::{Row, World, kv_used, loaded, lora, matched, running, unsampled, waiting},
    },
};

#[track_caller]
fn check_in(world: &World, plugin_type: &str, parameters: &str, expected: &[f64]) {
    let mut scores = vec![0.0; expected.len()];
    let plugin = scorer(plugin_type, parameters);
    plugin.score(&world.context(), &world.candidates(), &mut scores);
    let close = |(score, expected): (&f64, &f64)| (score - expected).abs() < 1e-12;
    assert!(scores.iter().zip(expected).all(close), "{scores:?}, not {expected:?}");
}

#[track_caller]
fn check(plugin_type: &str, rows: &[Row], expected: &[f64]) {
    check_in(&World::of(rows), plugin_type, "", expected);
}

#[test]
fn a_shorter_queue_scores_higher_in_proportion() {
    check("queue-scorer", &[waiting(0), waiting(5), waiting(10)], &[1.0, 0.5, 0.0]);
    check("queue-scorer", &[waiting(3), waiting(u32::MAX)], &[1.0, 0.0]);
}

#[test]
fn queues_of_one_length_all_score_one() {
    check("queue-scorer", &[waiting(7), waiting(7)], &[1.0, 1.0]);
    check("queue-scorer", &[waiting(0)], &[1.0]);
}

#[test]
fn an_unknown_queue_scores_zero_and_moves_no_bound() {
    check("queue-scorer", &[waiting(2), unsampled(), waiting(4)], &[1.0, 0.0, 0.0]);
    check("queue-scorer", &[waiting(2), waiting(0).stale(), waiting(4)], &[1.0, 0.0, 0.0]);
    check("queue-scorer", &[waiting(6), waiting(9).stale()], &[1.0, 0.0]);
    check("queue-scorer", &[waiting(6), running(0)], &[1.0, 0.0]);
}

#[test]
fn if_no_queue_is_known_all_score_zero() {
    check("queue-scorer", &[unsampled(), unsampled()], &[0.0, 0.0]);
    check("queue-scorer", &[], &[]);
}

#[test]
fn fewer_running_requests_score_higher_in_proportion() {
    let rows = [running(1), running(2), running(5), unsampled()];
    check("running-requests-size-scorer", &rows, &[1.0, 0.75, 0.0, 0.0]);
}

#[test]
fn a_free_cache_scores_by_its_free_share() {
    let rows = [kv_used(0.0), kv_used(0.8), kv_used(1.0), unsampled(), kv_used(0.0).stale()];
    check("kv-cache-utilization-scorer", &rows, &[1.0, 0.2, 0.0, 0.0, 0.0]);
}

#[test]
fn an_adapter_scores_by_how_near_it_is_to_running() {
    let mut world = World::of(&[
        lora(&["a", "x"], &[], 2),
        lora(&["x"], &["a"], 4),
        lora(&["x"], &["y"], 4),
        lora(&["x"], &["a"], 2),
        lora(&["x"], &["y"], 2),
        lora(&[], &[], 0),
        unsampled(),
        lora(&["a"], &[], 2).stale(),
        loaded(Load::default()),
    ]);
    world.model = "a".to_owned();
    let expected = [1.0, 0.8, 0.8, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0];
    check_in(&world, "lora-affinity-scorer", "", &expected);
}

fn prompt(rows: &[Row], blocks: u32) -> World {
    let mut world = World::of(rows);
    world.prompt = Some((blocks, 64));
    world
}

#[test]
fn a_match_scores_by_its_share_of_the_prompt() {
    let world = prompt(&[matched(0), matched(5), matched(20)], 20);
    check_in(&world, "prefix-cache-scorer", "", &[0.0, 0.25, 1.0]);
}

#[test]
fn without_a_prompt_nothing_matches() {
    check("prefix-cache-scorer", &[matched(5)], &[0.0]);
    check_in(&prompt(&[matched(5)], 0), "prefix-cache-scorer", "", &[0.0]);
}

#[test]
fn the_length_of_a_match_counts_by_its_weight_and_squared() {
    // 64 blocks of 64 tokens are half of the scale, so a quarter; and 64 of 80 are 0.8.
    let world = prompt(&[matched(64)], 80);
    let weight = |weight: &str| format!("matchLengthWeight: {weight}");
    check_in(&world, "prefix-cache-scorer", &weight("1.0"), &[0.25]);
    check_in(&world, "prefix-cache-scorer", &weight("0.5"), &[0.525]);
    check_in(
        &world,
        "prefix-cache-scorer",
        "{matchLengthWeight: 1, matchLengthScaleTokens: 64}",
        &[1.0],
    );
}

proptest! {
    #[test]
    fn every_score_is_from_zero_to_one(
        rows in prop::collection::vec(
            (any::<Option<u32>>(), any::<Option<u32>>(), prop::option::of(0.0..=1.0), 0..=50_u32), 1..30,
        ),
        weight in 0.0..=1.0_f64,
    ) {
        let row = |&(waiting_requests, running_requests, kv_used_ratio, blocks): &_| {
            let load = Load { waiting_requests, running_requests, kv_used_ratio, ..Load::default() };
            loaded(load).with_match(blocks)
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        let world = prompt(&rows, 50);
        for plugin_type in [
            "queue-scorer",
            "running-requests-size-scorer",
            "kv-cache-utilization-scorer",
            "lora-affinity-scorer",
            "prefix-cache-scorer",
        ] {
            let parameters = match plugin_type {
                "prefix-cache-scorer" => format!("matchLengthWeight: {weight}"),
                _ => String::new(),
            };
            let mut scores = vec![0.0; rows.len()];
            scorer(plugin_type, &parameters).score(&world.context(), &world.candidates(), &mut scores);
            prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{plugin_type}");
        }
    }
}

#[track_caller]
fn check_selection(header: Option<&str>, expected: &[u32]) {
    let mut world = World::of(&[unsampled(), unsampled(), unsampled()]);
    world.headers =
        header.map(|value| ("test-epp-endpoint-selection", value)).into_iter().collect();
    let mut candidates = world.candidates();
    filter("header-based-testing-filter").filter(&world.context(), &mut candidates);
    assert_eq!(candidates, expected.iter().copied().map(Candidate).collect::<Vec<_>>());
}

#[test]
fn the_testing_filter_keeps_what_its_header_names_in_its_order() {
    check_selection(Some("10.0.0.3, 10.0.0.1:8000"), &[2, 0]);
    check_selection(Some("10.0.0.2,10.0.0.2:8000,,10.0.0.9"), &[1]);
    check_selection(Some("[10.0.0.2]"), &[1]);
}

#[test]
fn the_testing_filter_keeps_nobody_without_its_header() {
    check_selection(None, &[]);
    check_selection(Some(" "), &[]);
    check_selection(Some("10.0.0.1:9,elsewhere"), &[]);
}
