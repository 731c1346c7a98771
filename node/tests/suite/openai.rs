//! What reading a body allocates.

use std::ops::ControlFlow;

use bytes::Bytes;
use convoy_node::openai::{Answer, Api, Request, Scanner};

use crate::allocations::{Allocations, allocations_of};

const MEGABYTE: usize = 1 << 20;

fn scan(api: Api, chunks: &[Bytes]) -> Request {
    let mut scanner = Scanner::new(api);
    for chunk in chunks {
        scanner.feed(chunk);
    }
    scanner.finish(chunks).expect("a good body")
}

/// A body around `filling` bytes, some of them escaped, in chunks as Envoy sends them.
fn body(before: &str, filling: usize, after: &str) -> Vec<Bytes> {
    let line =
        "plain words, a \\\"quotation\\\" and \\u00e9\\ud83d\\ude00 to the end of the line\\n";
    let body = format!("{before}{}{after}", line.repeat(filling / line.len()));
    body.as_bytes().chunks(16 * 1024).map(Bytes::copy_from_slice).collect()
}

#[test]
fn a_prompt_of_a_megabyte_allocates_no_more_than_a_small_one() {
    let rows = [
        (Api::Completions, r#"{"model":"m","prompt":""#, r#"","stream":true}"#),
        (Api::Chat, r#"{"model":"m","messages":[{"role":"user","content":""#, r#""}]}"#),
        (Api::Chat, r#"{"model":"m","tools":[""#, r#""],"messages":[{"content":"x"}]}"#),
        (Api::Responses, r#"{"model":"m","input":[{"role":"user","content":""#, r#""}]}"#),
    ];
    for (api, before, after) in rows {
        let small = body(before, 100, after);
        let large = body(before, MEGABYTE, after);
        let (_, few) = allocations_of(|| scan(api, &small));
        let (request, many) = allocations_of(|| scan(api, &large));
        assert_eq!(many, few, "{before}");
        assert!(many.bytes < 1024, "{many:?} for {before}");
        let mut text = 0;
        let ((), for_text) = allocations_of(|| {
            request.prompts.read(&large, |_, piece| {
                text += piece.len();
                ControlFlow::Continue(())
            });
        });
        assert!(MEGABYTE / 2 < text, "{text} for {before}");
        assert_eq!(for_text, Allocations { count: 0, bytes: 0 }, "{before}");
    }
}

#[test]
fn many_token_ids_allocate_no_more_than_one() {
    let body = |count: u32| {
        let ids: Vec<u32> = (0..count).collect();
        let body = format!(r#"{{"model":"m","prompt":[{ids:?},{ids:?}]}}"#);
        body.as_bytes().chunks(16 * 1024).map(Bytes::copy_from_slice).collect::<Vec<_>>()
    };
    let (small, large) = (body(1), body(70_000));
    let (_, few) = allocations_of(|| scan(Api::Completions, &small));
    let (request, many) = allocations_of(|| scan(Api::Completions, &large));
    assert_eq!(many, few);
    assert_eq!(request.prompts.count(), 2);
}

#[test]
fn rewriting_the_model_of_a_megabyte_shares_its_chunks() {
    let chunks = body(r#"{"model":"m","prompt":""#, MEGABYTE, r#""}"#);
    let request = scan(Api::Completions, &chunks);
    let (rewritten, made) = allocations_of(|| request.model.rewrite(&chunks, "other"));
    assert!(made.bytes < 8 * 1024, "{made:?}");
    let length = |chunks: &[Bytes]| chunks.iter().map(Bytes::len).sum::<usize>();
    assert_eq!(length(&rewritten), length(&chunks) + "other".len() - "m".len());
}

#[test]
fn an_answer_of_a_megabyte_allocates_no_more_than_its_usage() {
    let chunks = body(
        r#"{"choices":[{"text":""#,
        MEGABYTE,
        r#""}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
    );
    let (usage, made) = allocations_of(|| {
        let mut answer = Answer::new();
        for chunk in &chunks {
            answer.feed(chunk);
        }
        answer.usage()
    });
    assert_eq!(usage.and_then(|usage| usage.total_tokens), Some(7));
    assert!(made.bytes < 2048, "{made:?}");
}
