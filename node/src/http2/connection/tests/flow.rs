//! Windows in both directions.

use super::*;

fn tiny() -> Pair {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[settings(&[(4, 4)])]);
    pair.frames();
    pair
}

#[test]
fn data_waits_for_the_streams_window() {
    let mut pair = tiny();
    let stream = pair.open(1);
    pair.server.send_message(stream, b"abcdefgh", &[], b"").unwrap();
    assert_eq!(pair.frames()[1..], ["DATA 1 \0\0\0\0"]);
    assert_eq!((pair.server.pending_bytes(stream), pair.server.all_pending_bytes()), (9, 9));
    pair.send(&[frame::window_update(1, 4)]);
    assert_eq!(pair.frames(), ["DATA 1 \x08abc"]);
    pair.server.finish(stream, Status::Ok, "");
    assert_eq!(pair.frames(), Vec::<String>::new(), "the status waits behind the data");
    assert_eq!(pair.server.active_streams(), 1);
    pair.send(&[frame::window_update(1, 5)]);
    assert_eq!(
        pair.frames(),
        ["DATA 1 defgh", "HEADERS 1 grpc-status=0 end", "RST_STREAM 1 NO_ERROR"]
    );
    assert_eq!((pair.server.active_streams(), pair.server.all_pending_bytes()), (0, 0));
}

#[test]
fn a_larger_initial_window_frees_what_waits_and_a_smaller_one_goes_below_zero() {
    let mut pair = tiny();
    let stream = pair.open(1);
    pair.server.send_message(stream, b"abcdefgh", &[], b"").unwrap();
    pair.frames();
    pair.send(&[settings(&[(4, 2)]), settings(&[(4, 8)])]);
    assert_eq!(pair.frames()[2..], ["DATA 1 \x08abc"]);
    pair.send(&[settings(&[(4, 0)]), frame::window_update(1, 8)]);
    assert_eq!(pair.frames(), ["SETTINGS ack"], "the window is 0");
    pair.send(&[frame::window_update(1, 1)]);
    assert_eq!(pair.frames(), ["DATA 1 d"]);
}

#[test]
fn data_waits_for_the_connections_window_in_turn() {
    let mut pair = Pair::new(Limits::default());
    let streams = [pair.open(1), pair.open(3)];
    let large = vec![b'x'; 60_000];
    for stream in streams {
        pair.send(&[frame::window_update(stream.number(), 1_000_000)]);
        pair.server.send_message(stream, &large, &[], b"").unwrap();
    }
    let sent: usize = 120_010 - pair.server.all_pending_bytes();
    assert_eq!(sent, 65_535);
    pair.frames();
    pair.send(&[frame::window_update(0, 1_000_000)]);
    let turns: Vec<String> =
        pair.frames().iter().map(|line| line.split(' ').nth(1).unwrap().into()).collect();
    assert_eq!(turns, ["3", "3", "3", "3"]);
    assert_eq!(pair.server.all_pending_bytes(), 0);
}

#[test]
fn streams_that_wait_for_the_connection_share_it_frame_by_frame() {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[settings(&[(4, 1_000_000)])]);
    let streams = [pair.open(1), pair.open(3), pair.open(5)];
    pair.server.send_message(streams[0], &vec![b'x'; 65_530], &[], b"").unwrap();
    for stream in streams {
        pair.server.send_message(stream, &vec![b'x'; 40_000], &[], b"").unwrap();
    }
    pair.frames();
    pair.send(&[frame::window_update(0, 1_000_000)]);
    let turns: Vec<String> =
        pair.frames().iter().map(|line| line.split(' ').nth(1).unwrap().into()).collect();
    assert_eq!(turns, ["1", "3", "5", "1", "3", "5", "1", "3", "5"]);
}

#[test]
fn data_waits_while_much_is_unwritten() {
    let limits = Limits { output_bytes_max: 10_000, ..Limits::default() };
    let mut pair = Pair::new(limits);
    let stream = pair.open(1);
    for _ in 0..4 {
        pair.server.send_message(stream, &[b'x'; 4_000], &[], b"").unwrap();
    }
    assert!(pair.server.output_bytes() <= 10_000 + HEAD_BYTES);
    assert!(0 < pair.server.pending_bytes(stream));
    pair.frames();
    assert_eq!(pair.server.pending_bytes(stream), 0, "writing makes room");
}

#[test]
fn the_clients_windows_are_given_back_in_halves() {
    let limits =
        Limits { stream_window_bytes: 100, connection_window_bytes: 65_535, ..Limits::default() };
    let mut pair = Pair::new(limits);
    pair.open(1);
    pair.send(&[data(1, false, &message(&[b'x'; 44]))]);
    assert_eq!(pair.frames(), Vec::<String>::new());
    pair.send(&[data(1, false, &message(b""))]);
    assert_eq!(pair.frames(), ["WINDOW_UPDATE 1 54"]);
    for _ in 0..400 {
        pair.send(&[data(1, false, &message(&[b'x'; 77]))]);
        assert_eq!(pair.error, None);
    }
    let frames = pair.frames();
    let returned = |stream: &str| -> u32 {
        let of_stream = frames.iter().filter_map(|line| line.strip_prefix(stream));
        of_stream.map(|count| count.parse::<u32>().unwrap()).sum()
    };
    assert_eq!(returned("WINDOW_UPDATE 1 "), 400 * 82);
    assert_eq!(frames.iter().filter(|line| line.starts_with("WINDOW_UPDATE 0 ")).count(), 1);
}

#[test]
fn a_stream_whose_answers_are_not_taken_gets_no_window_back() {
    let limits = Limits { stream_window_bytes: 100, ..Limits::default() };
    let mut pair = Pair::new(limits);
    pair.send(&[settings(&[(4, 0)])]);
    let stream = pair.open(1);
    pair.server.send_message(stream, &[b'x'; 200], &[], b"").unwrap();
    pair.frames();
    pair.send(&[data(1, false, &message(&[b'x'; 90]))]);
    assert_eq!(pair.frames(), Vec::<String>::new());
    pair.send(&[frame::window_update(1, 100)]);
    pair.send(&[frame::window_update(1, 100)]);
    let frames = pair.frames();
    assert_eq!(frames[2..], ["WINDOW_UPDATE 1 95"], "not before less than a window waits");
}

#[test]
fn a_client_that_exceeds_a_streams_window_loses_the_stream() {
    let mut pair = Pair::new(Limits { stream_window_bytes: 50, ..Limits::default() });
    pair.open(1);
    pair.send(&[data(1, false, &message(&[b'x'; 46]))]);
    assert_eq!(pair.frames(), ["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
    assert_eq!(
        pair.events(),
        ["1 ended: refused: 51 bytes of data exceed the stream's window of 50"]
    );
}

#[test]
fn a_small_window_binds_only_once_it_is_acknowledged() {
    let mut pair = Pair::raw(Limits { stream_window_bytes: 50, ..Limits::default() });
    pair.frames();
    pair.send(&settings_then_request());
    pair.send(&[data(1, false, &message(&[b'x'; 95]))]);
    assert_eq!(pair.frames(), ["SETTINGS ack", "WINDOW_UPDATE 1 100"]);
    pair.send(&[frame::settings_ack().to_vec(), data(1, false, &message(&[b'x'; 46]))]);
    assert_eq!(pair.frames(), ["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
}

#[test]
fn a_client_that_exceeds_the_connections_window_loses_it() {
    let limits = Limits { connection_window_bytes: 65_535, ..Limits::default() };
    let mut pair = Pair::new(limits);
    pair.open(1);
    pair.server.receive_window = 10;
    pair.send(&[data(1, false, &message(b"abcdef"))]);
    assert_eq!(pair.error, Some(ConnectionError::FlowControl { bytes: 11, window: 10 }));
}

#[test]
fn windows_grow_by_at_least_one_and_not_beyond_31_bits() {
    for (increment, code) in [(0, "PROTOCOL_ERROR"), (0x7fff_ffff, "FLOW_CONTROL_ERROR")] {
        let mut pair = Pair::new(Limits::default());
        pair.open(1);
        pair.send(&[frame::window_update(1, increment)]);
        assert_eq!(pair.frames(), [format!("RST_STREAM 1 {code}")]);
        pair.send(&[frame::window_update(0, increment)]);
        assert_eq!(pair.frames(), [format!("GOAWAY 1 {code}")]);
    }
}

#[test]
fn a_client_that_takes_no_answers_loses_the_stream_at_the_limit() {
    let limits = Limits { stream_pending_bytes_max: 1000, ..Limits::default() };
    let mut pair = Pair::new(limits);
    pair.send(&[settings(&[(4, 0)])]);
    let stream = pair.open(1);
    pair.server.send_message(stream, &[b'x'; 900], &[], b"").unwrap();
    let error = pair.server.send_message(stream, &[b'x'; 900], &[], b"").unwrap_err();
    assert_eq!(error, SendError::ClientTooSlow { stream, bytes: 1805, bytes_max: 1000 });
    assert_eq!(pair.frames()[1..], ["RST_STREAM 1 ENHANCE_YOUR_CALM"]);
    assert_eq!((pair.server.all_pending_bytes(), pair.server.active_streams()), (0, 0));
}
