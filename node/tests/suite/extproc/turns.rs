//! What one connection can do to others: nothing but take its turn.

use prost::Message as _;

use super::{
    gateway::Gateway,
    messages::{END, MORE, request_body, request_headers},
    picker::{Picker, Setup},
    raw::{PROCESS, Raw},
};

/// Requests that one connection makes at once, and what each costs: four seconds of work, which is
/// four times as long as the watchdog lets a thread stand still.
const REQUESTS: usize = 200;
const COSTS: &str = "20ms";

async fn is_served(gateway: &Gateway) {
    let answer = gateway.ask([request_headers(&[], END)]).answer().await;
    assert!(answer.dynamic_metadata.is_some(), "{answer:?}");
}

#[tokio::test]
async fn a_connection_that_asks_much_at_once_leaves_others_and_the_watchdog_their_turn() {
    let picker = Picker::start(Setup {
        plugins: &["blocking-testing-filter", "random-picker"],
        parameters: &[("blocking-testing-filter", r#"{"blocksAtMost":"1s"}"#)],
        ..Setup::default()
    });
    let picker = picker.await;
    // More than there are threads, so that one of them has the busy connection beside it.
    let mut gateways = Vec::new();
    for _ in 0..4 {
        gateways.push(picker.gateway().await);
    }
    let raw = Raw::to(picker.ports().extproc).await;
    let path = (":path", "/v1/completions");
    let headers = request_headers(&[path, ("test-epp-block", COSTS)], MORE).encode_to_vec();
    let body = request_body(r#"{"model":"m","prompt":"a"}"#, END).encode_to_vec();
    let mut calls = Vec::new();
    for _ in 0..REQUESTS {
        let mut call = raw.open(PROCESS).await.unwrap();
        call.say(&headers);
        call.say(&body);
        calls.push(call);
    }
    for gateway in &gateways {
        is_served(gateway).await;
    }
    let last = calls.pop().unwrap();
    assert_eq!(last.half_closed().await.0, "0");
    is_served(&gateways[0]).await;
}
