//! Command lines that are taken, and what is said about those that are not.

use super::*;
use crate::bench::HELP;

fn asked(line: &str) -> Result<Asked, UsageError> {
    read(line.split_whitespace().map(OsString::from))
}

fn settings(line: &str) -> Settings {
    match asked(line) {
        Ok(Asked::Run { settings, .. }) => *settings,
        other => panic!("{line}: {other:?}"),
    }
}

fn refusal(line: &str) -> String {
    asked(line).unwrap_err().to_string()
}

const LEAST: &str = "--target 127.0.0.1:9002 --rate 50";

#[test]
fn a_target_and_a_rate_are_enough() {
    let settings = settings(LEAST);
    assert_eq!(settings.target, "127.0.0.1:9002");
    assert_eq!(settings.load, Load::Open { per_second: 50.0, arrivals: Arrivals::Poisson });
    assert_eq!(settings.request.input_tokens, Some(200));
    assert_eq!(settings.answer.output_tokens, 100);
    assert_eq!(settings.connections, 2);
    assert_eq!(settings.observation, Observation::Full);
    assert!(!settings.plaintext);
}

#[test]
fn profiles_are_the_documented_sizes_and_single_sizes_take_precedence() {
    let rows = [
        ("short", Some(200), 100),
        ("medium", Some(10_000), 1000),
        ("long", Some(100_000), 1000),
        ("bodyless", None, 0),
    ];
    for (profile, input, output) in rows {
        let settings = settings(&format!("{LEAST} --profile {profile}"));
        assert_eq!(settings.request.input_tokens, input);
        assert_eq!(settings.answer.output_tokens, output);
    }
    let settings = settings(&format!("{LEAST} --profile long --input-tokens 7 --output-tokens=9"));
    assert_eq!((settings.request.input_tokens, settings.answer.output_tokens), (Some(7), 9));
}

#[test]
fn the_warm_up_lasts_at_least_as_long_as_an_answer_plays() {
    let settings = settings(&format!("{LEAST} --profile medium --token-gap 20ms"));
    assert_eq!(settings.answer.playing_time(), Duration::from_secs(20));
    assert_eq!(settings.warm_up, Duration::from_secs(22));
}

#[test]
fn every_flag_is_documented_and_taken() {
    for flag in FLAGS {
        assert!(HELP.contains(&format!("\n  {flag} ")) || flag == "--help", "{flag}");
    }
    let line = "--target [::1]:9002 --plaintext --connections 3 --concurrency 9 --duration 1s --warm-up 0 \
                --timeout 2s --in-flight-max 5 --seed 9 --profile long --input-tokens 1 --output-tokens 0 \
                --token-gap 1ms --time-to-first-token 3ms --conversations 4 --shared-prefix 0.5 --model m \
                --client http1 --chunk-bytes 64Ki --observation off --pid 1 --pid 2 --pid 1 --idle 1s --output json";
    let Ok(Asked::Run { settings, output }) = asked(line) else { panic!("{line}") };
    assert_eq!(output, Output::Json);
    assert_eq!(settings.load, Load::Closed { concurrency: 9 });
    assert_eq!(settings.processes, [1, 2]);
    assert_eq!((settings.request.client, settings.request.chunk_bytes), (Client::Http1, 65_536));
    assert_eq!(settings.answer.time_to_first_token, Duration::from_millis(3));
    assert_eq!(asked("--help --nonsense").unwrap(), Asked::Help);
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let rows = [
        ("--rate 5", "--target is missing: the picker's address, such as 127.0.0.1:9002"),
        (
            "--target a:1",
            "--rate is missing: requests a second, or --concurrency with so many at a time",
        ),
        ("--target a:1 --rate 5 --concurrency 2", "--rate and --concurrency exclude each other"),
        (
            "--target a:1 --concurrency 2 --arrivals uniform",
            "--concurrency and --arrivals exclude each other",
        ),
        ("--target 9002", "--target \"9002\" is not HOST:PORT, such as 127.0.0.1:9002"),
        ("--targte a:1", "unknown flag --targte; did you mean --target?"),
        ("bodyless", "\"bodyless\" belongs to no flag"),
        ("--rate -3", "--rate \"-3\" is not a number from 0.001 to 1000000"),
        ("--rate NaN", "--rate \"NaN\" is not a number from 0.001 to 1000000"),
        ("--profile huge", "--profile \"huge\" is not one of short, medium, long, bodyless"),
        ("--token-gap 20", "--token-gap \"20\" is not a duration up to 24h, such as 20ms"),
        (
            "--chunk-bytes 16",
            "--chunk-bytes \"16\" is not a size from 1024 to 1048576 bytes, such as 16KiB",
        ),
        ("--pid x", "--pid \"x\" is not a process id"),
    ];
    for (line, expected) in rows {
        assert_eq!(refusal(line), expected);
    }
}

#[test]
fn prompts_that_take_too_much_memory_are_refused() {
    let line = format!("{LEAST} --profile long --conversations 100000");
    assert!(refusal(&line).contains("--conversations"));
}
