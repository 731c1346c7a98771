//! Bodies made to hurt.

use super::*;
use crate::openai::{PIECES_MAX, canonical::Piece};

#[test]
fn ten_thousand_levels_are_read_and_one_more_is_refused() {
    let nested = |levels: usize| {
        let inner = levels - 1;
        format!(r#"{{"prompt":"x","a":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
    };
    assert!(scan(Api::Completions, nested(10_000).as_bytes()).is_ok());
    let refusal = scan(Api::Completions, nested(10_001).as_bytes()).expect_err("refused");
    let words = "error unmarshaling request bodyMap: invalid character '[' exceeded max depth";
    assert_eq!(refusal.to_string(), words);
}

#[test]
fn a_hundred_megabytes_of_brackets_are_refused_at_the_first_that_is_too_deep() {
    let chunk = Bytes::from(vec![b'['; 1 << 20]);
    let mut scanner = Scanner::new(Api::Chat);
    for _ in 0..100 {
        scanner.feed(&chunk);
        assert!(scanner.is_hopeless());
    }
    let refusal = scanner.finish(&[chunk]).expect_err("refused");
    assert!(refusal.to_string().ends_with("exceeded max depth"));
}

#[test]
fn a_number_of_a_million_digits_is_refused_with_its_beginning() {
    let body = format!(r#"{{"prompt":"x","n":{}}}"#, "9".repeat(1_000_000));
    let refusal = scan(Api::Completions, body.as_bytes()).expect_err("refused").to_string();
    assert!(refusal.contains(&"9".repeat(1024)));
    assert!(refusal.len() < 2048);
}

#[test]
fn a_token_id_of_a_million_digits_is_refused() {
    let body = format!(r#"{{"prompt":[1.{}]}}"#, "0".repeat(1_000_000));
    let refusal = scan(Api::Completions, body.as_bytes()).expect_err("refused");
    assert_eq!(refusal, Refusal::Payload { api: Api::Completions });
}

#[test]
fn a_million_messages_keep_a_bounded_number_of_pieces() {
    let body = format!(r#"{{"messages":[{}{{}}]}}"#, r#"{"content":"x"},"#.repeat(1_000_000));
    let request = scan(Api::Chat, body.as_bytes()).expect("accepted");
    assert!(request.prompts.pieces.len() <= PIECES_MAX);
}

#[test]
fn the_pieces_of_a_request_fit_384_kib() {
    assert_eq!(PIECES_MAX * size_of::<Piece>(), 384 * 1024);
}

#[test]
fn a_text_that_was_cut_has_no_hole() {
    let messages = r#"{"content":"a"},"#.repeat(PIECES_MAX);
    let body = format!(r#"{{"messages":[{messages}{{"role":"b"}},{{"role":"b","content":"b"}}]}}"#);
    let text = prompts(Api::Chat, &body).remove(0);
    assert!(text.bytes().all(|byte| byte == b'a'), "{}", text.len());
}

#[test]
fn a_million_prompts_keep_a_bounded_number_of_pieces() {
    let body = format!(r#"{{"prompt":[{}""]}}"#, r#""","#.repeat(1_000_000));
    let request = scan(Api::Completions, body.as_bytes()).expect("accepted");
    assert_eq!(request.prompts.count(), PIECES_MAX);
}

#[test]
fn a_key_of_any_length_is_no_known_key() {
    let body = format!(r#"{{"{}":1,"prompt":"x"}}"#, "prompt".repeat(100_000));
    let chunks: Vec<Bytes> = body.as_bytes().chunks(1000).map(Bytes::copy_from_slice).collect();
    assert_eq!(scan_split(Api::Completions, &chunks), scan(Api::Completions, body.as_bytes()));
}
