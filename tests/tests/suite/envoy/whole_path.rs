//! Claims about requests that travel client -> Envoy -> `epp` -> server and back.

use std::time::Duration;

use convoy_tests::body::{Body, Step};
use convoy_tests::client::{Connection, Protocol, Whole};
use convoy_tests::envoy::{
    BodyMode, Bootstrap, Endpoint, Entry, FailureMode, Filters, Retry, Transport,
};
use convoy_tests::epp::metric;
use convoy_tests::processes::eventually;
use http::Request;

use super::route::{Route, completion, prompt, trailers};
use super::upstream::{Deed, EVENT, GAP};

const SOON: Duration = Duration::from_secs(20);

/// Asserts that Envoy served this request where the picker said, and that all went well.
#[track_caller]
fn assert_obeyed(entry: &Entry) {
    assert!(entry.picked.is_some() && entry.picked == entry.served, "{entry:?}");
    assert_eq!(entry.upstream.map(|at| at.to_string()), entry.served, "{entry:?}");
}

/// Asserts that `answer` is `sent`, come back unchanged.
#[track_caller]
fn assert_echoed(answer: &Whole, sent: &[u8]) {
    assert_eq!(answer.status.as_u16(), 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.body.len(), sent.len());
    assert!(answer.body == sent, "the body came back changed");
}

/// Waits until the picker counts no request as running.
async fn assert_idle(route: &Route) {
    let what = "a picker without running requests";
    let idle = eventually(what, SOON, async || {
        let page = route.pickers.first()?.metrics_page().await?;
        (metric(&page, "inference_objective_running_requests") == 0.0).then_some(())
    });
    idle.await.unwrap();
}

#[tokio::test]
async fn both_protocols_and_both_forms_of_body_pass_unchanged() {
    let route = Route::default().await;
    let body = prompt(20_000);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for form in [Body::whole(body.clone()), Body::chunked(&body, 777)] {
            let answer = route.send(protocol, completion(Deed::Echo, form)).await.unwrap();
            assert_echoed(&answer, &body);
        }
    }
    route.envoy.logged(4).await.unwrap().iter().for_each(assert_obeyed);
    assert_idle(&route).await;
}

#[tokio::test]
async fn plaintext_serves_as_tls_does() {
    let bootstrap = Bootstrap { transport: Transport::Plaintext, ..Bootstrap::default() };
    let route = Route::start(bootstrap, 1, 2, &["--secure-serving=false"]).await;
    let body = prompt(1_000);
    let sent = completion(Deed::Echo, Body::whole(body.clone()));
    assert_echoed(&route.send(Protocol::Http1, sent).await.unwrap(), &body);
    assert_obeyed(&route.envoy.logged(1).await.unwrap()[0]);
}

#[tokio::test]
async fn five_megabytes_pass_unchanged_both_ways() {
    let route = Route::default().await;
    let body = prompt(5 << 20);
    for form in [Body::whole(body.clone()), Body::chunked(&body, 64 << 10)] {
        let answer = route.send(Protocol::Http1, completion(Deed::Echo, form)).await.unwrap();
        assert_echoed(&answer, &body);
    }
    route.envoy.logged(2).await.unwrap().iter().for_each(assert_obeyed);
}

#[tokio::test]
async fn events_arrive_one_by_one_while_they_are_made() {
    const EVENTS: usize = 40;
    let route = Route::default().await;
    let sent = completion(Deed::Events(EVENTS), Body::whole(prompt(100)));
    let answer = route.send(Protocol::Http1, sent).await.unwrap();
    assert_eq!(answer.body, EVENT.repeat(EVENTS));
    // Held back until the end, the first would have come as late as the last.
    let streaming = answer.total.checked_sub(answer.first_byte.unwrap()).unwrap();
    assert!(GAP * 20 < streaming, "all came within {streaming:?}");
    assert_idle(&route).await;
}

#[tokio::test]
async fn a_request_without_a_body_is_served() {
    let route = Route::default().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let request = Request::get("/v1/models").body(Body::empty()).unwrap();
        let answer = route.send(protocol, request).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"hello\n"[..]));
    }
    route.envoy.logged(2).await.unwrap().iter().for_each(assert_obeyed);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_and_reaches_no_server() {
    let route = Route::default().await;
    let sent = completion(Deed::Echo, Body::whole("this is no JSON"));
    let answer = route.send(Protocol::Http1, sent).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status.as_u16(), 400, "{text}");
    assert!(text.starts_with("inference error: BadRequest - "), "{text}");
    assert!(route.servers.iter().all(|server| server.requests() == 0));
    assert_idle(&route).await;
}

#[tokio::test]
async fn a_request_that_ends_in_trailers_is_answered() {
    let bootstrap = Bootstrap { retry: Retry::Never, ..Bootstrap::default() };
    let route = Route::start(bootstrap, 1, 2, &[]).await;
    let body = prompt(2_000);
    let form = Body::script([Step::Send(body.clone()), trailers()]);
    let answer = route.send(Protocol::Http2, completion(Deed::Echo, form)).await.unwrap();
    assert_echoed(&answer, &body);
    assert_obeyed(&route.envoy.logged(1).await.unwrap()[0]);
    assert_idle(&route).await;
}

#[tokio::test]
async fn a_client_that_leaves_amid_the_answer_leaves_nothing_running() {
    let route = Route::default().await;
    let sent = completion(Deed::Endless, Body::whole(prompt(100)));
    let mut connection = Connection::open(route.envoy.address(), Protocol::Http1).await.unwrap();
    let mut answer = connection.send(sent).await.unwrap();
    answer.next().await.unwrap().unwrap();
    drop((connection, answer));
    assert_idle(&route).await;
    let body = prompt(100);
    let sent = completion(Deed::Echo, Body::whole(body.clone()));
    assert_echoed(&route.send(Protocol::Http1, sent).await.unwrap(), &body);
}

#[tokio::test]
async fn a_client_that_leaves_amid_its_request_leaves_nothing_running() {
    let route = Route::default().await;
    let form = Body::script([Step::Send(prompt(100).slice(..50)), Step::Stall]);
    let mut connection = Connection::open(route.envoy.address(), Protocol::Http2).await.unwrap();
    let asked = connection.send(completion(Deed::Echo, form));
    let page = eventually("the request's arrival", SOON, async || {
        route.envoy.stats("http.outbound_0.0.0.0_8080.downstream_rq_active").await.ok()
    });
    tokio::select! {
        _ = asked => panic!("a request that never ends was answered"),
        page = page => assert!(!page.unwrap().is_empty()),
    }
    drop(connection);
    assert_idle(&route).await;
    assert!(route.servers.iter().all(|server| server.requests() == 0));
}

#[tokio::test]
async fn a_server_that_breaks_off_breaks_the_answer_and_nothing_else() {
    let route = Route::default().await;
    let sent = completion(Deed::Break, Body::whole(prompt(100)));
    let broken = route.send(Protocol::Http1, sent).await;
    assert!(broken.is_err(), "{broken:?}");
    assert_idle(&route).await;
    let body = prompt(100);
    let sent = completion(Deed::Echo, Body::whole(body.clone()));
    assert_echoed(&route.send(Protocol::Http1, sent).await.unwrap(), &body);
}

#[tokio::test]
async fn two_streams_with_one_request_id_are_two_streams() {
    let bootstrap = Bootstrap { filters: Filters::TwoOfOneName, ..Bootstrap::default() };
    let route = Route::start(bootstrap, 1, 2, &[]).await;
    let body = prompt(1_000);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let sent = completion(Deed::Echo, Body::chunked(&body, 100));
        assert_echoed(&route.send(protocol, sent).await.unwrap(), &body);
    }
    assert_idle(&route).await;
}

#[tokio::test]
async fn every_mode_of_bodies_is_served() {
    use BodyMode::{Buffered, FullDuplexStreamed, None, Streamed};
    let body = prompt(3_000);
    let modes = [
        (Buffered, Buffered),
        (Buffered, None),
        (Streamed, Streamed),
        (FullDuplexStreamed, Buffered),
        (FullDuplexStreamed, None),
    ];
    for (request_body, response_body) in modes {
        let bootstrap = Bootstrap { request_body, response_body, ..Bootstrap::default() };
        let route = Route::start(bootstrap, 1, 2, &[]).await;
        let sent = completion(Deed::Echo, Body::chunked(&body, 500));
        let answer = route.send(Protocol::Http1, sent).await.unwrap();
        assert_echoed(&answer, &body);
        assert_obeyed(&route.envoy.logged(1).await.unwrap()[0]);
    }
}

#[tokio::test]
async fn without_observation_the_whole_answer_passes() {
    let route = Route::start(Bootstrap::default(), 1, 2, &["--response-observation=off"]).await;
    let body = prompt(200_000);
    for form in [Body::whole(body.clone()), Body::chunked(&body, 10_000)] {
        let answer = route.send(Protocol::Http1, completion(Deed::Echo, form)).await.unwrap();
        assert_echoed(&answer, &body);
    }
    let sent = completion(Deed::Events(20), Body::whole(prompt(100)));
    let answer = route.send(Protocol::Http1, sent).await.unwrap();
    assert_eq!(answer.body, EVENT.repeat(20));
    route.envoy.logged(3).await.unwrap().iter().for_each(assert_obeyed);
}

#[tokio::test]
async fn without_a_live_picker_the_failure_mode_decides() {
    for (failure_mode, code) in [(FailureMode::Close, 500), (FailureMode::Open, 200)] {
        let bootstrap = Bootstrap { failure_mode, ..Bootstrap::default() };
        let mut route = Route::start(bootstrap, 1, 2, &[]).await;
        route.pickers.clear();
        route.publish().await;
        let sent = completion(Deed::Echo, Body::whole(prompt(100)));
        let answer = route.send(Protocol::Http1, sent).await.unwrap();
        assert_eq!(answer.status.as_u16(), code, "{failure_mode:?}");
    }
}

#[tokio::test]
async fn an_empty_pool_refuses() {
    let route = Route::start(Bootstrap::default(), 1, 0, &[]).await;
    let sent = completion(Deed::Echo, Body::whole(prompt(100)));
    let answer = route.send(Protocol::Http1, sent).await.unwrap();
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(answer.header("x-llm-d-request-dropped-reason"), Some("rejected-no-endpoints"));
    let request = Request::get("/v1/models").body(Body::empty()).unwrap();
    assert_eq!(route.send(Protocol::Http1, request).await.unwrap().status.as_u16(), 500);
}

#[tokio::test]
async fn servers_that_are_listed_while_it_runs_are_picked() {
    let route = Route::start(Bootstrap::default(), 1, 2, &[]).await;
    let body = prompt(100);
    for server in &route.servers {
        route.list(&[server.address()]);
        let only = eventually("the only server's turn", SOON, async || {
            let sent = completion(Deed::Echo, Body::whole(body.clone()));
            assert_echoed(&route.send(Protocol::Http1, sent).await.unwrap(), &body);
            let entries = route.envoy.access_log().unwrap();
            let last = entries.last()?.served.clone()?;
            (last == server.address().to_string()).then_some(())
        });
        only.await.unwrap();
    }
}

#[tokio::test]
async fn a_pick_that_envoy_does_not_know_is_served_by_another() {
    let route = Route::start(Bootstrap::default(), 1, 2, &[]).await;
    let known = &route.servers[0];
    route.envoy.set_model_servers(&[Endpoint::healthy(known.address())]).await.unwrap();
    let body = prompt(100);
    for _ in 0..10 {
        let sent = completion(Deed::Echo, Body::whole(body.clone()));
        assert_echoed(&route.send(Protocol::Http1, sent).await.unwrap(), &body);
    }
    assert_eq!(known.requests(), 10);
    assert_idle(&route).await;
}
