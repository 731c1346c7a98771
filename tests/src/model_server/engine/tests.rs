//! Claims about who runs, for how long, and what comes out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::random::check;
use super::super::tokens::{Chain, Tokens, answer_token, chain_root};
use super::*;

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Blocks of four tokens; a prompt's start costs 100 ms, its tokens 1 ms each, a decode step
/// 10 ms and 1 ms for each further sequence, an adapter 1000 ms.
fn settings() -> EngineSettings {
    EngineSettings {
        block_tokens: 4,
        blocks: 101,
        running_max: 8,
        step_tokens_max: 1000,
        sequence_tokens_max: 400,
        max_loras: 2,
        timing: Timing {
            prefill_overhead: milliseconds(100),
            prefill_per_token: milliseconds(1),
            inter_token_latency: milliseconds(10),
            decode_per_sequence: milliseconds(1),
            adapter_load: milliseconds(1000),
        },
        ..EngineSettings::default()
    }
}

/// A request for `output_tokens` tokens after a prompt of `tokens`, whose text depends on `name`.
fn request(name: &str, tokens: usize, output_tokens: usize) -> Request {
    let text: String = name.chars().cycle().take(tokens * 4).collect();
    Request {
        chain: Chain::new(&Tokens::of_text(&text), 4, 0),
        prompt_tokens: tokens,
        output_tokens,
        finish: Finish::Length,
        adapter: None,
        choices_asked: 1,
        max_tokens_asked: None,
    }
}

fn with_adapter(adapter: &str, tokens: usize, output_tokens: usize) -> Request {
    let mut request = request("p", tokens, output_tokens);
    let text = "p".repeat(tokens * 4);
    request.chain = Chain::new(&Tokens::of_text(&text), 4, chain_root(Some(adapter), None));
    request.adapter = Some(adapter.into());
    request
}

/// An engine with its own time.
struct World {
    engine: Engine,
    now: Duration,
    reached: BTreeMap<SequenceId, Progress>,
}

impl World {
    fn new(settings: EngineSettings) -> Self {
        Self { engine: Engine::new(settings), now: Duration::ZERO, reached: BTreeMap::new() }
    }

    fn submit(&mut self, request: Request) -> SequenceId {
        self.engine.submit(request, self.now)
    }

    /// One step; how many milliseconds it took, `None` if there was nothing to do.
    fn step(&mut self) -> Option<u128> {
        let took = self.engine.begin_step(self.now)?;
        self.now += took;
        let mut reached = Vec::new();
        self.engine.end_step(self.now, &mut reached);
        self.reached.extend(reached);
        Some(took.as_millis())
    }

    fn run_until_idle(&mut self) {
        while self.step().is_some() {}
    }

    fn run(&mut self, request: Request) -> Progress {
        let id = self.submit(request);
        self.run_until_idle();
        self.reached[&id]
    }
}

#[test]
fn a_prompt_takes_its_start_and_its_tokens_and_brings_the_first_token() {
    let mut world = World::new(settings());
    let id = world.submit(request("a", 20, 3));
    assert_eq!(world.step(), Some(120));
    let first = Progress { cached_tokens: 0, output_tokens: 1, finish: None };
    assert_eq!(world.reached[&id], first);
    assert_eq!(world.step(), Some(10));
    assert_eq!(world.step(), Some(10));
    let last = Progress { output_tokens: 3, finish: Some(Finish::Length), ..first };
    assert_eq!(world.reached[&id], last);
    assert_eq!(world.step(), None);
    assert_eq!(world.engine.cache().used(), 0);
}

#[test]
fn cached_tokens_take_no_time_and_the_last_token_is_always_computed() {
    let mut world = World::new(settings());
    assert_eq!(world.run(request("a", 20, 1)).cached_tokens, 0);
    world.submit(request("a", 20, 1));
    // All five blocks are cached; the last is computed again.
    assert_eq!(world.step(), Some(104));
    assert_eq!(world.run(request("a", 20, 1)).cached_tokens, 16);
    assert_eq!(world.run(request("a", 21, 1)).cached_tokens, 20);
    assert_eq!(world.run(request("a", 19, 1)).cached_tokens, 16);
}

#[test]
fn the_answer_is_cached_too_but_for_its_last_token() {
    let mut world = World::new(settings());
    let asked = request("a", 8, 5);
    let mut continued = asked.chain.clone();
    let fingerprint = asked.chain.fingerprint();
    world.run(asked.clone());
    for index in 0..9 {
        continued.push(answer_token(fingerprint, index));
    }
    // 8 tokens and 4 of the answer fill three blocks; the fifth was never computed.
    let next = Request { chain: continued, prompt_tokens: 17, ..asked };
    assert_eq!(world.run(next).cached_tokens, 12);
}

#[test]
fn sequences_that_start_together_share_a_step_and_what_they_have_in_common() {
    let mut world = World::new(settings());
    let ids = [0; 4].map(|_| world.submit(request("a", 20, 2)));
    // 20 tokens of the first and 4 of each other one.
    assert_eq!(world.step(), Some(132));
    assert_eq!(ids.map(|id| world.reached[&id].cached_tokens), [0, 16, 16, 16]);
    assert_eq!(world.step(), Some(13));
    assert_eq!(world.step(), None);
}

#[test]
fn long_prompts_are_computed_in_pieces_beside_answers_that_go_on() {
    let mut world = World::new(EngineSettings { step_tokens_max: 10, ..settings() });
    let early = world.submit(request("a", 4, 9));
    assert_eq!(world.step(), Some(104));
    let late = world.submit(request("b", 20, 1));
    // Nine tokens beside one that decodes, nine more, the last two.
    assert_eq!(world.step(), Some(119));
    assert_eq!(world.step(), Some(19));
    assert!(!world.reached.contains_key(&late));
    assert_eq!(world.step(), Some(12));
    assert_eq!(world.reached[&late].output_tokens, 1);
    assert_eq!(world.reached[&early].output_tokens, 4);
}

#[test]
fn who_finds_no_place_waits_in_order_of_arrival() {
    let mut world = World::new(EngineSettings { running_max: 2, ..settings() });
    let ids = [3, 1, 1].map(|output| world.submit(request("a", 4, output)));
    world.step();
    assert_eq!((world.engine.running(), world.engine.waiting()), (1, 1));
    assert!(!world.reached.contains_key(&ids[2]));
    world.step();
    assert_eq!(world.reached[&ids[2]].output_tokens, 1);
    assert_eq!(world.engine.counters().running_peak, 2);
}

#[test]
fn a_full_cache_preempts_who_came_last_and_its_answer_goes_on() {
    let mut world =
        World::new(EngineSettings { blocks: 11, sequence_tokens_max: 40, ..settings() });
    // Both need six blocks in the end, ten exist.
    let ids = ["a", "b"].map(|name| world.submit(request(name, 16, 8)));
    world.run_until_idle();
    for id in ids {
        let done = Progress { cached_tokens: 0, output_tokens: 8, finish: Some(Finish::Length) };
        assert_eq!(world.reached[&id], done);
    }
    assert_eq!(world.engine.counters().preemptions, 1);
    assert_eq!(world.engine.counters().generation_tokens, 16);
    assert_eq!(world.engine.cache().used(), 0);
}

#[test]
fn who_was_preempted_waits_for_the_next_step_and_goes_before_others() {
    let mut world = World::new(EngineSettings {
        blocks: 11,
        sequence_tokens_max: 40,
        step_tokens_max: 16,
        ..settings()
    });
    let ids = ["a", "b"].map(|name| world.submit(request(name, 16, 8)));
    while world.engine.counters().preemptions == 0 {
        world.submit(request("c", 20, 1));
        world.step();
    }
    assert_eq!(world.engine.running(), 1);
    let so_far = world.reached[&ids[1]];
    while world.reached[&ids[1]] == so_far {
        assert_eq!(world.reached.len(), 2, "nobody who came later has run before");
        world.step();
    }
    world.run_until_idle();
    assert_eq!(world.reached[&ids[1]].output_tokens, 8);
}

#[test]
fn a_cancelled_sequence_gives_its_blocks_back_at_once() {
    let mut world = World::new(EngineSettings { running_max: 1, ..settings() });
    let runs = world.submit(request("a", 20, 50));
    let waits = world.submit(request("b", 20, 50));
    world.step();
    world.engine.cancel(waits, world.now);
    world.engine.begin_step(world.now).unwrap();
    world.engine.cancel(runs, world.now);
    assert_eq!(world.engine.cache().used(), 0);
    let mut reached = Vec::new();
    world.engine.end_step(world.now, &mut reached);
    assert!(reached.is_empty());
    assert_eq!(world.step(), None);
    assert_eq!(world.engine.counters().aborted, 2);
    assert_eq!(world.run(request("a", 20, 1)).cached_tokens, 16);
}

#[test]
fn an_adapter_is_loaded_on_use_and_keeps_its_own_cache() {
    let mut world = World::new(settings());
    world.submit(with_adapter("x", 20, 1));
    assert_eq!(world.step(), Some(1120));
    assert_eq!(world.engine.loaded_adapters().collect::<Vec<_>>(), ["x"]);
    assert_eq!(world.run(with_adapter("x", 20, 1)).cached_tokens, 16);
    assert_eq!(world.run(with_adapter("y", 20, 1)).cached_tokens, 0);
    assert_eq!(world.run(request("p", 20, 1)).cached_tokens, 0);
}

#[test]
fn an_adapter_without_a_slot_waits_and_is_passed_by_who_needs_none() {
    let mut world = World::new(settings());
    let ids = ["x", "y", "z"].map(|name| world.submit(with_adapter(name, 4, 3)));
    let plain = world.submit(request("a", 4, 1));
    world.step();
    let usages: Vec<_> = world.engine.usages().iter().collect();
    let (usage, _) = usages.into_iter().max_by_key(|(_, at)| *at).unwrap();
    assert_eq!((usage.running.as_str(), usage.waiting.as_str()), ("x,y", "z"));
    assert!(!world.reached.contains_key(&ids[2]));
    assert_eq!(world.reached[&plain].finish, Some(Finish::Length));
    world.run_until_idle();
    assert_eq!(world.reached[&ids[2]].output_tokens, 3);
    assert_eq!(world.engine.loaded_adapters().collect::<Vec<_>>(), ["y", "z"]);
}

#[derive(Clone, Debug)]
enum Event {
    Submit { name: usize, tokens: usize, output_tokens: usize, adapter: usize },
    Cancel(prop::sample::Index),
    Step,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3_usize, 1..30_usize, 1..12_usize, 0..5_usize).prop_map(
            |(name, tokens, output_tokens, adapter)| Event::Submit {
                name, tokens, output_tokens, adapter
            }
        ),
        1 => any::<prop::sample::Index>().prop_map(Event::Cancel),
        6 => Just(Event::Step),
    ]
}

#[test]
fn whatever_happens_every_sequence_ends_and_every_block_comes_back() {
    let bounds = (11..40_u32, 1..6_usize, 1..60_usize);
    let inputs = (bounds, prop::collection::vec(event(), 0..80));
    check(&inputs, |((blocks, running_max, step_tokens_max), events)| {
        let mut world = World::new(EngineSettings {
            blocks,
            running_max,
            step_tokens_max,
            sequence_tokens_max: 40,
            ..settings()
        });
        let mut asked: BTreeMap<SequenceId, usize> = BTreeMap::new();
        for event in events {
            match event {
                Event::Submit { name, tokens, output_tokens, adapter } => {
                    let request = match ["x", "y", "z"].get(adapter) {
                        Some(adapter) => with_adapter(adapter, tokens, output_tokens.min(10)),
                        None => request(["a", "b", "ab"][name], tokens, output_tokens.min(10)),
                    };
                    let output_tokens = request.output_tokens;
                    asked.insert(world.submit(request), output_tokens);
                }
                Event::Cancel(which) if !asked.is_empty() => {
                    let id = *which.get(&asked.keys().copied().collect::<Vec<_>>());
                    asked.remove(&id);
                    world.engine.cancel(id, world.now);
                }
                Event::Cancel(_) => {}
                Event::Step => {
                    world.step();
                }
            }
            assert!(world.engine.running() <= running_max);
        }
        world.run_until_idle();
        for (id, output_tokens) in asked {
            let reached = world.reached[&id];
            assert_eq!(
                (reached.output_tokens, reached.finish),
                (output_tokens, Some(Finish::Length))
            );
        }
        assert_eq!((world.engine.running(), world.engine.waiting()), (0, 0));
        assert_eq!(world.engine.cache().used(), 0);
    });
}
