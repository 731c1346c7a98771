//! How a handler's answers reach the client, and how streams and connections end.

use super::*;

#[test]
fn an_answer_without_messages_is_trailers_only() {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[request(1, true)]);
    pair.events();
    pair.server.finish(pair.stream(1), Status::Unavailable, "draining: 100%");
    assert_eq!(
        pair.frames(),
        [
            "HEADERS 1 :status=200 content-type=application/grpc grpc-status=14 grpc-message=draining: 100%25 end"
        ]
    );
}

#[test]
fn a_client_that_still_sends_is_asked_to_stop() {
    let mut pair = Pair::new(Limits::default());
    let stream = pair.open(1);
    pair.server.finish(stream, Status::Ok, "");
    let frames = pair.frames();
    assert_eq!(frames[1..], ["RST_STREAM 1 NO_ERROR"]);
}

#[test]
fn nothing_is_heard_of_a_stream_after_its_own_end() {
    for end in [
        (|server: &mut Connection, stream| server.finish(stream, Status::Ok, ""))
            as fn(&mut Connection, StreamId),
        |server, stream| server.reset(stream, ErrorCode::CANCEL),
    ] {
        let mut pair = Pair::new(Limits::default());
        pair.send(&[
            request(1, false),
            data(1, false, &message(b"one")),
            data(1, false, &message(b"two")),
            request(3, false),
            rst_stream(1, ErrorCode::CANCEL),
        ]);
        let Some(Event::Opened { stream, .. }) = pair.server.poll_event() else { panic!("opened") };
        end(&mut pair.server, stream);
        assert_eq!(pair.events(), ["3 opened /echo"]);
        assert_ne!(pair.stream(3).slot(), stream.slot());
    }
}

#[test]
fn a_slot_is_used_again_and_an_old_handle_names_nothing() {
    let mut pair = Pair::new(Limits::default());
    let old = pair.open(1);
    pair.server.reset(old, ErrorCode::CANCEL);
    let new = pair.open(3);
    assert_eq!(old.slot(), new.slot());
    assert_eq!(
        pair.server.send_message(old, b"x", &[], b""),
        Err(SendError::Ended { stream: old })
    );
    pair.server.finish(old, Status::Ok, "");
    pair.server.reset(old, ErrorCode::CANCEL);
    assert_eq!(pair.server.active_streams(), 1);
}

#[test]
fn an_answer_to_a_stream_that_the_client_reset_goes_nowhere() {
    let mut pair = Pair::new(Limits::default());
    let stream = pair.open(1);
    pair.send(&[rst_stream(1, ErrorCode::CANCEL)]);
    assert!(pair.server.send_message(stream, b"x", &[], b"").is_err());
    assert_eq!(pair.frames(), Vec::<String>::new());
    assert_eq!(pair.events(), ["1 ended: reset by the client: CANCEL"]);
}

#[test]
fn a_large_piece_is_written_from_where_it_lies() {
    let mut pair = Pair::new(Limits::default());
    let stream = pair.open(1);
    let large = Bytes::from(vec![b'x'; 8000]);
    pair.server.send_message(stream, b"head", std::slice::from_ref(&large), b"tail").unwrap();
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = pair.server.output_slices(&mut slices);
    assert!(slices[..filled].iter().any(|slice| slice.as_ptr() == large.as_ptr()));
}

#[test]
fn a_message_longer_than_a_frame_is_cut() {
    let mut pair = Pair::new(Limits::default());
    let stream = pair.open(1);
    pair.server.send_message(stream, &vec![b'x'; 20_000], &[], b"").unwrap();
    let lengths: Vec<usize> = pair.frames().iter().map(String::len).collect();
    assert_eq!(lengths.len(), 3, "headers and two frames");
    pair.send(&[settings(&[(5, 32_768)])]);
    pair.server.send_message(stream, &vec![b'x'; 20_000], &[], b"").unwrap();
    assert_eq!(pair.frames().len(), 2, "acknowledgement and one frame");
}

#[test]
fn leaving_is_announced_and_then_final() {
    let mut pair = Pair::new(Limits::default());
    let stream = pair.open(1);
    pair.server.go_away();
    assert_eq!(pair.frames(), ["GOAWAY 2147483647 NO_ERROR", "PING leaving?"]);
    pair.send(&[request(3, true), ping(flag::ACK, *b"leaving?"), request(5, true)]);
    let refused =
        "refused: the connection is being closed; the request can be sent again on another";
    assert_eq!(pair.events(), ["3 opened /echo", "3 half-closed", refused]);
    assert_eq!(pair.frames(), ["GOAWAY 3 NO_ERROR", "RST_STREAM 5 REFUSED_STREAM"]);
    assert!(!pair.server.is_drained());
    pair.server.finish(stream, Status::Ok, "");
    pair.server.finish(pair.stream(3), Status::Ok, "");
    assert!(!pair.server.is_drained(), "the trailers are still to be written");
    pair.frames();
    assert!(pair.server.is_drained());
}

#[test]
fn leaving_twice_does_not_wait_for_the_client() {
    let mut pair = Pair::new(Limits::default());
    pair.server.go_away();
    pair.server.go_away();
    pair.server.go_away();
    assert_eq!(pair.frames(), ["GOAWAY 2147483647 NO_ERROR", "PING leaving?", "GOAWAY 0 NO_ERROR"]);
    assert!(pair.server.is_drained());
}

#[test]
fn a_client_that_leaves_is_heard() {
    let mut pair = Pair::new(Limits::default());
    pair.send(&[frame::go_away(0, ErrorCode::NO_ERROR, "bye")]);
    assert_eq!(pair.events(), ["go away: NO_ERROR"]);
}

#[test]
fn after_an_error_the_connection_only_says_goodbye() {
    let mut pair = Pair::new(Limits::default());
    let stream = pair.open(1);
    pair.send(&[data(1, false, &message(b"before")), data(2, false, b"")]);
    let error = pair.error.take().expect("stream 2 cannot be");
    assert_eq!(error, ConnectionError::IdleStream { frame: "DATA", stream: 2 });
    assert_eq!(pair.events(), ["1 message before"]);
    assert!(pair.server.send_message(stream, b"x", &[], b"").is_err());
    pair.server.finish(stream, Status::Ok, "");
    pair.send(&[request(3, true)]);
    assert_eq!(pair.error, Some(error));
    pair.server.go_away();
    assert_eq!(pair.frames(), ["GOAWAY 1 PROTOCOL_ERROR"]);
}
