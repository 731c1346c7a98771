//! Servers as a process, and traffic played on them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use convoy_tests::conversations::{
    Agents, Bursts, Chats, Played, Reply, Request, Style, Traffic, Usage, agents, bursts, chats,
    play, read_answer,
};
use convoy_tests::model_server::{Command, ModelServer, ModelServers, StartError};
use convoy_tests::scratch::Scratch;
use http::Method;
use serde_json::json;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_model-server"))
}

const FAST: [&str; 4] = ["--prefill-overhead", "0s", "--prefill-per-token", "0s"];

#[tokio::test]
async fn one_process_plays_servers_that_know_nothing_of_each_other() {
    let logs = Scratch::new("model-server").unwrap();
    let flags = ["--first", "127.0.5.1", "--count", "2"].into_iter().chain(FAST);
    let mut servers = ModelServers::start(binary(), flags, logs.path()).await.unwrap();
    let [one, other] = *servers.servers() else { panic!("{servers:?}") };
    assert_eq!((one.address.ip(), other.address.ip()), two_addresses());
    let body = json!({"prompt": "s".repeat(400)}).to_string();
    let cached = async |server: ModelServer| {
        let whole = server.ask(Method::POST, "/v1/completions", body.clone()).await.unwrap();
        read_answer(&whole.body).unwrap().usage.unwrap().cached
    };
    assert_eq!([cached(one).await, cached(one).await, cached(other).await], [0, 96, 0]);
    one.command(&Command::RestartEmpty {}).await.unwrap();
    assert_eq!([cached(one).await, cached(other).await], [0, 96]);
    servers.process().kill().unwrap();
    one.statistics().await.unwrap_err();
}

fn two_addresses() -> (std::net::IpAddr, std::net::IpAddr) {
    ("127.0.5.1".parse().unwrap(), "127.0.5.2".parse().unwrap())
}

#[tokio::test]
async fn a_mistake_on_the_command_line_is_told() {
    let logs = Scratch::new("model-server").unwrap();
    let error = ModelServers::start(binary(), ["--lissten", "x"], logs.path()).await.unwrap_err();
    let StartError::Ended { last_words } = error else { panic!("{error}") };
    assert!(last_words.contains("unknown flag \"--lissten\""), "{last_words}");
}

#[tokio::test]
async fn an_address_in_use_is_told() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let logs = Scratch::new("model-server").unwrap();
    let flags = ["--listen".to_owned(), taken.local_addr().unwrap().to_string()];
    let error = ModelServers::start(binary(), flags, logs.path()).await.unwrap_err();
    let StartError::Ended { last_words } = error else { panic!("{error}") };
    assert!(last_words.contains("cannot listen on 127.0.0.1:"), "{last_words}");
}

#[test]
fn it_exits_when_whoever_holds_its_input_is_gone() {
    let mut child = std::process::Command::new(binary())
        .args(["--exit-with-parent", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut lines = [String::new(), String::new()];
    for line in &mut lines {
        output.read_line(line).unwrap();
    }
    assert_eq!(lines[1], "{\"ready\":true}\n");
    drop(child.stdin.take());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Plays `traffic` on one server; for each request, its turn and what it cost.
async fn played(server: ModelServer, traffic: Traffic) -> Played<(usize, Option<Usage>)> {
    play(traffic, |request: Request| async move {
        let whole = server.ask(Method::POST, request.path, request.body).await;
        let answer = whole.ok().and_then(|whole| read_answer(&whole.body));
        let usage = answer.as_ref().and_then(|answer| answer.usage);
        let answer = answer.filter(|answer| answer.is_complete).map(|answer| answer.text);
        Reply { answer, outcome: (request.turn, usage) }
    })
    .await
}

/// Share of the prompts' tokens that was cached.
fn hit_ratio(played: &Played<(usize, Option<Usage>)>) -> f64 {
    let usages = played.outcomes.iter().map(|(_, (_, usage))| usage.unwrap());
    let (cached, prompt) = usages
        .fold((0, 0), |(cached, prompt), usage| (cached + usage.cached, prompt + usage.prompt));
    f64::from(u32::try_from(cached).unwrap()) / f64::from(u32::try_from(prompt).unwrap())
}

#[tokio::test]
async fn one_server_has_cached_all_that_was_said_before() {
    let logs = Scratch::new("model-server").unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--inter-token-latency", "100us"];
    let flags = flags.into_iter().chain(FAST);
    let servers = ModelServers::start(binary(), flags, logs.path()).await.unwrap();
    let server = servers.servers()[0];
    let pause = (Duration::ZERO, Duration::from_millis(10));
    let arriving = Duration::from_millis(100);
    let few =
        Chats { groups: 2, chats_per_group: 2, thinking: pause, arriving, ..Chats::default() };
    let chat_plans = chats(1, &few);
    let talk = played(server, Traffic::new("sim/llama", chat_plans, Style::Chat, true)).await;
    assert_eq!(talk.never_made, 0);
    // A later turn misses the last question and what did not fill a block of 16 tokens.
    for (_, (turn, usage)) in &talk.outcomes {
        let Usage { prompt, cached, .. } = usage.unwrap();
        assert!(*turn == 0 || prompt - cached < 600 / 4 + 40, "{cached} of {prompt}");
    }
    let every = Duration::from_millis(100);
    let burst_plans = bursts(1, &Bursts { bursts: 2, every, ..Bursts::default() });
    let burst = played(server, Traffic::new("sim/llama", burst_plans, Style::Chat, false)).await;
    assert!(0.9 < hit_ratio(&burst), "{}", hit_ratio(&burst));
    let few =
        Agents { kinds: 1, tasks_per_kind: 2, tool_time: pause, arriving, ..Agents::default() };
    let agent_plans = agents(1, &few);
    let work = played(server, Traffic::new("sim/llama", agent_plans, Style::Chat, true)).await;
    assert_eq!(work.never_made, 0);
    assert!(0.8 < hit_ratio(&work), "{}", hit_ratio(&work));
}
