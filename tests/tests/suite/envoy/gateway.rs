//! Claims about Envoy under our configuration, with a scripted picker: what `epp` can rely on, and
//! what it must not do.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use convoy_tests::body::{Body, Step};
use convoy_tests::client::{ClientError, Connection, Protocol, Whole};
use convoy_tests::envoy::{
    Authority, BodyMode, Bootstrap, Detection, Endpoint, Envoy, FailureMode, Filters, Health,
    Retry, Routing, Transport,
};
use http::Request;

use super::route::trailers;
use super::scripted_picker::{Script, ScriptedPicker};
use super::upstream::{Deed, EVENT, Upstream};

const PLAINTEXT: Bootstrap = Bootstrap {
    transport: Transport::Plaintext,
    authority: Authority::Plain,
    detection: Detection::Discovery,
    failure_mode: FailureMode::Close,
    request_body: BodyMode::FullDuplexStreamed,
    response_body: BodyMode::FullDuplexStreamed,
    filters: Filters::One,
    routing: Routing::Picker,
    retry: Retry::Twice,
};

/// An Envoy with these pickers and model servers.
async fn envoy(bootstrap: Bootstrap, pickers: &[SocketAddr], servers: &[&Upstream]) -> Envoy {
    let envoy = Envoy::start(bootstrap).await.unwrap();
    let servers: Vec<_> = servers.iter().map(|one| Endpoint::healthy(one.address())).collect();
    envoy.set_model_servers(&servers).await.unwrap();
    envoy.set_pickers(pickers).await.unwrap();
    envoy
}

/// One request on a connection of its own, to be echoed.
async fn ask(envoy: &Envoy, body: Body) -> Result<Whole, ClientError> {
    let mut connection = Connection::open(envoy.address(), Protocol::Http1).await?;
    let request =
        Request::post("/v1/completions").header("x-do", Deed::Echo.header()).body(body).unwrap();
    connection.send(request).await?.whole().await
}

#[tokio::test]
async fn every_setting_is_one_that_envoy_takes() {
    let rows = [
        Bootstrap::default(),
        Bootstrap {
            transport: Transport::Plaintext,
            authority: Authority::Plain,
            detection: Detection::Tuned,
            failure_mode: FailureMode::Open,
            request_body: BodyMode::Buffered,
            response_body: BodyMode::None,
            filters: Filters::TwoOfOneName,
            routing: Routing::Picker,
            retry: Retry::Never,
        },
        Bootstrap {
            detection: Detection::Tuned,
            request_body: BodyMode::Streamed,
            response_body: BodyMode::Streamed,
            ..Bootstrap::default()
        },
        Bootstrap { routing: Routing::RoundRobin, ..Bootstrap::default() },
    ];
    for row in rows {
        Envoy::start(row).await.unwrap();
    }
}

#[tokio::test]
async fn the_pick_is_obeyed_and_the_log_says_so() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let picker = ScriptedPicker::start(Script::Pick(two.address())).await;
    let envoy = envoy(PLAINTEXT, &[picker.address()], &[&one, &two]).await;
    for _ in 0..4 {
        let answer = ask(&envoy, Body::whole("ping")).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"ping"[..]));
    }
    assert_eq!((one.requests(), two.requests()), (0, 4));
    for entry in envoy.logged(4).await.unwrap() {
        let two = Some(two.address().to_string());
        assert_eq!((entry.code, &entry.picked, &entry.served), (200, &two, &two));
        assert_eq!((entry.upstream.map(|at| at.to_string()), entry.attempts), (two, Some(1)));
        assert_eq!(
            (entry.method.as_deref(), entry.path.as_deref()),
            (Some("POST"), Some("/v1/completions"))
        );
        assert_eq!((entry.received_bytes, entry.sent_bytes), (4, 4));
        assert!(entry.first_byte_ms <= Some(entry.ms) && entry.request_id.is_some());
    }
}

#[tokio::test]
async fn a_pick_in_the_header_alone_is_not_obeyed() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let picker = ScriptedPicker::start(Script::PickInHeaderOnly(two.address())).await;
    let envoy = envoy(PLAINTEXT, &[picker.address()], &[&one, &two]).await;
    for _ in 0..8 {
        ask(&envoy, Body::whole("ping")).await.unwrap();
    }
    assert_ne!(one.requests(), 0);
}

#[tokio::test]
async fn model_servers_come_and_go_and_an_unhealthy_pick_is_used() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let picker = ScriptedPicker::start(Script::Pick(two.address())).await;
    let envoy = envoy(PLAINTEXT, &[picker.address()], &[&one]).await;
    ask(&envoy, Body::whole("ping")).await.unwrap();
    assert_eq!((one.requests(), two.requests()), (1, 0), "Envoy does not know the pick");
    let unhealthy = Endpoint { address: two.address(), health: Health::Unhealthy };
    envoy.set_model_servers(&[Endpoint::healthy(one.address()), unhealthy]).await.unwrap();
    ask(&envoy, Body::whole("ping")).await.unwrap();
    assert_eq!((one.requests(), two.requests()), (1, 1));
}

#[tokio::test]
async fn without_the_override_nobody_asks_the_picker() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let picker = ScriptedPicker::start(Script::Pick(two.address())).await;
    let bootstrap = Bootstrap { routing: Routing::RoundRobin, ..PLAINTEXT };
    let envoy = envoy(bootstrap, &[picker.address()], &[&one, &two]).await;
    for _ in 0..8 {
        ask(&envoy, Body::whole("ping")).await.unwrap();
    }
    assert_eq!(picker.streams(), 0);
    assert!(0 < one.requests() && 0 < two.requests());
}

#[tokio::test]
async fn without_a_picker_a_request_fails_or_passes_by_failure_mode() {
    for (failure_mode, code) in [(FailureMode::Close, 500), (FailureMode::Open, 200)] {
        let server = Upstream::start().await;
        let envoy = envoy(Bootstrap { failure_mode, ..PLAINTEXT }, &[], &[&server]).await;
        let answer = ask(&envoy, Body::whole("ping")).await.unwrap();
        assert_eq!(answer.status.as_u16(), code, "{failure_mode:?}");
    }
}

#[tokio::test]
async fn a_picker_that_refuses_a_post_fails_it_even_in_fail_open() {
    let server = Upstream::start().await;
    let picker = ScriptedPicker::start(Script::Refuse).await;
    let bootstrap = Bootstrap { failure_mode: FailureMode::Open, ..PLAINTEXT };
    let envoy = envoy(bootstrap, &[picker.address()], &[&server]).await;
    let answer = ask(&envoy, Body::whole("ping")).await.unwrap();
    assert_eq!(answer.status.as_u16(), 500);
    assert!(envoy.logged(1).await.unwrap()[0].picker_failed());
}

#[tokio::test]
async fn two_filters_of_one_name_open_two_streams() {
    let server = Upstream::start().await;
    let picker = ScriptedPicker::start(Script::Pick(server.address())).await;
    let bootstrap = Bootstrap { filters: Filters::TwoOfOneName, ..PLAINTEXT };
    let envoy = envoy(bootstrap, &[picker.address()], &[&server]).await;
    let answer = ask(&envoy, Body::whole("ping")).await.unwrap();
    assert_eq!((answer.status.as_u16(), picker.streams()), (200, 2));
}

/// Why `epp` ends no stream with OK before it has given the whole body back.
#[tokio::test]
async fn a_stream_that_ends_well_too_early_truncates_the_body() {
    let server = Upstream::start().await;
    let picker = ScriptedPicker::start(Script::LeaveEarly(server.address())).await;
    let envoy = envoy(PLAINTEXT, &[picker.address()], &[&server]).await;
    let piece = Bytes::from_static(&[7; 690]);
    let rest = || Step::Rest(Duration::from_millis(50));
    let body = [Step::Send(piece.clone()), rest(), Step::Send(piece.clone()), rest()];
    let answer = ask(&envoy, Body::script(body.into_iter().chain([Step::Send(piece)])));
    let answer = answer.await.unwrap();
    // Nobody is told.
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 2 * 690));
}

#[tokio::test]
async fn both_protocols_reach_the_gateway() {
    let server = Upstream::start().await;
    let picker = ScriptedPicker::start(Script::Pick(server.address())).await;
    let envoy = envoy(PLAINTEXT, &[picker.address()], &[&server]).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = Connection::open(envoy.address(), protocol).await.unwrap();
        let request = Request::post("/v1/completions").header("x-do", Deed::Events(3).header());
        let request = request.body(Body::whole("{}")).unwrap();
        let answer = connection.send(request).await.unwrap().whole().await.unwrap();
        assert_eq!(answer.body.len(), 3 * EVENT.len());
    }
}

/// Envoy 1.40 does this to every picker, so claims about trailers need a route that never retries.
#[tokio::test]
async fn a_body_that_ends_in_trailers_comes_twice_where_the_route_retries() {
    for (retry, expected) in [(Retry::Never, "ping"), (Retry::Twice, "pingping")] {
        let server = Upstream::start().await;
        let picker = ScriptedPicker::start(Script::Pick(server.address())).await;
        let bootstrap = Bootstrap { retry, ..PLAINTEXT };
        let envoy = envoy(bootstrap, &[picker.address()], &[&server]).await;
        let mut connection = Connection::open(envoy.address(), Protocol::Http2).await.unwrap();
        let body = Body::script([Step::Send(Bytes::from_static(b"ping")), trailers()]);
        let request = Request::post("/v1/completions").header("x-do", Deed::Echo.header());
        let answer = connection.send(request.body(body).unwrap()).await.unwrap();
        assert_eq!(answer.whole().await.unwrap().body, expected);
    }
}
