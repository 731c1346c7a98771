//! Which requests are served, and how the others are told.

use super::*;

/// A request with `change` in place of, or beside, the usual fields; `None` removes one.
fn changed(change: &[(&'static str, Option<&'static str>)]) -> Vec<u8> {
    let mut fields = HEAD.to_vec();
    for &(name, value) in change {
        fields.retain(|field| field.0 != name);
        if let Some(value) = value {
            let at = if name.starts_with(':') { 0 } else { fields.len() };
            fields.insert(at, (name, value));
        }
    }
    headers(1, false, &fields)
}

#[track_caller]
fn refused(request: Vec<u8>, frames: &[&str]) {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[request]);
    assert_eq!(pair.error, None);
    let events = pair.events();
    assert!(matches!(&events[..], [one] if one.starts_with("refused: ")), "{events:?}");
    assert_eq!(pair.frames(), frames);
    assert_eq!(pair.server.active_streams(), 0);
    pair.send(&[data(1, true, b"late"), request_3()]);
    assert_eq!(pair.events(), ["3 opened /echo"], "the connection goes on");
}

fn request_3() -> Vec<u8> {
    request(3, false)
}

const MALFORMED: &[&str] = &["RST_STREAM 1 PROTOCOL_ERROR"];

#[test]
fn malformed_heads_reset_the_stream() {
    for change in [
        (":path", None),
        (":method", None),
        (":scheme", None),
        (":path", Some("")),
        (":status", Some("200")),
        (":unknown", Some("1")),
        ("te", Some("gzip")),
        ("connection", Some("close")),
        ("transfer-encoding", Some("chunked")),
        ("Upper", Some("case")),
        ("with space", Some("x")),
        ("", Some("x")),
        ("x", Some(" padded")),
        ("x", Some("line\nbreak")),
        ("content-length", Some("ten")),
        ("content-length", Some("")),
    ] {
        refused(changed(&[change]), MALFORMED);
    }
}

#[test]
fn pseudo_headers_stand_first_and_once() {
    let twice = [HEAD, &[(":path", "/other")]].concat();
    refused(headers(1, false, &twice), MALFORMED);
    let mut twice = HEAD.to_vec();
    twice.insert(0, (":path", "/other"));
    refused(headers(1, false, &twice), MALFORMED);
}

#[test]
fn two_lengths_of_content_are_malformed() {
    let twice = [HEAD, &[("content-length", "1"), ("content-length", "2")]].concat();
    refused(headers(1, false, &twice), MALFORMED);
}

#[test]
fn what_is_not_grpc_gets_a_code_of_plain_http() {
    let not_grpc: &[&str] = &["HEADERS 1 :status=415 end", "RST_STREAM 1 NO_ERROR"];
    refused(changed(&[("content-type", Some("application/json"))]), not_grpc);
    refused(changed(&[("content-type", Some("application/grpcx"))]), not_grpc);
    refused(changed(&[("content-type", None)]), not_grpc);
    let method: &[&str] = &["HEADERS 1 :status=405 end", "RST_STREAM 1 NO_ERROR"];
    refused(changed(&[(":method", Some("GET"))]), method);
}

#[test]
fn formats_and_parameters_of_grpc_are_accepted() {
    for content_type in ["application/grpc+proto", "application/grpc;charset=utf-8"] {
        let mut pair = Pair::new(Limits::default());
        pair.send(&[changed(&[("content-type", Some(content_type))])]);
        assert_eq!(pair.events(), ["1 opened /echo"]);
    }
}

#[test]
fn a_malformed_timeout_is_a_status() {
    refused(
        changed(&[("grpc-timeout", Some("soon"))]),
        &[
            "HEADERS 1 :status=200 content-type=application/grpc grpc-status=13 grpc-message=grpc-timeout is malformed; \
         it has to be at most eight digits and one of H, M, S, m, u, n end",
            "RST_STREAM 1 NO_ERROR",
        ],
    );
}

#[test]
fn a_list_of_headers_beyond_the_limit_is_told_so() {
    let limits = Limits { header_list_bytes_max: 300, ..Limits::default() };
    let mut pair = Pair::new(limits);
    pair.send(&[changed(&[("x", Some("012345678901234567890123456789"))])]);
    let text = "grpc-status=8 grpc-message=the request headers exceed 300 bytes end";
    let headers = format!("HEADERS 1 :status=200 content-type=application/grpc {text}");
    assert_eq!(pair.frames(), [&headers, "RST_STREAM 1 NO_ERROR"]);
}

#[test]
fn the_head_tells_path_authority_timeout_and_metadata() {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[changed(&[
        ("grpc-timeout", Some("250m")),
        ("x-request-id", Some("7")),
        ("traceparent", Some("")),
    ])]);
    let Some(Event::Opened { stream, head }) = pair.server.poll_event() else {
        panic!("the request opens a stream")
    };
    assert_eq!((stream.number(), stream.slot()), (1, 0));
    assert_eq!(head.path(), b"/echo");
    assert_eq!(head.authority(), Some(&b"picker"[..]));
    assert_eq!(head.timeout(), Some(std::time::Duration::from_millis(250)));
    assert_eq!(head.metadata("x-request-id"), Some(&b"7"[..]));
    assert_eq!(head.metadata("traceparent"), Some(&b""[..]));
    assert_eq!(head.metadata("te"), None);
    assert_eq!(head.all_metadata().len(), 2);
}

#[test]
fn a_head_comes_with_padding_priority_and_in_parts() {
    let mut pair = Pair::new(Limits::default());
    let block = block(HEAD);
    let (first, rest) = block.split_at(10);
    let (second, third) = rest.split_at(10);
    let first = [&[3, 0, 0, 0, 0, 16][..], first, &[0; 3]].concat();
    let flags = flag::PADDED | flag::PRIORITY | flag::END_STREAM;
    pair.send(&[
        whole(kind::HEADERS, flags, 1, &first),
        whole(kind::CONTINUATION, 0, 1, second),
        whole(kind::CONTINUATION, flag::END_HEADERS, 1, third),
    ]);
    assert_eq!(pair.events(), ["1 opened /echo", "1 half-closed"]);
}

#[test]
fn trailers_end_the_request() {
    let mut pair = Pair::new(Limits::default());
    pair.open(1);
    pair.send(&[headers(1, true, &[("x-checksum", "1")])]);
    assert_eq!(pair.events(), ["1 half-closed"]);
}

#[test]
fn trailers_that_do_not_end_the_request_are_malformed() {
    for (end, fields) in [(false, ("x", "1")), (true, (":path", "/")), (true, ("X", "1"))] {
        let mut pair = Pair::new(Limits::default());
        pair.open(1);
        pair.send(&[headers(1, end, &[fields])]);
        assert_eq!(pair.frames(), MALFORMED);
        assert_eq!(pair.events().len(), 1);
        assert_eq!(pair.server.active_streams(), 0);
    }
}

#[test]
fn nothing_follows_the_end_of_a_request() {
    for late in [data(1, false, b""), headers(1, true, &[("x", "1")])] {
        let mut pair = Pair::new(Limits::default());
        pair.send(&[request(1, true), late]);
        assert_eq!(pair.frames(), ["RST_STREAM 1 STREAM_CLOSED"]);
        assert_eq!(
            pair.events(),
            [
                "1 opened /echo",
                "1 half-closed",
                "1 ended: refused: data or trailers after the end of the request",
            ]
        );
    }
}

#[test]
fn content_length_binds_the_data() {
    let request = || changed(&[("content-length", Some("8"))]);
    let mut pair = Pair::new(Limits::default());
    pair.send(&[request(), data(1, false, &message(b"a")), data(1, true, &message(b""))]);
    assert_eq!(pair.frames(), MALFORMED, "more than announced");
    let mut pair = Pair::new(Limits::default());
    pair.send(&[request(), data(1, true, &message(b"a"))]);
    assert_eq!(pair.frames(), MALFORMED, "less than announced");
    let mut pair = Pair::new(Limits::default());
    pair.send(&[request(), data(1, true, &message(b"abc"))]);
    assert_eq!(pair.events(), ["1 opened /echo", "1 message abc", "1 half-closed"]);
}

#[test]
fn padding_of_data_is_dropped() {
    let mut pair = Pair::new(Limits::default());
    pair.open(1);
    let padded = [&[4][..], &message(b"ask"), &[0; 4]].concat();
    pair.send(&[whole(kind::DATA, flag::PADDED | flag::END_STREAM, 1, &padded)]);
    assert_eq!(pair.events(), ["1 message ask", "1 half-closed"]);
}

#[test]
fn messages_that_break_a_rule_end_their_stream_only() {
    let long = [0, 0xff, 0, 0, 0];
    let rows: &[(&[u8], &str)] = &[
        (&[1, 0, 0, 0, 0], "grpc-status=12"),
        (&long, "grpc-status=8"),
        (b"\0\0\0\0\x05cut", "grpc-status=13"),
    ];
    for (payload, status) in rows {
        let mut pair = Pair::new(Limits::default());
        pair.open(1);
        pair.open(3);
        pair.send(&[data(1, true, payload), data(3, false, &message(b"on"))]);
        let events = pair.events();
        assert!(events[0].starts_with("1 ended: refused: "), "{events:?}");
        assert_eq!(events[1], "3 message on");
        assert!(pair.frames()[0].contains(status));
    }
}

#[test]
fn more_streams_than_allowed_are_refused_so_that_they_can_be_retried() {
    let mut pair = Pair::new(Limits { streams_max: 2, ..Limits::default() });
    pair.send(&[request(1, false), request(3, false), request(5, false)]);
    assert_eq!(pair.frames(), ["RST_STREAM 5 REFUSED_STREAM"]);
    let refused = "refused: 2 streams are open, as many as one connection may have";
    assert_eq!(pair.events(), ["1 opened /echo", "3 opened /echo", refused]);
    pair.server.reset(pair.stream(1), ErrorCode::CANCEL);
    pair.send(&[request(7, false)]);
    assert_eq!(pair.events(), ["7 opened /echo"]);
}

#[test]
fn everything_before_a_reset_is_heard() {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[
        request(1, false),
        data(1, false, &message(b"last")),
        rst_stream(1, ErrorCode::NO_ERROR),
    ]);
    assert_eq!(
        pair.events(),
        ["1 opened /echo", "1 message last", "1 ended: reset by the client: NO_ERROR"]
    );
    assert_eq!(pair.server.active_streams(), 0);
}

#[test]
fn late_frames_of_an_ended_stream_are_dropped() {
    let mut pair = Pair::new(Limits::default());
    let stream = pair.open(1);
    pair.server.finish(stream, Status::Ok, "");
    pair.frames();
    pair.send(&[
        data(1, false, &message(b"late")),
        frame::window_update(1, 1),
        headers(1, true, &[("x", "1")]),
        rst_stream(1, ErrorCode::CANCEL),
    ]);
    assert_eq!((pair.error.take(), pair.events(), pair.frames()), (None, vec![], vec![]));
}
