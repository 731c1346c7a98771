//! Claims about the command line.

use super::*;

fn plan(line: &str) -> Plan {
    match read(line.split_whitespace().map(str::to_owned)) {
        Ok(Asked::Serve(plan)) => *plan,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn refused(line: &str, expected: &str) {
    let error = read(line.split_whitespace().map(str::to_owned)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn servers_are_listed_or_counted_from_a_first_address() {
    let addresses =
        |line: &str| plan(line).listen.iter().map(ToString::to_string).collect::<Vec<_>>();
    let given = addresses("--listen 127.0.0.10:8000 --listen=127.0.0.11:0");
    assert_eq!(given, ["127.0.0.10:8000", "127.0.0.11:0"]);
    let counted = addresses("--first 127.0.1.254 --count 3 --port 80");
    assert_eq!(counted, ["127.0.1.254:80", "127.0.1.255:80", "127.0.2.0:80"]);
    assert_eq!(addresses("--first 127.0.1.1 --count 1"), ["127.0.1.1:0"]);
}

#[test]
fn a_server_needs_an_address_and_only_one_has_it() {
    refused("", "nothing to listen on");
    refused("--count 3", "belong together");
    refused("--port 3 --listen 127.0.0.1:1", "belong together");
    refused("--first 255.255.255.255 --count 2", "do not all exist");
    refused("--first 127.0.0.1 --count 0", "do not all exist");
    refused("--listen 127.0.0.1:1 --listen 127.0.0.1:1", "twice");
    assert_eq!(plan("--listen 127.0.0.1:0 --listen 127.0.0.1:0").listen.len(), 2);
}

#[test]
fn durations_have_units() {
    let plan = plan("--listen 127.0.0.1:0 --prefill-per-token 4us --prefill-overhead 1.5ms");
    let timing = plan.settings.engine.timing;
    assert_eq!(timing.prefill_per_token, Duration::from_micros(4));
    assert_eq!(timing.prefill_overhead, Duration::from_micros(1500));
    for wrong in ["5", "ms", "-1s", "1.2.3s", "1m", "1e9s", "90000s"] {
        refused(&format!("--listen 127.0.0.1:0 --slow-start {wrong}"), "duration");
    }
}

#[test]
fn mistakes_are_named() {
    refused("--lissten 127.0.0.1:0", "unknown flag \"--lissten\"");
    refused("--listen", "--listen needs a value");
    refused("--listen localhost", "127.0.0.1:8000");
    refused("--exit-with-parent=yes", "takes no value");
    refused("--listen 127.0.0.1:0 --block-size 0", "block-size must be at least 1");
    refused("--listen 127.0.0.1:0 --max-loras 0 --lora a", "needs max-loras");
    refused("--listen 127.0.0.1:0 --num-gpu-blocks 11 --max-model-len 161", "exceeds the 160");
}

#[test]
fn a_small_cache_shortens_what_a_sequence_may_be() {
    let plan = plan("--listen 127.0.0.1:0 --num-gpu-blocks 11");
    assert_eq!(plan.settings.engine.sequence_tokens_max, 160);
}

#[test]
fn every_flag_that_help_lists_is_understood() {
    let flags = HELP.split_whitespace().filter(|word| word.starts_with("--"));
    for flag in flags.map(|flag| flag.trim_end_matches([':', ';', ',']).to_owned()) {
        let answer = read([flag.clone(), "?".to_owned()]);
        let unknown = UsageError::Unknown { flag: flag.clone() };
        assert_ne!(answer, Err(unknown), "{flag}");
    }
}
