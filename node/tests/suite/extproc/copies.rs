//! What a body costs inside the picker, in bytes allocated beyond what was read from the socket: one
//! copy at most. A message that its gateway cut into several frames is put together, which is that
//! copy; all else passes by reference.

use convoy_proto::{
    ext_proc::{ProcessingRequest, ProcessingResponse},
    filter::processing_mode::BodySendMode::{Buffered, None as NoBody},
};

use super::{
    inside::{Inside, reads},
    messages::{
        END, Headers, MORE, joined, picked_in_body, request_body, request_headers, response_body,
        response_headers, with_modes,
    },
    picker::ENDPOINT,
};
use crate::allocations::allocations_of;

const MEGABYTE: usize = 1 << 20;

/// What an exchange may allocate beside one copy of its body: its own state, the hashes of its
/// prompt, the counters of a model that is new, and short ends of pieces that frames cut.
const BESIDE_BYTES: usize = 128 << 10;

/// How a body may be cut: not at all, into several frames each, as Envoy passes it on, and within
/// one frame.
const CUTS: [usize; 4] = [MEGABYTE, 65_536, 16_384, 8_000];

const PLAIN: (&str, &str) = (":path", "/v1/completions");
const CHAT: (&str, &str) = (":path", "/v1/chat/completions");

/// A body of a megabyte for `path`.
fn body((_, path): (&str, &str), model: &str) -> String {
    let (start, end) = if path == CHAT.1 {
        (r#""messages":[{"role":"user","content":""#, r#""}]}"#)
    } else {
        (r#""prompt":""#, r#""}"#)
    };
    let line = "some words of a prompt that is long enough to matter. ";
    let mut body = format!(r#"{{"model":"{model}",{start}"#);
    body.push_str(&line.repeat(MEGABYTE / line.len()));
    body.truncate(MEGABYTE - end.len());
    body + end
}

/// Plays `messages`, which a copy of a megabyte and `beside` bytes must be enough for; returns the
/// answers.
#[track_caller]
fn play(messages: &[ProcessingRequest], beside: usize) -> Vec<ProcessingResponse> {
    let reads = reads(messages);
    let mut inside = Inside::with_room_for(3 * MEGABYTE);
    let (inside, made) = allocations_of(move || {
        for read in reads {
            inside.take(read);
        }
        inside
    });
    let (bytes, messages) = (made.bytes, messages.len());
    assert!(bytes <= (MEGABYTE + beside) as u64, "{bytes} bytes for {messages} messages");
    inside.answers()
}

/// A request with `headers` and `body` in chunks of `cut` bytes.
fn request(headers: Headers<'_>, body: &str, cut: usize) -> Vec<ProcessingRequest> {
    let mut messages = vec![request_headers(headers, MORE)];
    let chunks = body.as_bytes().chunks(cut);
    messages.extend(chunks.map(|chunk| request_body(chunk.to_vec(), MORE)));
    messages.push(request_body("", END));
    messages
}

#[test]
fn a_megabyte_of_request_is_copied_once_at_most() {
    for path in [PLAIN, CHAT] {
        let body = body(path, "m");
        for cut in CUTS {
            let answers = play(&request(&[path], &body, cut), BESIDE_BYTES);
            let (back, ended) = joined(&answers[1..]);
            assert!(back == body.as_bytes() && ended, "another body came back");
        }
    }
}

#[test]
fn a_megabyte_that_is_rewritten_is_copied_once_at_most() {
    for path in [PLAIN, CHAT] {
        let (asked, given) = (body(path, "m"), body(path, "n"));
        for cut in CUTS {
            let headers = [path, ("x-llm-d-model-name-rewrite", "n")];
            let answers = play(&request(&headers, &asked, cut), BESIDE_BYTES);
            let (back, ended) = joined(&answers[1..]);
            assert!(back == given.as_bytes() && ended, "another body came back");
        }
    }
}

#[test]
fn a_megabyte_that_is_buffered_is_copied_once_at_most() {
    let length = MEGABYTE.to_string();
    for (path, rewritten) in [(PLAIN, false), (PLAIN, true), (CHAT, false), (CHAT, true)] {
        let rewrite = if rewritten { "n" } else { "m" };
        let headers = [path, ("x-request-id", "1"), ("x-llm-d-model-name-rewrite", rewrite)];
        let headers = with_modes(request_headers(&headers, MORE), Buffered, NoBody);
        let answers = play(&[headers, request_body(body(path, "m"), END)], BESIDE_BYTES);
        let given = body(path, "n");
        let set: Headers<'_> = if rewritten { &[("Content-Length", &length)] } else { &[] };
        assert!(answers[1] == picked_in_body(ENDPOINT, set, rewritten.then_some(&given)));
    }
}

#[test]
fn a_megabyte_of_response_is_copied_once_at_most() {
    let sent = body(PLAIN, "m");
    for kind in ["application/json", "text/event-stream"] {
        for cut in CUTS {
            let mut messages = vec![response_headers(&[("content-type", kind)], MORE)];
            let chunks = sent.as_bytes().chunks(cut);
            messages.extend(chunks.map(|chunk| response_body(chunk.to_vec(), MORE)));
            messages.push(response_body("", END));
            let (back, ended) = joined(&play(&messages, BESIDE_BYTES)[1..]);
            assert!(back == sent.as_bytes() && ended, "another body came back");
        }
    }
}

/// As a client can have a body passed on that means harm. A place for each of a million chunks would
/// cost as much as thirty bodies.
#[test]
fn a_megabyte_of_single_bytes_is_copied_once_and_a_half_at_most() {
    let body = body(PLAIN, "m");
    let messages = request(&[PLAIN], &body, 1);
    let (back, ended) = joined(&play(&messages, MEGABYTE / 2)[1..]);
    assert!(back == body.as_bytes() && ended, "another body came back");
}
