//! Clients that break the protocol or wear the server down.

use std::time::Duration;

use super::super::super::hpack::HpackError;
use super::*;

/// Sends `frames` after the settings; the connection has to end with `code` and a text that has
/// `part` in it.
#[track_caller]
fn fatal(frames: &[Vec<u8>], code: ErrorCode, part: &str) {
    let mut pair = Pair::new(Limits::default());
    pair.send(frames);
    let error = pair.error.take().expect("the connection ends");
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(part), "{error}");
    assert!(pair.frames().last().unwrap().starts_with("GOAWAY"));
}

#[test]
fn frames_that_break_the_protocol_end_the_connection() {
    use ErrorCode as E;
    let rows: &[(&[Vec<u8>], ErrorCode, &str)] = &[
        (&[request(2, false)], E::PROTOCOL_ERROR, "odd numbers"),
        (&[request(0, false)], E::PROTOCOL_ERROR, "on a stream"),
        (&[data(1, false, b"")], E::PROTOCOL_ERROR, "never opened"),
        (&[data(0, false, b"")], E::PROTOCOL_ERROR, "on a stream"),
        (&[rst_stream(1, E::CANCEL)], E::PROTOCOL_ERROR, "never opened"),
        (&[frame::window_update(1, 1)], E::PROTOCOL_ERROR, "never opened"),
        (&[whole(kind::SETTINGS, 0, 1, b"")], E::PROTOCOL_ERROR, "stream 0"),
        (&[whole(kind::PING, 0, 1, &[0; 8])], E::PROTOCOL_ERROR, "stream 0"),
        (&[whole(kind::GOAWAY, 0, 1, &[0; 8])], E::PROTOCOL_ERROR, "stream 0"),
        (&[whole(kind::PUSH_PROMISE, 4, 1, &[0; 8])], E::PROTOCOL_ERROR, "only servers"),
        (&[whole(kind::CONTINUATION, 4, 1, b"")], E::PROTOCOL_ERROR, "outside"),
        (&[whole(kind::PING, 0, 0, &[0; 7])], E::FRAME_SIZE_ERROR, "8 bytes"),
        (&[whole(kind::GOAWAY, 0, 0, &[0; 7])], E::FRAME_SIZE_ERROR, "8 bytes"),
        (&[whole(kind::SETTINGS, 0, 0, &[0; 5])], E::FRAME_SIZE_ERROR, "multiple of 6"),
        (&[whole(kind::SETTINGS, 1, 0, &[0; 6])], E::FRAME_SIZE_ERROR, "empty"),
        (&[whole(kind::RST_STREAM, 0, 1, &[0; 3])], E::FRAME_SIZE_ERROR, "4 bytes"),
        (&[whole(kind::WINDOW_UPDATE, 0, 0, &[0; 5])], E::FRAME_SIZE_ERROR, "4 bytes"),
        (&[whole(kind::PRIORITY, 0, 1, &[0; 4])], E::FRAME_SIZE_ERROR, "5 bytes"),
        (&[settings(&[(2, 2)])], E::PROTOCOL_ERROR, "ENABLE_PUSH"),
        (&[settings(&[(4, 1 << 31)])], E::FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE"),
        (&[settings(&[(5, 16_383)])], E::PROTOCOL_ERROR, "MAX_FRAME_SIZE"),
        (&[whole(kind::HEADERS, 4 | 8, 1, &[5, 0, 0])], E::PROTOCOL_ERROR, "padded by 5"),
        (&[whole(kind::HEADERS, 4 | 8, 1, &[])], E::FRAME_SIZE_ERROR, "padded"),
        (&[whole(kind::HEADERS, 4 | 32, 1, &[0; 4])], E::FRAME_SIZE_ERROR, "priority"),
        (&[request(1, false), whole(kind::DATA, 8, 1, &[])], E::FRAME_SIZE_ERROR, "padded"),
        (&[request(1, false), whole(kind::DATA, 8, 1, &[1])], E::PROTOCOL_ERROR, "padded by 1"),
        (&[whole(kind::HEADERS, 4, 1, &[0x80])], E::COMPRESSION_ERROR, "stream 1"),
        (
            &[whole(kind::HEADERS, 0, 1, &[]), ping(0, [0; 8])],
            E::PROTOCOL_ERROR,
            "a PING frame within the header block",
        ),
        (
            &[whole(kind::HEADERS, 0, 1, &[]), whole(kind::CONTINUATION, 4, 3, &[])],
            E::PROTOCOL_ERROR,
            "within the header block of stream 1",
        ),
        (&[vec![0, 0x40, 1, 0, 0, 0, 0, 0, 1]], E::FRAME_SIZE_ERROR, "16385 bytes"),
    ];
    for (frames, code, part) in rows {
        fatal(frames, *code, part);
    }
}

#[test]
fn unknown_frames_flags_and_settings_are_ignored() {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[
        whole(0xbe, 0xff, 9, &[7; 100]),
        whole(kind::PRIORITY, 0, 7, &[0; 5]),
        settings(&[(0xbeef, 1), (1, 0), (3, 0), (6, 0), (8, 1)]),
        whole(kind::PING, 0xfe, 0, b"12345678"),
    ]);
    assert_eq!(pair.error, None);
    assert_eq!(pair.frames(), ["SETTINGS ack", "PING ack 12345678"]);
}

#[test]
fn what_is_not_http2_is_told_apart_at_once() {
    for text in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"PRI * HTTP/1"] {
        let mut pair = Pair::raw(Limits::default());
        pair.send(&[text.to_vec()]);
        assert_eq!(pair.error, Some(ConnectionError::Preface));
    }
}

#[test]
fn settings_come_first() {
    for first in [ping(0, [0; 8]), frame::settings_ack().to_vec()] {
        let mut pair = Pair::raw(Limits::default());
        pair.send(&[PREFACE.to_vec(), first]);
        assert!(matches!(pair.error, Some(ConnectionError::FirstFrame { .. })));
    }
}

#[test]
fn endless_continuations_end_the_connection() {
    let mut frames = vec![whole(kind::HEADERS, 0, 1, &[])];
    frames.extend((0..33).map(|_| whole(kind::CONTINUATION, 0, 1, &[])));
    frames.extend((0..16).map(|_| whole(kind::CONTINUATION, 0, 1, &[])));
    fatal(&frames, ErrorCode::ENHANCE_YOUR_CALM, "48 frames");
    let mut frames = vec![whole(kind::HEADERS, 0, 1, &[0; 16_000])];
    frames.extend((0..16).map(|_| whole(kind::CONTINUATION, 0, 1, &[0; 16_000])));
    fatal(&frames, ErrorCode::ENHANCE_YOUR_CALM, "262144 bytes");
}

#[test]
fn a_small_block_that_stands_for_much_is_refused_and_a_bomb_ends_the_connection() {
    let block = |repeated: usize| {
        let mut block = vec![0x40, 1, b'x', 0x7f, 0x80 | 0x21, 0x1e];
        block.extend([b'y'; 0x7f + 0x21 + (0x1e << 7)]);
        block.extend(vec![0xbe; repeated]);
        whole(kind::HEADERS, flag::END_HEADERS, 1, &block)
    };
    let mut pair = Pair::new(Limits::default());
    pair.send(&[block(20), request(3, false)]);
    assert!(pair.frames()[0].contains("grpc-status=8"));
    let refused = "refused: the request headers exceed 65536 bytes";
    assert_eq!(pair.events(), [refused, "3 opened /echo"], "the table stays in step");
    fatal(&[block(200)], ErrorCode::ENHANCE_YOUR_CALM, "stream 1");
}

#[test]
fn streams_ended_by_breaking_rules_count_as_resets() {
    let limits = Limits { resets_per_second_max: 10, ..Limits::default() };
    let mut pair = Pair::new(limits);
    for number in (1..40).step_by(2) {
        assert_eq!(pair.error, None);
        pair.send(&[request(number, false), frame::window_update(number, 0)]);
        pair.events();
        if number == 21 {
            break;
        }
    }
    assert!(matches!(pair.error, Some(ConnectionError::Flood { count_max: 10, .. })));
}

#[test]
fn a_broken_block_says_what_is_wrong_in_its_chain() {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[whole(kind::HEADERS, flag::END_HEADERS, 1, &[0xbe])]);
    let source = HpackError::NoSuchIndex(62);
    assert_eq!(pair.error, Some(ConnectionError::Compression { stream: 1, source }));
}

#[test]
fn resets_beyond_a_rate_end_the_connection_and_fewer_do_not() {
    let limits = Limits { resets_per_second_max: 100, ..Limits::default() };
    let mut pair = Pair::new(limits);
    let mut number = 1;
    for _second in 0..3 {
        for _ in 0..100 {
            pair.send(&[request(number, false), rst_stream(number, ErrorCode::CANCEL)]);
            assert_eq!(pair.error, None);
            assert_eq!(pair.events().len(), 2);
            number += 2;
        }
        pair.now += Duration::from_secs(1);
    }
    for _ in 0..101 {
        pair.send(&[request(number, false), rst_stream(number, ErrorCode::CANCEL)]);
        pair.events();
        number += 2;
    }
    let error = pair.error.expect("the limit is 100");
    assert_eq!(error.code(), ErrorCode::ENHANCE_YOUR_CALM);
}

#[test]
fn resets_of_answered_streams_are_honest() {
    let limits = Limits { resets_per_second_max: 0, ..Limits::default() };
    let mut pair = Pair::new(limits);
    for number in [1, 3, 5] {
        let stream = pair.open(number);
        pair.server.send_message(stream, b"picked", &[], b"").unwrap();
        pair.send(&[rst_stream(number, ErrorCode::CANCEL)]);
        assert_eq!(pair.error, None);
    }
}

#[test]
fn frames_that_move_nothing_are_limited() {
    let floods: &[(usize, Vec<u8>)] = &[
        (51, ping(0, [0; 8])),
        (51, whole(kind::PRIORITY, 0, 1, &[0; 5])),
        (51, data(1, false, b"")),
        (51, whole(0xbe, 0, 0, b"")),
        (51, frame::go_away(0, ErrorCode::NO_ERROR, "")),
        (1, settings(&[])),
    ];
    for (count, frame) in floods {
        let limits = Limits { idle_frames_per_second_max: 1051, ..Limits::default() };
        let mut pair = Pair::new(limits);
        pair.open(1);
        pair.send(&vec![frame.clone(); *count]);
        let error = pair.error.take().expect("1001 of the 1051 went for the settings");
        assert!(matches!(error, ConnectionError::Flood { .. }), "{error}");
    }
}

#[test]
fn a_client_that_reads_nothing_loses_the_connection_at_the_limit() {
    let limits = Limits { idle_frames_per_second_max: u32::MAX, ..Limits::default() };
    let mut pair = Pair::new(limits);
    let pings = vec![ping(0, [0; 8]); 1000].concat();
    let mut sent = 0;
    while pair.error.is_none() {
        pair.send(std::slice::from_ref(&pings));
        sent += pings.len();
        assert!(sent < 8 << 20);
    }
    assert!(matches!(pair.error, Some(ConnectionError::Unread { .. })));
}

#[test]
fn announced_lengths_beyond_the_limit_are_refused() {
    let limits = Limits { assembling_bytes_max: 1000, ..Limits::default() };
    let mut pair = Pair::new(limits);
    let first = |length: u16| [&[0, 0, 0][..], &length.to_be_bytes(), b"x"].concat();
    for number in [1, 3, 5] {
        pair.open(number);
    }
    pair.send(&[data(1, false, &first(600)), data(3, false, &first(600))]);
    assert!(pair.events()[0].starts_with("3 ended: refused: unfinished messages would take 1200"));
    pair.send(&[rst_stream(1, ErrorCode::CANCEL), data(5, false, &first(600))]);
    assert_eq!(pair.events(), ["1 ended: reset by the client: CANCEL"]);
    assert_eq!(pair.server.assembling.bytes(), 600);
}

#[test]
fn what_all_connections_hold_together_is_bounded_and_given_back() {
    let transit = Budget::new(1000);
    let mut pairs = [(); 3].map(|()| Pair::counted_in(Limits::default(), &transit));
    let first = |length: u16| [&[0, 0, 0][..], &length.to_be_bytes(), b"x"].concat();
    for pair in &mut pairs {
        pair.open(1);
    }
    let [one, other, third] = &mut pairs;
    one.send(&[data(1, false, &first(600))]);
    assert_eq!(one.events(), [""; 0]);
    other.send(&[data(1, false, &first(600))]);
    let text = "1 ended: refused: a message of 600 bytes, and no room for it: other messages take \
                all that there is";
    assert_eq!(other.events(), [text]);
    assert!(other.frames()[0].contains("grpc-status=8"));
    third.send(&[settings(&[(4, 0)])]);
    let stream = third.stream(1);
    let refused = third.server.send_message(stream, &[b'x'; 400], &[], b"");
    assert_eq!(refused, Err(SendError::NoRoom { stream, bytes: 400 }));
    third.frames();
    drop(pairs);
    assert_eq!(transit.share().grow(1000), Ok(()));
}
