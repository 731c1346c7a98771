//! How fast bodies are read: `cargo bench -p convoy-node --bench openai`.
//!
//! `scan` is [`Scanner`] alone, `scan+text` also streams the canonical text to a sink that only
//! counts, `serde` is `serde_json` into borrowed types, which needs the body in one piece.

use std::{borrow::Cow, fmt::Write, hint::black_box, ops::ControlFlow};

use bytes::Bytes;
use convoy_node::openai::{Answer, Api, Scanner};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;

/// As large as Envoy's chunks are when it reads as fast as it can.
const CHUNK_BYTES: usize = 16 * 1024;

const BODY_BYTES: usize = 400 * 1024;

#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    stream: bool,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Ids {
    prompt: Vec<u32>,
}

/// A chat of messages of `message_bytes`, in lines of `line_bytes` that end in an escape.
fn chat(message_bytes: usize, line_bytes: usize) -> String {
    const PROSE: &str = "The quick brown fox jumps over the lazy dog, and so on, in plain words. ";
    let mut body = String::from(r#"{"model":"meta-llama/Llama-3.1-8B-Instruct","stream":true,"#);
    body.push_str(r#""stream_options":{"include_usage":true},"max_tokens":1000,"messages":["#);
    while body.len() < BODY_BYTES {
        if body.ends_with('}') {
            body.push(',');
        }
        body.push_str(r#"{"role":"user","content":""#);
        let end = body.len() + message_bytes;
        while body.len() < end {
            let line: String = PROSE.chars().cycle().take(line_bytes).collect();
            write!(body, "{line}\\n").expect("a string takes all");
        }
        body.push_str("\"}");
    }
    body.push_str("]}");
    body
}

fn ids() -> String {
    let ids: Vec<usize> = (0..BODY_BYTES / 7).map(|n| n * 2_654_435 % 128_000).collect();
    format!(r#"{{"model":"m","prompt":{ids:?}}}"#)
}

fn chunks(body: &str) -> Vec<Bytes> {
    body.as_bytes().chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect()
}

fn scan(api: Api, chunks: &[Bytes]) -> convoy_node::openai::Request {
    let mut scanner = Scanner::new(api);
    for chunk in chunks {
        scanner.feed(chunk);
    }
    scanner.finish(chunks).expect("a good body")
}

fn text(api: Api, chunks: &[Bytes]) -> u64 {
    let mut bytes = 0;
    scan(api, chunks).prompts.read(chunks, |_, piece| {
        bytes += black_box(piece).len() as u64;
        ControlFlow::Continue(())
    });
    bytes
}

fn requests(criterion: &mut Criterion) {
    let bodies = [
        ("chat of one message, no escapes", Api::Chat, chat(BODY_BYTES, BODY_BYTES)),
        ("chat of 4 KB messages, an escape in 70 bytes", Api::Chat, chat(4096, 70)),
        ("chat of 4 KB messages, an escape in 25 bytes", Api::Chat, chat(4096, 25)),
        ("chat of 100 B messages", Api::Chat, chat(100, 50)),
        ("token ids", Api::Completions, ids()),
    ];
    for (name, api, body) in bodies {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(body.len() as u64));
        let chunks = chunks(&body);
        group.bench_function("scan", |bencher| bencher.iter(|| scan(api, black_box(&chunks))));
        group.bench_function("scan+text", |bencher| bencher.iter(|| text(api, black_box(&chunks))));
        group.bench_function("serde", |bencher| {
            bencher.iter(|| {
                let body = black_box(body.as_str());
                if api == Api::Chat {
                    let chat: Chat<'_> = serde_json::from_str(body).expect("a good body");
                    let texts = chat.messages.iter().map(|m| m.role.len() + m.content.len());
                    texts.sum::<usize>() + chat.model.len() + usize::from(chat.stream)
                } else {
                    let ids: Ids = serde_json::from_str(body).expect("a good body");
                    ids.prompt.len()
                }
            });
        });
        group.finish();
    }
    let small = chunks(&{
        let mut body = chat(1, 800);
        body.truncate(body.find("\"},{").expect("more than one message"));
        body + "\"}]}"
    });
    criterion.bench_function("chat of 1 KB/scan+text", |bencher| {
        bencher.iter(|| text(Api::Chat, black_box(&small)));
    });
}

fn answers(criterion: &mut Criterion) {
    let event = |usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-8b4a2e1f0c9d4e7b\",\"object\":\"chat.completion.chunk\",\
             \"created\":1732180000,\"model\":\"meta-llama/Llama-3.1-8B-Instruct\",\"choices\":\
             [{{\"index\":0,\"delta\":{{\"content\":\" token\"}},\"logprobs\":null,\
             \"finish_reason\":null}}]{usage}}}\n\n"
        )
    };
    let told = ",\"usage\":{\"prompt_tokens\":1000,\"total_tokens\":1100,\"completion_tokens\":100,\
                \"prompt_tokens_details\":{\"cached_tokens\":512}}";
    let rows = [
        ("without usage", event("")),
        ("with usage null", event(",\"usage\":null")),
        ("with usage", event(told)),
        ("64 events", event("").repeat(64)),
    ];
    let mut group = criterion.benchmark_group("answer chunk");
    for (name, event) in rows {
        group.throughput(Throughput::Bytes(event.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                Answer::new,
                |answer| {
                    for _ in 0..100 {
                        answer.feed(black_box(event.as_bytes()));
                    }
                    answer.usage()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, requests, answers);
criterion_main!(benches);
