//! What gateways and probes see of a picker that was told to stop.

use std::time::Duration;

use convoy_proto::health::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use convoy_tests::{epp::Readiness, processes::eventually};
use prost::Message as _;
use tonic::transport::Endpoint;

use super::{
    messages::{
        END, MORE, request_body, request_headers, response_body, response_headers, response_piece,
    },
    picker::{Picker, SOON},
    raw::{PROCESS, Raw},
};

const PROMPT: &str = r#"{"model":"m","prompt":"a"}"#;
const SSE: [(&str, &str); 1] = [("content-type", "text/event-stream")];

/// What probes of liveness hear.
async fn liveness(picker: &Picker) -> ServingStatus {
    let at = format!("http://{}", picker.ports().health);
    let channel = Endpoint::from_shared(at).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: "liveness".to_owned() };
    HealthClient::new(channel).check(request).await.unwrap().get_ref().status()
}

/// It says that it goes, serves on, leaves what is open at a quiet moment, and ends; in this order.
#[tokio::test]
async fn a_picker_that_is_told_to_stop_serves_on_and_leaves_answers_at_a_quiet_moment() {
    // Streams are left three seconds before the end.
    let mut picker = Picker::with_flags(&["--termination-grace-period=5s"]).await;
    let gateway = picker.gateway().await;
    let mut passing = gateway.ask([request_headers(&[], MORE), request_body(PROMPT, END)]);
    passing.answer().await;
    passing.answer().await;
    passing.say(response_headers(&SSE, MORE));
    passing.answer().await;
    assert_eq!(picker.readiness().await, Readiness::Serving);

    picker.terminate();
    let told = eventually("NOT_SERVING", SOON, async || {
        (picker.readiness().await == Readiness::NotServing).then_some(())
    });
    told.await.unwrap();
    assert_eq!(liveness(&picker).await, ServingStatus::Serving);

    // A gateway that has not heard of it opens connections and streams as before.
    let late = Raw::to(picker.ports().extproc).await;
    let mut call = late.open(PROCESS).await.unwrap();
    for message in
        [request_headers(&[], MORE), request_body(PROMPT, END), response_headers(&[], END)]
    {
        call.say(&message.encode_to_vec());
    }
    assert_eq!(call.end().await.0, "0");
    drop(late);

    // The response passes on. It is left with OK, right after a chunk was given back.
    let (mut chunks, mut left) = (0, None);
    let mut tokens = tokio::time::interval(Duration::from_millis(50));
    while left.is_none() {
        tokens.tick().await;
        passing.say(response_body("data: a\n\n", MORE));
        chunks += 1;
        match passing.next().await {
            Ok(answer) => assert_eq!(answer, response_piece("data: a\n\n", MORE)),
            Err(status) => left = Some(status),
        }
    }
    assert_eq!(left.unwrap().code(), tonic::Code::Ok);
    assert!(2 < chunks, "left after {chunks} chunks");
    drop(gateway);
    let status = picker.ended().await;
    assert!(status.success(), "{status}");
}
