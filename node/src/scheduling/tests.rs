//! What a pick does with what its plugins say.

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    fixture::{World, unsampled},
    *,
};
use crate::endpoints::View;

/// Scores the candidates of the view, by position, as told.
#[derive(Debug)]
struct Told(Vec<f64>);

impl Scorer for Told {
    fn score(&self, _: &PickContext<'_>, candidates: &[Candidate], scores: &mut [f64]) {
        for (score, candidate) in scores.iter_mut().zip(candidates) {
            *score = self.0.get(candidate.0 as usize).copied().unwrap_or(0.0);
        }
    }
}

/// Keeps the candidates for which it is told `true`.
#[derive(Debug)]
struct Keeps(Vec<bool>);

impl Filter for Keeps {
    fn filter(&self, _: &PickContext<'_>, candidates: &mut Vec<Candidate>) {
        candidates.retain(|candidate| self.0.get(candidate.0 as usize) == Some(&true));
    }
}

/// Chooses the first of those with the highest score.
#[derive(Debug)]
struct First;

impl Picker for First {
    fn pick(&self, ranking: &mut [Scored], _: &mut fastrand::Rng, picked: &mut Vec<Candidate>) {
        ranking.sort_by(|a, b| b.score.total_cmp(&a.score));
        picked.extend(ranking.first().map(|scored| scored.candidate));
    }
}

fn named<P: ?Sized>(name: &str, plugin: Arc<P>) -> Named<P> {
    Named { plugin_type: "told", name: name.into(), plugin }
}

fn scheduler(filters: &[&[bool]], scorers: &[(&[f64], f64)]) -> Scheduler {
    let filter = |kept: &&[bool]| named::<dyn Filter>("keeps", Arc::new(Keeps(kept.to_vec())));
    let scorer = |&(scores, weight): &(&[f64], f64)| Weighted {
        scorer: named::<dyn Scorer>("told", Arc::new(Told(scores.to_vec()))),
        weight: Weight::new(weight).unwrap(),
    };
    Scheduler::new(Profile {
        name: "default".to_owned(),
        filters: filters.iter().map(filter).collect(),
        scorers: scorers.iter().map(scorer).collect(),
        picker: named::<dyn Picker>("first", Arc::new(First)),
    })
}

/// Who was chosen, and the totals by position.
type Outcome<'a> = Result<(u32, &'a [(u32, f64)]), NoEndpoint>;

/// Picks among three endpoints.
#[track_caller]
fn check(filters: &[&[bool]], scorers: &[(&[f64], f64)], expected: Outcome<'_>) {
    let world = World::of(&[unsampled(), unsampled(), unsampled()]);
    let scheduler = scheduler(filters, scorers);
    let mut scratch = Scratch::default();
    let mut random = fastrand::Rng::with_seed(1);
    let found = scheduler
        .pick(&world.context(), &world.candidates(), &mut random, &mut scratch)
        .map(|decision| {
            let totals: Vec<_> =
                decision.totals().map(|scored| (scored.candidate.0, scored.score)).collect();
            (decision.first().0, totals)
        });
    assert_eq!(found, expected.map(|(first, totals)| (first, totals.to_vec())));
}

#[test]
fn scores_are_multiplied_by_their_weights_and_added() {
    check(
        &[],
        &[(&[1.0, 0.5, 0.0], 2.0), (&[0.0, 1.0, 0.5], 3.0)],
        Ok((1, &[(0, 2.0), (1, 4.0), (2, 1.5)])),
    );
}

#[test]
fn scores_beyond_their_range_are_cut_to_it() {
    check(&[], &[(&[7.0, -3.0, 0.5], 1.0)], Ok((0, &[(0, 1.0), (1, 0.0), (2, 0.5)])));
    let infinite = [f64::NEG_INFINITY, f64::INFINITY, 0.5];
    check(&[], &[(&infinite, 1.0)], Ok((1, &[(0, 0.0), (1, 1.0), (2, 0.5)])));
}

#[test]
fn a_score_that_is_no_number_counts_as_the_worst() {
    check(&[], &[(&[f64::NAN, 0.1, f64::NAN], 1.0)], Ok((1, &[(0, 0.0), (1, 0.1), (2, 0.0)])));
}

#[test]
fn a_negative_weight_turns_a_score_around() {
    check(&[], &[(&[1.0, 0.0, 0.5], -1.0)], Ok((1, &[(0, -1.0), (1, 0.0), (2, -0.5)])));
}

#[test]
fn without_scorers_all_score_zero() {
    check(&[], &[], Ok((0, &[(0, 0.0), (1, 0.0), (2, 0.0)])));
}

#[test]
fn only_what_every_filter_keeps_is_scored() {
    check(
        &[&[true, true, false], &[false, true, true]],
        &[(&[1.0, 0.5, 1.0], 1.0)],
        Ok((1, &[(1, 0.5)])),
    );
}

#[test]
fn a_filter_that_keeps_nobody_is_named() {
    check(&[&[false; 3], &[true; 3]], &[], Err(NoEndpoint::Filtered { by: "keeps".into() }));
}

#[test]
fn no_candidates_make_no_pick() {
    let world = World::of(&[unsampled()]);
    let mut scratch = Scratch::default();
    let refused = scheduler(&[], &[])
        .pick(&world.context(), &[], &mut fastrand::Rng::with_seed(1), &mut scratch)
        .map(|decision| decision.first());
    assert_eq!(refused, Err(NoEndpoint::NoCandidates));
}

#[test]
fn a_decision_tells_what_each_scorer_said() {
    let world = World::of(&[unsampled(), unsampled()]);
    let scheduler = scheduler(&[&[false, true]], &[(&[1.0, 0.25], 2.0), (&[0.0, 9.0], 3.0)]);
    let mut scratch = Scratch::default();
    let mut random = fastrand::Rng::with_seed(1);
    let decision =
        scheduler.pick(&world.context(), &world.candidates(), &mut random, &mut scratch).unwrap();
    let said: Vec<_> =
        decision.scores().map(|row| (row.weight.get(), row.scores.to_vec())).collect();
    assert_eq!(said, [(2.0, vec![0.25]), (3.0, vec![1.0])]);
}

#[test]
fn each_plugin_that_ran_is_timed() {
    let world = World::of(&[unsampled()]);
    let mut scratch = Scratch::timed_by(crate::clock::now);
    let mut random = fastrand::Rng::with_seed(1);
    let scheduler = scheduler(&[&[true], &[false]], &[(&[1.0], 1.0)]);
    let refused = scheduler.pick(&world.context(), &world.candidates(), &mut random, &mut scratch);
    assert!(refused.is_err());
    assert_eq!(scratch.durations().len(), 2, "two filters ran, no scorer and no picker");
    let points: Vec<_> = scheduler.plugins().map(|(point, ..)| point.to_string()).collect();
    assert_eq!(points, ["Filter", "Filter", "Scorer", "Picker"]);
}

#[test]
fn a_pick_for_another_view_scores_without_panic() {
    let world = World::of(&[unsampled()]);
    let empty = View::default();
    let context = PickContext { view: &empty, ..world.context() };
    assert!(context.member(Candidate(0)).is_none());
    assert!(context.load(Candidate(0)).is_none());
}

proptest! {
    #[test]
    fn a_pick_is_among_the_candidates_and_totals_stay_in_bounds(
        rows in prop::collection::vec((any::<bool>(), any::<f64>(), any::<f64>()), 1..20),
        weights in (-1e9..1e9, 0.0..10.0),
        kept in prop::collection::vec(any::<bool>(), 20),
    ) {
        let world = World::of(&vec![unsampled(); rows.len()]);
        let (first, second): (Vec<_>, Vec<_>) = rows.iter().map(|row| (row.1, row.2)).unzip();
        let scheduler = scheduler(&[&kept], &[(&first, weights.0), (&second, weights.1)]);
        let candidates: Vec<_> = world.candidates().into_iter().zip(&rows)
            .filter_map(|(candidate, row)| row.0.then_some(candidate)).collect();
        let bound = f64::abs(weights.0) + weights.1;
        let mut scratch = Scratch::default();
        let mut random = fastrand::Rng::with_seed(7);
        let picked = scheduler.pick(&world.context(), &candidates, &mut random, &mut scratch);
        let eligible = |c: &Candidate| candidates.contains(c) && kept[c.0 as usize];
        match picked {
            Ok(decision) => {
                prop_assert!(decision.picked().iter().all(eligible));
                prop_assert!(decision.totals().all(|scored| scored.score.abs() <= bound));
                let mut scores = decision.scores().flat_map(|row| row.scores);
                prop_assert!(scores.all(|score| (0.0..=1.0).contains(score)));
            }
            Err(_) => prop_assert!(!candidates.iter().any(eligible)),
        }
    }
}
