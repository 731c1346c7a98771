//! The gateway's choice of candidates, told in metadata.

use prost::Message as _;
use prost_types::{Value, value::Kind};

use super::{
    messages::{
        DESTINATION, END, MORE, list, picked, refused, request_body, request_headers, text,
        with_metadata,
    },
    picker::{Picker, Setup},
    raw::{PROCESS, Raw},
};

const NAMESPACE: &str = "envoy.lb.subset_hint";
const KEY: &str = "x-gateway-destination-endpoint-subset";

const A: &str = "10.0.0.1:8000";
const B: &str = "10.0.0.2:8000";
const C: &str = "[fd00::3]:8000";

async fn picker(flags: &[&str]) -> Picker {
    Picker::start(Setup { endpoints: &[A, B, C], flags, ..Setup::default() }).await
}

/// Asks often among `hint`; answers with the endpoints that were ever picked, none for a refusal,
/// which is the same for requests with and without a body.
async fn chosen(picker: &Picker, namespace: &str, hint: &Value) -> Vec<String> {
    let gateway = picker.gateway().await;
    let mut chosen = Vec::new();
    let hinted = |message| with_metadata(message, namespace, KEY, hint.clone());
    let body = || request_body(r#"{"model":"m","prompt":"a"}"#, END);
    for number in 0..40 {
        let mut stream = gateway.open();
        match number % 3 {
            0 => stream.say(hinted(request_headers(&[], END))),
            1 => {
                stream.say(hinted(request_headers(&[], MORE)));
                stream.say(body());
            }
            _ => {
                stream.say(request_headers(&[], MORE));
                stream.say(hinted(body()));
            }
        }
        let answer = stream.answer().await;
        let metadata = answer.dynamic_metadata.as_ref().map(|metadata| {
            let Some(Kind::StructValue(lb)) = &metadata.fields["envoy.lb"].kind else {
                unreachable!("{metadata:?}");
            };
            lb.fields[DESTINATION].clone()
        });
        if let Some(Value { kind: Some(Kind::StringValue(endpoint)) }) = metadata {
            chosen.push(endpoint);
            continue;
        }
        let text = "inference error: ServiceUnavailable - failed to find endpoint candidates for \
                    serving the request";
        assert_eq!(answer, refused(503, text, Some("rejected-no-endpoints")));
        stream.ended_well().await;
    }
    chosen.sort();
    chosen.dedup();
    chosen
}

#[tokio::test]
async fn a_subset_confines_the_pick_by_address_whatever_the_port() {
    let picker = picker(&[]).await;
    let rows: [(Value, &[&str]); 11] = [
        (list([text("10.0.0.1:8000")]), &[A]),
        (list([text("10.0.0.1:9")]), &[A]),
        (list([text("10.0.0.1")]), &[A]),
        (list([text("10.0.0.1:8000"), text("10.0.0.2:8000")]), &[A, B]),
        (list([text("[fd00::3]:8000")]), &[C]),
        (list([text("fd00::3")]), &[C]),
        (text("10.0.0.1:8000, fd00::3"), &[A, C]),
        (list([Value { kind: Some(Kind::NumberValue(1.0)) }, text("10.0.0.2:8000")]), &[B]),
        (list([text("10.9.9.9:8000")]), &[]),
        (list([text("nobody")]), &[]),
        (list([]), &[]),
    ];
    for (hint, expected) in rows {
        assert_eq!(chosen(&picker, NAMESPACE, &hint).await, expected, "{hint:?}");
    }
}

#[tokio::test]
async fn what_is_no_subset_confines_nothing() {
    let picker = picker(&[]).await;
    for hint in [
        Value { kind: Some(Kind::NumberValue(1.0)) },
        Value { kind: Some(Kind::BoolValue(true)) },
        Value { kind: Some(Kind::NullValue(0)) },
        Value { kind: None },
    ] {
        assert_eq!(chosen(&picker, NAMESPACE, &hint).await, [A, B, C], "{hint:?}");
    }
    let elsewhere = list([text("10.0.0.1:8000")]);
    assert_eq!(chosen(&picker, "envoy.lb", &elsewhere).await, [A, B, C]);
}

/// Whoever wrote it meant to confine the request, so nobody is picked: what could be read of it may
/// not be all.
#[tokio::test]
async fn an_unreadable_subset_closes_the_stream() {
    let picker = picker(&[]).await;
    let hinted = |hint| with_metadata(request_headers(&[], END), NAMESPACE, KEY, hint);
    let whole = hinted(list([text("10.0.0.1:8000")])).encode_to_vec();
    // Another entry of the same map, whose value is no struct.
    let mut entry = vec![0x0a, u8::try_from(NAMESPACE.len()).unwrap()];
    entry.extend_from_slice(NAMESPACE.as_bytes());
    entry.extend_from_slice(&[0x12, 1, 0xff]);
    let mut broken = whole.clone();
    let length = u8::try_from(entry.len()).unwrap();
    broken.extend_from_slice(&[0x42, length + 2, 0x0a, length]);
    broken.extend_from_slice(&entry);
    let mut garbled = whole.clone();
    let at = garbled.windows(8).position(|window| window == b"10.0.0.1").unwrap();
    garbled[at] = 0xff;
    let long = hinted(list((0..70_000).map(|_| text("10.0.0.1:8000")))).encode_to_vec();
    let rows = [
        (broken, "metadata_context is malformed in namespace envoy.lb.subset_hint"),
        (garbled, "metadata_context is malformed in namespace envoy.lb.subset_hint"),
        (long, "bytes, more than 1048576"),
    ];
    for (message, why) in rows {
        let (status, said) = Raw::to(picker.ports().extproc).await.call(PROCESS, &[&message]).await;
        assert_eq!(status, "3", "{said}");
        let begins = "it cannot be read which endpoints the request is confined to: ";
        assert!(said.starts_with(begins) && said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn a_subset_can_be_ignored_by_a_flag() {
    let picker = picker(&["--disable-endpoint-subset-filter"]).await;
    assert_eq!(chosen(&picker, NAMESPACE, &list([text("10.0.0.1")])).await, [A, B, C]);
}

#[tokio::test]
async fn the_pick_of_a_subset_is_told_as_any_other() {
    let picker = picker(&[]).await;
    let gateway = picker.gateway().await;
    let hint = list([text("fd00::3")]);
    let headers = request_headers(&[("x-request-id", "1")], END);
    let mut stream = gateway.ask([with_metadata(headers, NAMESPACE, KEY, hint)]);
    assert_eq!(stream.answer().await, picked(C, &[]));
}

#[tokio::test]
async fn of_several_subsets_the_last_counts() {
    let picker = picker(&[]).await;
    let gateway = picker.gateway().await;
    let hinted = |message, address| with_metadata(message, NAMESPACE, KEY, list([text(address)]));
    let body = r#"{"model":"m","prompt":"a"}"#;
    for _ in 0..10 {
        let headers = request_headers(&[("x-request-id", "1")], MORE);
        let first = hinted(headers, "10.0.0.1");
        let mut stream = gateway.ask([first, hinted(request_body(body, END), "10.0.0.2")]);
        let set = [("x-request-id", "1"), ("Content-Length", "26")];
        assert_eq!(stream.answer().await, picked(B, &set));
    }
}
