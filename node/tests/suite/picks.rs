//! Picks by a configuration, from its text to the endpoint.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use convoy_node::{
    clock,
    config::{Overrides, Source, load},
    endpoints::{Endpoint, EndpointKey, InFlight, Load, Member, Sample, View},
    scheduling::{PickContext, PromptMatch, Scheduler, Scratch, candidates},
};
use convoy_proto::hot::HeaderList;

use crate::allocations::{Allocations, allocations_of};

fn scheduler(configuration: &str) -> Scheduler {
    let source = Source::Text(configuration.to_owned());
    load(&source, &Overrides::default()).unwrap().scheduler
}

fn member(number: u8, waiting_requests: u32, kv_used_ratio: f64, now: Instant) -> Member {
    let address = SocketAddr::from(([10, 0, 0, number], 8000));
    let endpoint = Endpoint {
        key: EndpointKey { namespace: "default".into(), name: format!("pod-{number}"), address },
        address_text: address.to_string(),
        metrics_host: address.to_string(),
        labels: [].into(),
        incarnation: None,
        slot: number.into(),
        in_flight: InFlight::default(),
    };
    let load = Load {
        waiting_requests: Some(waiting_requests),
        running_requests: Some(waiting_requests),
        kv_used_ratio: Some(kv_used_ratio),
        ..Load::default()
    };
    let sample = Some(Arc::new(Sample { load, sampled_at: now }));
    Member { endpoint: Arc::new(endpoint), ready: true, sample }
}

/// Rows are `(waiting requests, used share of the KV cache, matched blocks of 10)`; picks often and
/// answers with the endpoints, by position, that were ever chosen.
fn chosen(configuration: &str, rows: &[(u32, f64, u32)]) -> Vec<u32> {
    let now = clock::now();
    let numbered = (1..).zip(rows);
    let members = numbered.map(|(n, &(waiting, kv, _))| member(n, waiting, kv, now)).collect();
    let view = View { members };
    let matched: Vec<u32> = rows.iter().map(|row| row.2).collect();
    let headers = HeaderList::default();
    let context = PickContext {
        view: &view,
        now,
        load_age_max: Duration::from_secs(2),
        model: "",
        headers: &headers,
        prompt: Some(PromptMatch { blocks: 10, block_tokens: 64, matched: &matched }),
    };
    let scheduler = scheduler(configuration);
    let (mut among, mut scratch) = (Vec::new(), Scratch::default());
    let mut random = fastrand::Rng::with_seed(5);
    candidates(&view, None, &mut among);
    let mut pick =
        || scheduler.pick(&context, &among, &mut random, &mut scratch).unwrap().first().0;
    let mut picks: Vec<u32> = (0..200).map(|_| pick()).collect();
    let (_, made) = allocations_of(|| (0..200).map(|_| pick()).max());
    assert_eq!(made, Allocations { count: 0, bytes: 0 }, "a warm pick allocates");
    picks.sort_unstable();
    picks.dedup();
    picks
}

/// The built-in configuration: queue 2, KV cache 2, prefix 3.
const BUILT_IN: &str = "";

#[test]
fn a_long_match_outweighs_a_queue_but_not_a_queue_and_a_full_cache() {
    // 3 against 2: the match wins.
    assert_eq!(chosen(BUILT_IN, &[(9, 0.5, 10), (0, 0.5, 0)]), [0]);
    // 3 against 2 + 2 * 0.9.
    assert_eq!(chosen(BUILT_IN, &[(9, 0.9, 10), (0, 0.0, 0)]), [1]);
}

#[test]
fn equals_are_all_chosen() {
    assert_eq!(chosen(BUILT_IN, &[(1, 0.5, 2), (1, 0.5, 2), (1, 0.5, 2), (2, 0.5, 2)]), [0, 1, 2]);
}

#[test]
fn every_scorer_and_picker_picks_without_allocating() {
    for picker in ["max-score-picker", "random-picker", "weighted-random-picker"] {
        for endpoints_max in [1, 3] {
            let configuration = format!(
                "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: \
                 [{{type: queue-scorer}}, {{type: kv-cache-utilization-scorer}}, {{type: \
                 running-requests-size-scorer}}, {{type: lora-affinity-scorer}}, {{type: \
                 prefix-cache-scorer, parameters: {{matchLengthWeight: 0.3}}}}, {{type: {picker}, \
                 parameters: {{maxNumOfEndpoints: {endpoints_max}}}}}]"
            );
            assert!(!chosen(&configuration, &[(0, 0.1, 3), (4, 0.2, 9), (2, 0.3, 0)]).is_empty());
        }
    }
}
