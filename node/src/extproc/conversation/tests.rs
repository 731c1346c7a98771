//! Conversations as scripts: what Envoy says, line by line, and what it is answered.

use super::*;

const FULL: Modes =
    Modes { request: BodyMode::FullDuplexStreamed, response: BodyMode::FullDuplexStreamed };
const BUFFERED: Modes = Modes { request: BodyMode::Buffered, response: BodyMode::None };
const STREAMED: Modes = Modes { request: BodyMode::Streamed, response: BodyMode::Streamed };

/// One line of a script: what Envoy says.
fn input(line: &str) -> Input {
    let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
    let end_of_stream = rest.ends_with('.');
    let chunk = Bytes::copy_from_slice(rest.trim_end_matches('.').as_bytes());
    match what {
        "headers" => Input::RequestHeaders { end_of_stream },
        "body" => Input::RequestBody { chunk, end_of_stream },
        "trailers" => Input::RequestTrailers,
        "200" => Input::ResponseHeaders { end_of_stream, streaming: false },
        "sse" => Input::ResponseHeaders { end_of_stream, streaming: true },
        "answer" => Input::ResponseBody { chunk, end_of_stream },
        "after" => Input::ResponseTrailers,
        other => panic!("no such line: {other}"),
    }
}

fn show(answer: &Answer) -> String {
    match answer {
        Answer::PickInHeaders => "pick".to_owned(),
        Answer::PickInBody { rewritten } => format!(
            "pick in {} body",
            match rewritten {
                Some(_) => "rewritten",
                None => "same",
            }
        ),
        Answer::Headers(side) => format!("{side:?} headers"),
        Answer::BodyAsIs(side) => format!("{side:?} body as is"),
        Answer::Trailers(side) => format!("{side:?} trailers"),
        Answer::Body { side, pieces, end_of_stream } => {
            let text: String =
                pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect();
            format!("{side:?} {text}{}", if *end_of_stream { "." } else { "" })
        }
    }
}

/// Plays `script` with every pick granted and shows what was answered; "left" is a stream ended
/// with OK, and an error is shown as its text.
fn play(modes: Modes, observe: bool, script: &[&str]) -> Vec<String> {
    let mut conversation = Conversation::new(modes);
    let mut shown = Vec::new();
    for line in script {
        let mut answers = Vec::new();
        let next = match conversation.on(input(line), &mut answers) {
            Ok(Next::Pick) => conversation.picked(observe, &mut answers),
            Ok(next) => next,
            Err(error) => {
                shown.push(error.to_string());
                return shown;
            }
        };
        shown.extend(answers.iter().map(show));
        if next == Next::Leave {
            shown.push("left".to_owned());
        }
    }
    shown
}

#[track_caller]
fn check(modes: Modes, script: &[&str], expected: &[&str]) {
    assert_eq!(play(modes, true, script), expected);
}

#[test]
fn a_request_is_answered_headers_first_once_it_is_whole() {
    check(
        FULL,
        &["headers", "body ab", "body cd.", "sse", "answer x", "answer ."],
        &["pick", "Request abcd.", "Response headers", "Response x", "Response .", "left"],
    );
}

#[test]
fn a_request_without_a_body_is_answered_at_its_headers() {
    check(FULL, &["headers ."], &["pick"]);
}

#[test]
fn an_empty_body_is_answered_with_an_empty_end() {
    check(FULL, &["headers", "body ."], &["pick", "Request ."]);
}

#[test]
fn a_request_that_ends_in_trailers_is_answered() {
    check(FULL, &["headers", "body ab", "trailers"], &["pick", "Request ab", "Request trailers"]);
    check(FULL, &["headers", "trailers"], &["pick", "Request trailers"]);
}

#[test]
fn a_repeated_end_of_stream_is_not_answered_twice() {
    check(FULL, &["headers", "body ab.", "body ."], &["pick", "Request ab."]);
}

#[test]
fn an_unobserved_request_is_left_when_its_body_is_through() {
    assert_eq!(play(FULL, false, &["headers", "body a."]), ["pick", "Request a.", "left"]);
    assert_eq!(
        play(FULL, false, &["headers", "body a", "trailers"]),
        ["pick", "Request a", "Request trailers", "left"]
    );
    assert_eq!(play(FULL, false, &["headers ."]), ["pick", "left"]);
}

#[test]
fn a_short_answer_is_given_back_whole() {
    check(
        FULL,
        &["200", "answer {\"a\"", "answer :1}", "answer ."],
        &["Response headers", "Response {\"a\":1}.", "left"],
    );
}

#[test]
fn an_answer_that_ends_in_trailers_has_no_end_in_its_body() {
    check(
        FULL,
        &["200", "answer ab", "after"],
        &["Response headers", "Response ab", "Response trailers", "left"],
    );
    check(
        FULL,
        &["sse", "answer ab", "after"],
        &["Response headers", "Response ab", "Response trailers", "left"],
    );
}

#[test]
fn a_stream_may_carry_the_response_alone() {
    check(FULL, &["sse ."], &["Response headers", "left"]);
}

#[test]
fn envoy_may_answer_while_the_request_is_on_its_way() {
    check(
        FULL,
        &["headers", "body ab", "200", "answer no."],
        &["Response headers", "Response no.", "left"],
    );
}

#[test]
fn a_buffered_body_is_picked_for_in_its_own_answer() {
    check(
        BUFFERED,
        &["headers", "body ab.", "200 ."],
        &["Request headers", "pick in same body", "Response headers", "left"],
    );
    check(
        BUFFERED,
        &["headers", "body ab", "trailers"],
        &["Request headers", "pick in same body", "Request trailers"],
    );
    check(BUFFERED, &["headers ."], &["pick"]);
}

#[test]
fn a_streamed_body_is_picked_for_at_its_headers() {
    check(
        STREAMED,
        &["headers", "body a", "body b.", "200", "answer c", "answer d."],
        &[
            "pick",
            "Request body as is",
            "Request body as is",
            "Response headers",
            "Response body as is",
            "Response body as is",
            "left",
        ],
    );
}

#[test]
fn what_is_out_of_order_is_named() {
    check(FULL, &["body a."], &["a request body chunk came before any headers"]);
    check(
        FULL,
        &["headers", "headers"],
        &["request headers came while the request body was expected"],
    );
    check(
        FULL,
        &["headers", "answer a"],
        &["a response body chunk came while the request body was expected"],
    );
    check(
        FULL,
        &["headers .", "after"],
        &["pick", "response trailers came after the request ended and before response headers"],
    );
    check(
        FULL,
        &["headers", "body a.", "body b."],
        &[
            "pick",
            "Request a.",
            "a request body chunk came after the request ended and before response headers",
        ],
    );
}

#[test]
fn an_answer_too_long_to_hold_passes_as_it_comes() {
    let mut conversation = Conversation::new(FULL);
    let mut answers = Vec::new();
    conversation.on(input("200"), &mut answers).unwrap();
    let chunk = Bytes::from(vec![b'a'; RESPONSE_HELD_BYTES_MAX]);
    for _ in 0..3 {
        let input = Input::ResponseBody { chunk: chunk.clone(), end_of_stream: false };
        conversation.on(input, &mut answers).unwrap();
        assert!(conversation.held_bytes() <= RESPONSE_HELD_BYTES_MAX);
    }
    let sent: usize = answers
        .iter()
        .map(|answer| {
            let Answer::Body { pieces, .. } = answer else { return 0 };
            pieces.iter().map(Bytes::len).sum()
        })
        .sum();
    assert_eq!(sent, 3 * RESPONSE_HELD_BYTES_MAX);
}

#[test]
fn an_answer_for_which_there_is_no_room_passes_as_it_comes() {
    let mut conversation = Conversation::new(FULL);
    let mut answers = Vec::new();
    conversation.on(input("200"), &mut answers).unwrap();
    conversation.on(input("answer ab"), &mut answers).unwrap();
    conversation.hold_no_more(&mut answers);
    conversation.on(input("answer cd."), &mut answers).unwrap();
    let shown: Vec<String> = answers.iter().map(show).collect();
    assert_eq!(shown, ["Response headers", "Response ab", "Response cd."]);
}
