//! Claims about commands and what they do.

use super::*;

const SERVE: Verdict = Verdict::Serve { reset_after_tokens: None };

fn read(name: &str, body: &str) -> Result<Command, String> {
    Command::read(name, body.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn a_command_is_a_name_and_its_fields() {
    let error = Command::Error { status: 503, times: Some(3) };
    assert_eq!(read("error", r#"{"status": 503, "times": 3}"#), Ok(error));
    assert_eq!(read("error", ""), Ok(Command::Error { status: 500, times: None }));
    assert_eq!(read("hang", " \n"), Ok(Command::Hang { scope: Scope::Inference }));
    assert_eq!(read("drain", "{}"), Ok(Command::Drain { refuse: true }));
    let page = Command::Metrics { page: Page::Huge };
    assert_eq!(read("metrics", r#"{"page": "huge"}"#), Ok(page));
    assert_eq!(read("restart_empty", ""), Ok(Command::RestartEmpty {}));
}

#[test]
fn a_wrong_command_is_refused_with_what_would_be_right() {
    assert!(read("explode", "").unwrap_err().contains("restart_empty"));
    assert!(read("slow_start", "").is_err());
    assert!(read("heal", r#"{"now": true}"#).is_err());
    assert!(read("error", r#"{"status": 200}"#).unwrap_err().contains("400 to 599"));
    assert!(read("slow_start", r#"{"seconds": -1}"#).unwrap_err().contains("86400"));
}

#[test]
fn a_command_comes_back_from_the_request_that_gives_it() {
    let commands = [
        Command::Hang { scope: Scope::All },
        Command::Reset { after_tokens: 3, times: Some(1) },
        Command::RestartEmpty {},
        Command::SlowStart { seconds: 0.5 },
    ];
    for command in commands {
        let (path, body) = command.request();
        let name = path.strip_prefix("/control/").unwrap();
        assert_eq!(read(name, &body), Ok(command));
    }
}

#[test]
fn faults_with_a_number_of_times_end_by_themselves() {
    let now = Instant::now();
    let mut faults = Faults::default();
    faults.apply(&Command::Error { status: 502, times: Some(2) }, now);
    faults.apply(&Command::Reset { after_tokens: 5, times: Some(1) }, now);
    let verdicts = [0; 4].map(|_| faults.rule(now));
    let refused = |verdict| matches!(verdict, Verdict::Refuse(StatusCode::BAD_GATEWAY, _));
    assert!(refused(verdicts[0]) && refused(verdicts[1]));
    assert_eq!(verdicts[2], Verdict::Serve { reset_after_tokens: Some(5) });
    assert_eq!(verdicts[3], SERVE);
}

#[test]
fn a_hang_lasts_until_healed_and_leaves_metrics_alone_unless_told() {
    let now = Instant::now();
    let mut faults = Faults::default();
    faults.apply(&Command::Hang { scope: Scope::Inference }, now);
    assert_eq!((faults.rule(now), faults.rule_other(now)), (Verdict::Hang, SERVE));
    faults.apply(&Command::Hang { scope: Scope::All }, now);
    assert_eq!((faults.rule(now), faults.rule_other(now)), (Verdict::Hang, Verdict::Hang));
    faults.apply(&Command::Heal {}, now);
    assert_eq!((faults.rule(now), faults.rule_other(now)), (SERVE, SERVE));
}

#[test]
fn a_draining_server_is_not_ready_and_takes_nothing_new() {
    let now = Instant::now();
    let mut faults = Faults::default();
    assert!(faults.is_ready(now));
    faults.apply(&Command::Drain { refuse: true }, now);
    assert!(!faults.is_ready(now));
    assert!(matches!(faults.rule(now), Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE, _)));
    assert_eq!(faults.rule_other(now), SERVE);
    faults.apply(&Command::Drain { refuse: false }, now);
    assert_eq!((faults.is_ready(now), faults.rule(now)), (false, SERVE));
}

#[test]
fn a_slow_start_ends_when_its_time_is_over() {
    let now = Instant::now();
    let mut faults = Faults::starting(now, Duration::from_secs(2));
    assert!(!faults.is_ready(now));
    assert!(matches!(faults.rule_other(now), Verdict::Refuse(..)));
    let later = now + Duration::from_secs(2);
    assert!(faults.is_ready(later));
    assert_eq!(faults.rule(later), SERVE);
    faults.apply(&Command::SlowStart { seconds: 1.0 }, later);
    assert!(!faults.is_ready(later));
}
