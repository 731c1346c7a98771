//! How prompts are named, and what a pick learns of them.

use std::num::NonZeroUsize;

use convoy_prefix_index::ChainBuilder;
use prometheus_client::registry::Registry;

use super::*;
use crate::{
    clock,
    endpoints::PublishedView,
    metrics::PickMetrics,
    openai::{Api, Scanner},
    prefix::{
        Arguments,
        chains::PROMPTS_MAX,
        tests::{endpoint, parameters, settings, view},
    },
};

const BLOCK_BYTES: usize = 256;

fn prefixes(settings: PrefixSettings, bounds: Bounds) -> Prefixes {
    let (mut registry, params) = (Registry::default(), parameters(1).hash);
    let picks = PickMetrics::register(&mut registry);
    let view = PublishedView::new();
    Arguments::new(params, settings, bounds, view, (&mut registry, picks)).prefixes()
}

const BOUNDS: Bounds =
    Bounds { memberships_max: 1000, sightings_waiting_max: 10, sightings_bytes_max: 1 << 20 };

fn read(api: Api, body: &str, piece_bytes: NonZeroUsize) -> (Request, Vec<Bytes>) {
    let pieces = body.as_bytes().chunks(piece_bytes.get()).map(Bytes::copy_from_slice);
    let chunks: Vec<Bytes> = pieces.collect();
    let mut scanner = Scanner::new(api);
    for chunk in &chunks {
        scanner.feed(chunk);
    }
    (scanner.finish(&chunks).unwrap(), chunks)
}

/// The chains of a body's prompts, which are the same however the body is cut.
fn hashed(prefixes: &Prefixes, api: Api, body: &str, model: &str) -> Vec<Vec<BlockHash>> {
    let cuts = [1, 7, 1000, usize::MAX].map(|bytes| {
        let (request, chunks) = read(api, body, NonZeroUsize::new(bytes).unwrap());
        let asked = Asked { request: &request, model, chunks: &chunks };
        let mut scratch = PromptScratch::default();
        prefixes.look_up(&asked, &View::default(), clock::now(), &mut scratch);
        scratch.chains.iter().map(<[_]>::to_vec).collect::<Vec<_>>()
    });
    assert!(cuts.iter().all(|chains| *chains == cuts[0]), "the cuts matter");
    cuts.into_iter().next().unwrap()
}

fn chain(text: &str, model: &str, salt: Option<&str>) -> Vec<BlockHash> {
    let params = parameters(1).hash;
    let mut builder = ChainBuilder::new(&params, model, salt);
    builder.update(text.as_bytes());
    builder.finish()
}

fn completion(prompt: &serde_json::Value) -> String {
    serde_json::json!({"model": "written", "prompt": prompt}).to_string()
}

#[test]
fn a_prompt_is_named_by_its_decoded_text_the_target_model_and_the_salt() {
    let prefixes = prefixes(settings(), BOUNDS);
    let text = "A \"quoted\" line\n and umlauts äöü. ".repeat(40);
    let body = completion(&text.clone().into());
    let expected = chain(&text, "target", None);
    assert_eq!(expected.len(), text.len() / BLOCK_BYTES);
    assert_eq!(hashed(&prefixes, Api::Completions, &body, "target"), [expected]);

    let salted = serde_json::json!({"prompt": text, "model": "m", "cache_salt": "s"}).to_string();
    let expected = chain(&text, "target", Some("s"));
    assert_eq!(hashed(&prefixes, Api::Completions, &salted, "target"), [expected]);
}

#[test]
fn conversations_share_the_chain_of_what_they_have_in_common() {
    let prefixes = prefixes(settings(), BOUNDS);
    let system = "You are thorough. ".repeat(100);
    let ask = |question: &str| {
        let messages = serde_json::json!([
            {"role": "system", "content": system},
            {"role": "user", "content": [{"type": "text", "text": question}]},
        ]);
        let body = serde_json::json!({"model": "m", "messages": messages}).to_string();
        hashed(&prefixes, Api::Chat, &body, "m").remove(0)
    };
    let (one, other) = (ask(&"one ".repeat(200)), ask(&"other ".repeat(200)));
    let common = super::super::chains::common_blocks(&one, &other) as usize;
    assert_eq!(common, ("system".len() + system.len()) / BLOCK_BYTES);
    assert!(common < one.len() && common < other.len());
}

#[test]
fn each_prompt_of_a_list_is_a_chain_and_short_ones_are_none() {
    let prefixes = prefixes(settings(), BOUNDS);
    let texts = ["a".repeat(600), "short".into(), String::new(), "b".repeat(256)];
    let found = hashed(&prefixes, Api::Completions, &completion(&texts.to_vec().into()), "m");
    assert_eq!(found, [chain(&texts[0], "m", None), chain(&texts[3], "m", None)]);
}

#[test]
fn a_prompt_without_a_whole_block_is_no_prompt() {
    let prefixes = prefixes(settings(), BOUNDS);
    let (request, chunks) =
        read(Api::Completions, &completion(&"x".repeat(255).into()), NonZeroUsize::MAX);
    let asked = Asked { request: &request, model: "m", chunks: &chunks };
    let (mut scratch, now, a) = (PromptScratch::default(), clock::now(), endpoint("a", 0));
    prefixes.look_up(&asked, &view(&[&a]), now, &mut scratch);
    assert!(scratch.matched(&prefixes).is_none());
    assert!(prefixes.sighted(&a, now, &scratch).is_none());
}

#[test]
fn chains_end_where_the_configuration_and_the_library_say() {
    let rows = [(Some(3), 10, 3), (Some(3), 3, 3), (Some(3), 2, 2), (None, 40, 40)];
    for (chain_blocks_max, blocks, expected) in rows {
        let prefixes = prefixes(PrefixSettings { chain_blocks_max, ..settings() }, BOUNDS);
        for more in [0, 1, 255] {
            let text = "x".repeat(blocks * BLOCK_BYTES + more);
            let body = completion(&vec![text.clone(), text].into());
            let found = hashed(&prefixes, Api::Completions, &body, "m");
            let lengths: Vec<usize> = found.iter().map(Vec::len).collect();
            assert_eq!(lengths, [expected; 2], "{chain_blocks_max:?}, {blocks} blocks and {more}");
        }
    }
}

#[test]
fn of_very_many_prompts_the_first_are_looked_at() {
    let prefixes = prefixes(settings(), BOUNDS);
    let texts: Vec<String> = (0..PROMPTS_MAX + 50).map(|n| format!("{n:0256}")).collect();
    let body = completion(&texts.clone().into());
    let (request, chunks) = read(Api::Completions, &body, NonZeroUsize::MAX);
    let asked = Asked { request: &request, model: "m", chunks: &chunks };
    let mut scratch = PromptScratch::default();
    prefixes.look_up(&asked, &View::default(), clock::now(), &mut scratch);
    assert_eq!(scratch.chains.iter().count(), PROMPTS_MAX);
    let last = scratch.chains.iter().last().unwrap();
    assert_eq!(last, chain(&texts[PROMPTS_MAX - 1], "m", None));
}

/// Prompts of these texts, looked up by a view of `pool`; the sums matched, by position.
fn matched(prefixes: &Prefixes, texts: &[String], pool: &View) -> (PromptScratch, Vec<u32>) {
    let body = completion(&texts.to_vec().into());
    let (request, chunks) = read(Api::Completions, &body, NonZeroUsize::MAX);
    let asked = Asked { request: &request, model: "m", chunks: &chunks };
    let mut scratch = PromptScratch::default();
    prefixes.look_up(&asked, pool, clock::now(), &mut scratch);
    let matched = scratch.matched(prefixes).unwrap().matched.to_vec();
    (scratch, matched)
}

#[test]
fn the_next_pick_knows_what_this_one_decided_before_any_applier_does() {
    let prefixes = prefixes(settings(), BOUNDS);
    let (a, b) = (endpoint("a", 0), endpoint("b", 1));
    let pool = view(&[&a, &b]);
    let texts = ["x".repeat(1000), "y".repeat(600)];
    let (scratch, before) = matched(&prefixes, &texts, &pool);
    assert_eq!(before, [0, 0]);
    let sighting = prefixes.sighted(&b, clock::now(), &scratch).unwrap();
    assert_eq!(matched(&prefixes, &texts, &pool).1, [0, 3 + 2]);
    assert_eq!(matched(&prefixes, &["x".repeat(5000)], &pool).1, [0, 3]);
    prefixes.moved(&sighting, &a);
    assert_eq!(matched(&prefixes, &texts, &pool).1, [3 + 2, 0]);
}

#[test]
fn what_waits_is_bounded_in_number_and_in_memory_and_drops_are_counted() {
    let bounds = Bounds { sightings_bytes_max: 4096, ..BOUNDS };
    let mut registry = Registry::default();
    let picks = PickMetrics::register(&mut registry);
    let (params, view_) = (parameters(1).hash, PublishedView::new());
    let arguments = Arguments::new(params, settings(), bounds, view_, (&mut registry, picks));
    let (prefixes, a) = (arguments.prefixes(), endpoint("a", 0));
    let (scratch, _) = matched(&prefixes, &["x".repeat(1000)], &view(&[&a]));
    let sightings: Vec<_> =
        (0..100).map(|_| prefixes.sighted(&a, clock::now(), &scratch)).collect();
    let made = sightings.iter().flatten().count();
    assert!((1..=4096 / 256).contains(&made), "{made} made");
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    for (reason, dropped) in [("memory", 100 - made), ("stopped", made)] {
        let line = format!("convoy_sightings_dropped_total{{reason=\"{reason}\"}} {dropped}\n");
        assert!(page.contains(&line), "{line} is not in {page}");
    }
}
