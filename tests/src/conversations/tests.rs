//! Claims about traffic.

use std::time::Duration;

use serde_json::Value;

use super::traffic::count;
use super::*;

/// Plays `traffic` without time: each answer comes as soon as it is asked for. Returns requests
/// and their bodies in order.
fn run(mut traffic: Traffic) -> Vec<(Request, Value)> {
    let mut seen = Vec::new();
    while let Some(due) = traffic.next_due() {
        let request = traffic.take_due(due).unwrap();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        traffic.answered(request.id, &format!("answer to {}", request.id.0), due);
        seen.push((request, body));
    }
    assert!(traffic.is_over());
    seen
}

fn traffic(plans: Vec<Plan>) -> Traffic {
    Traffic::new("m", plans, Style::Chat, false)
}

fn contents(body: &Value) -> Vec<&str> {
    let messages = body["messages"].as_array().unwrap();
    messages.iter().map(|message| message["content"].as_str().unwrap()).collect()
}

#[test]
fn a_turn_holds_all_turns_before_it_and_their_answers() {
    let plans = chats(7, &Chats { groups: 1, chats_per_group: 1, ..Chats::default() });
    let turns = run(traffic(plans));
    assert!(3 <= turns.len());
    for pair in turns.windows(2) {
        let (before, after) = (contents(&pair[0].1), contents(&pair[1].1));
        assert_eq!(after[..before.len()], before);
        assert_eq!(after[before.len()], format!("answer to {}", pair[0].0.id.0));
        assert_eq!(after.len(), before.len() + 2);
        assert!(pair[0].0.due < pair[1].0.due);
    }
}

#[test]
fn chats_of_a_group_share_their_system_prompt_and_nothing_else() {
    let turns =
        run(traffic(chats(7, &Chats { groups: 2, chats_per_group: 2, ..Chats::default() })));
    let first: Vec<_> = turns.iter().filter(|(request, _)| request.turn == 0).collect();
    assert_eq!(first.len(), 4);
    for (one, one_body) in &first {
        for (other, other_body) in &first {
            let group = |request: &Request| request.name.rsplit(' ').next().unwrap().to_owned();
            let same_group = group(one) == group(other);
            assert_eq!(contents(one_body)[0] == contents(other_body)[0], same_group);
            assert_eq!(contents(one_body)[1] == contents(other_body)[1], one.id == other.id);
        }
    }
}

#[test]
fn a_burst_shares_a_text_that_no_other_burst_has() {
    let plans = bursts(3, &Bursts { bursts: 2, ..Bursts::default() });
    let requests = run(traffic(plans));
    assert_eq!(requests.len(), 32);
    let shared = |index: usize| contents(&requests[index].1)[0].to_owned();
    assert_eq!(shared(0).len(), 16 << 10);
    assert!((1..16).all(|index| shared(index) == shared(0)));
    assert!((17..32).all(|index| shared(index) == shared(16)));
    assert_ne!(shared(0), shared(16));
    assert_eq!(requests[15].0.due, Duration::from_millis(30));
    assert_eq!(requests[16].0.due, Duration::from_millis(500));
}

#[test]
fn branches_of_an_agent_continue_the_same_answer() {
    let one = Agents { kinds: 1, tasks_per_kind: 1, branches: (2, 2), ..Agents::default() };
    let steps = run(traffic(agents(5, &one)));
    assert_eq!(steps.len(), 1 + 2 + 4 + 8);
    let root = contents(&steps[0].1);
    for (_, body) in steps.iter().filter(|(step, _)| step.turn == 1) {
        let step = contents(body);
        assert_eq!(step[..root.len()], root);
        assert_eq!(step[root.len()], "answer to 0");
    }
    assert!(steps.iter().all(|(_, body)| body["tools"].as_array().unwrap().len() == 8));
}

#[test]
fn the_same_seed_makes_the_same_plans_and_another_does_not() {
    assert_eq!(chats(1, &Chats::default()), chats(1, &Chats::default()));
    assert_ne!(chats(1, &Chats::default()), chats(2, &Chats::default()));
    assert_eq!(agents(1, &Agents::default()), agents(1, &Agents::default()));
}

#[test]
fn a_failure_takes_what_would_have_followed_with_it() {
    let plans = chats(7, &Chats { groups: 1, chats_per_group: 1, ..Chats::default() });
    let all = count(&plans[0].first);
    let mut traffic = traffic(plans);
    let first = traffic.take_due(Duration::from_mins(1)).unwrap();
    assert_eq!(traffic.failed(first.id), all - 1);
    assert!(traffic.is_over());
}

#[test]
fn completions_hold_all_that_was_said_as_one_text() {
    let plans = chats(7, &Chats { groups: 1, chats_per_group: 1, ..Chats::default() });
    let turns = run(Traffic::new("m", plans, Style::Completion, true));
    let prompt = |index: usize| turns[index].1["prompt"].as_str().unwrap();
    assert_eq!(turns[0].0.path, "/v1/completions");
    assert!(prompt(1).starts_with(&format!("{}answer to 0", prompt(0))));
    assert_eq!(turns[0].1["stream_options"]["include_usage"], true);
}

#[test]
fn answers_are_read_whole_and_streamed_alike() {
    let whole = br#"{"choices":[{"index":0,"message":{"role":"assistant","content":"one two "},
        "finish_reason":"length"}],"usage":{"prompt_tokens":9,"completion_tokens":2,
        "prompt_tokens_details":{"cached_tokens":8}}}"#;
    let streamed = br#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}

data: {"choices":[{"index":0,"delta":{"content":"one "},"finish_reason":null}]}

data: {"choices":[{"index":1,"delta":{"content":"no "},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"content":"two "},"finish_reason":"length"}]}

data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":8}}}

data: [DONE]

"#;
    let expected = Answer {
        text: "one two ".into(),
        finish_reason: Some("length".into()),
        usage: Some(Usage { prompt: 9, completion: 2, cached: 8 }),
        is_complete: true,
    };
    assert_eq!(read_answer(whole), Some(expected.clone()));
    assert_eq!(read_answer(streamed), Some(expected));
    let cut = read_answer(streamed.split_at(250).0).unwrap();
    assert_eq!((cut.text.as_str(), cut.is_complete), ("one ", false));
    assert_eq!(read_answer(b"upstream connect error"), None);
}

#[tokio::test(start_paused = true)]
async fn played_traffic_keeps_its_times_and_continues_the_answers() {
    let plans = chats(7, &Chats { groups: 1, chats_per_group: 3, ..Chats::default() });
    let requests: usize = plans.iter().map(|plan| count(&plan.first)).sum();
    let begun = tokio::time::Instant::now();
    let played = play(traffic(plans), |request| async move {
        let late = begun.elapsed().saturating_sub(request.due);
        tokio::time::sleep(Duration::from_millis(30)).await;
        Reply { answer: Some("yes".into()), outcome: late }
    });
    let played = played.await;
    assert_eq!((played.outcomes.len(), played.never_made), (requests, 0));
    // Tokio's timers keep to milliseconds.
    assert!(played.outcomes.iter().all(|(_, late)| *late <= Duration::from_millis(2)));
}
