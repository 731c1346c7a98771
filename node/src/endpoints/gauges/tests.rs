//! What the gauges of a pool show.

use std::sync::Arc;

use prometheus_client::encoding::text::encode;

use super::*;
use crate::endpoints::{Endpoint, EndpointKey, InFlight, Sample};

fn member(name: &str, load: Option<Load>, sampled_at: Instant) -> Member {
    let address = ([10, 0, 0, 1], 8000).into();
    let endpoint = Endpoint {
        key: EndpointKey { namespace: "default".into(), name: name.into(), address },
        address_text: address.to_string(),
        metrics_host: address.to_string(),
        labels: std::collections::BTreeMap::new(),
        incarnation: None,
        slot: 0,
        in_flight: InFlight::default(),
    };
    let sample = load.map(|load| Arc::new(Sample { load, sampled_at }));
    Member { endpoint: Arc::new(endpoint), ready: true, sample }
}

fn load(waiting: u32, kv: f64) -> Load {
    Load { waiting_requests: Some(waiting), kv_used_ratio: Some(kv), ..Load::default() }
}

fn page(members: Vec<Member>) -> Vec<String> {
    let view = PublishedView::new();
    view.store(View { members }, true);
    let mut registry = Registry::default();
    let load_age_max = Duration::from_mins(1);
    Gauges { view, pool: "pool".into(), load_age_max }.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let is_sample = |line: &&str| !line.starts_with('#');
    text.lines().filter(is_sample).map(str::to_owned).collect()
}

#[test]
fn averages_are_over_what_is_fresh_under_both_names() {
    let now = clock::now();
    let long_ago = now.checked_sub(Duration::from_mins(2)).unwrap();
    let unready = Member { ready: false, ..member("d", Some(load(50, 0.9)), now) };
    let page = page(vec![
        member("a", Some(load(1, 0.1)), now),
        member("b", Some(load(4, 0.2)), now),
        member("c", Some(load(90, 0.9)), long_ago),
        unready,
        member("e", None, now),
    ]);
    let expected = [
        "inference_pool_average_kv_cache_utilization{name=\"pool\"} 0.15",
        "llm_d_epp_average_kv_cache_utilization{name=\"pool\"} 0.15",
        "inference_pool_average_queue_size{name=\"pool\"} 2.5",
        "llm_d_epp_average_queue_size{name=\"pool\"} 2.5",
        "llm_d_epp_std_dev_kv_cache_utilization{name=\"pool\"} 0.07",
        "llm_d_epp_std_dev_queue_size{name=\"pool\"} 2.12",
        "inference_pool_ready_pods{name=\"pool\"} 2.0",
        "llm_d_epp_ready_endpoints{name=\"pool\"} 2.0",
        "inference_pool_per_pod_queue_size{name=\"pool\",model_server_pod=\"a\"} 1",
        "inference_pool_per_pod_queue_size{name=\"pool\",model_server_pod=\"b\"} 4",
        "llm_d_epp_per_endpoint_queue_size{name=\"pool\",model_server_endpoint=\"a\"} 1",
        "llm_d_epp_per_endpoint_queue_size{name=\"pool\",model_server_endpoint=\"b\"} 4",
    ];
    assert_eq!(page, expected);
}

#[test]
fn of_a_pool_that_nothing_is_known_of_only_its_size_is_told() {
    let expected = [
        "inference_pool_ready_pods{name=\"pool\"} 0.0",
        "llm_d_epp_ready_endpoints{name=\"pool\"} 0.0",
    ];
    assert_eq!(page(vec![]), expected);
    assert_eq!(page(vec![member("a", None, clock::now())]), expected);
}
