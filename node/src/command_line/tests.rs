//! What command lines mean, and what is said of those that mean nothing.

mod table;

use std::time::Duration;

use tracing::Level;

use super::*;
use crate::{
    config::{Overrides, Source},
    logging::{Encoder, TimeEncoding},
    plugins::{MetricSpec, Scheme},
    replica::StopSettings,
    server::{
        bounds,
        tls::{CertificateSource, OldestVersion},
    },
};

fn invoked(arguments: &[&str]) -> Result<Invocation, CommandLineError> {
    parse(arguments.iter().map(OsString::from), &Environment::default())
}

#[track_caller]
fn settings(arguments: &[&str]) -> Settings {
    match invoked(arguments) {
        Ok(Invocation::Run(settings)) => *settings,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[track_caller]
fn refused(arguments: &[&str], expected: &str) {
    let error = invoked(arguments).unwrap_err();
    assert_eq!(format!("{error}; {}", error.remedy()), expected);
}

#[test]
fn the_istio_manual_s_own_arguments_are_understood() {
    let settings = settings(&[
        "--pool-name",
        "inference-model-server-pool",
        "--pool-namespace",
        "inference-model-server",
        "--v",
        "4",
        "--zap-encoder",
        "json",
        "--config-file",
        "/config/default-plugins.yaml",
    ]);
    assert_eq!(settings.pool.name.as_deref(), Some("inference-model-server-pool"));
    assert_eq!(settings.pool.namespace, "inference-model-server");
    assert_eq!(settings.configuration, Source::File("/config/default-plugins.yaml".into()));
    assert_eq!(settings.logging.encoder, Encoder::Json);
    assert_eq!(settings.logging.level, Level::DEBUG);
    assert_eq!(settings.notices, [""; 0]);
}

#[test]
fn the_chart_s_arguments_are_understood() {
    let settings = settings(&[
        "--pool-name=p",
        "--pool-namespace=ns",
        "--pool-group",
        "inference.networking.k8s.io",
        "--zap-encoder",
        "json",
        "--config-file",
        "/config/default-plugins.yaml",
        "--ha-enable-leader-election",
        "--grpc-health-port",
        "9003",
        "--tracing=false",
        "--metrics-endpoint-auth=false",
        "--allow-experimental-plugins=true",
    ]);
    assert_eq!(settings.serving.health_port, 9003);
    assert_eq!(
        settings.notices,
        ["--ha-enable-leader-election has no effect: every replica serves, so none is elected"]
    );
}

#[test]
fn without_arguments_every_default_holds() {
    let settings = settings(&[]);
    assert_eq!(
        settings.pool,
        Pool { name: None, namespace: "default".into(), group: PoolGroup::V1 }
    );
    assert_eq!(settings.configuration, Source::BuiltIn);
    let serving = Serving {
        grpc_port: 9002,
        health_port: 9003,
        metrics_port: 9090,
        health_on_grpc_port: false,
        tls: Some(Tls {
            certificate: CertificateSource::SelfSigned,
            reload: false,
            oldest_version: OldestVersion::Tls12,
            cipher_suites: Vec::new(),
        }),
        message_bytes_max: 4 << 20,
        connection_age_max: None,
        request_deadline: Duration::from_mins(1),
        stop: StopSettings {
            drain_timeout: Duration::from_secs(30),
            grace_period: Duration::from_secs(30),
        },
    };
    assert_eq!(settings.serving, serving);
    let scraping = Scraping {
        interval: Duration::from_millis(50),
        load_age_max: Duration::from_secs(2),
        overrides: Overrides::default(),
    };
    assert_eq!(settings.scraping, scraping);
    assert_eq!(settings.logging.level, Level::INFO);
    assert_eq!(settings.logging.encoder, Encoder::Console);
    assert_eq!(settings.logging.time, TimeEncoding::Rfc3339);
    assert_eq!(settings.response_observation, ResponseObservation::Full);
    assert!(settings.respect_subset && !settings.emit_endpoint_scores);
    assert_eq!(settings.notices, [""; 0]);
}

#[test]
fn every_form_of_a_flag_means_the_same() {
    for form in [
        &["--grpc-port", "7"] as &[&str],
        &["--grpc-port=7"],
        &["-grpc-port", "7"],
        &["-grpc-port=7"],
        &["--grpc-port=1", "--grpc-port=7"],
        &["", "--grpc-port", "7", ""],
        &["--grpc-port", "7", "--", ""],
    ] {
        assert_eq!(invoked(form).map(|_| settings(form).serving.grpc_port), Ok(7), "{form:?}");
    }
}

#[test]
fn verbosity_may_be_written_in_each_of_go_s_ways() {
    for form in [&["-v", "5"] as &[&str], &["-v=5"], &["-v5"], &["--v", "5"], &["--v=5"]] {
        assert_eq!(settings(form).logging.level, Level::TRACE, "{form:?}");
    }
    assert_eq!(settings(&["-v", "-3"]).logging.level, Level::INFO);
    assert_eq!(settings(&["--v=3"]).logging.level, Level::INFO);
}

#[test]
fn a_log_level_goes_before_verbosity() {
    let level = |value| settings(&["--v=5", "--zap-log-level", value]).logging.level;
    assert_eq!(level("error"), Level::ERROR);
    assert_eq!(level("INFO"), Level::INFO);
    assert_eq!(level("debug"), Level::DEBUG);
    assert_eq!(level("2"), Level::INFO);
    refused(
        &["--zap-log-level=0"],
        "--zap-log-level cannot be \"0\"; write debug, info, error, panic, or a whole number from 1 on",
    );
}

#[test]
fn the_encoder_follows_development_mode_unless_said() {
    let encoder = |arguments: &[&str]| settings(arguments).logging.encoder;
    assert_eq!(encoder(&["--zap-devel=false"]), Encoder::Json);
    assert_eq!(encoder(&["--zap-devel=false", "--zap-encoder=console"]), Encoder::Console);
    assert_eq!(encoder(&["--zap-devel", "--zap-stacktrace-level=panic"]), Encoder::Console);
    let time = settings(&["--zap-time-encoding", "nanos"]).logging.time;
    assert_eq!(time, TimeEncoding::Nano);
}

#[test]
fn the_namespace_comes_from_the_environment_unless_said() {
    let environment = Environment { namespace: Some("env".to_owned()) };
    let namespace =
        |arguments: &[&str]| match parse(arguments.iter().map(OsString::from), &environment) {
            Ok(Invocation::Run(settings)) => settings.pool.namespace,
            other => panic!("{other:?}"),
        };
    assert_eq!(namespace(&[]), "env");
    assert_eq!(namespace(&["--pool-namespace", ""]), "env");
    assert_eq!(namespace(&["--pool-namespace", "flag"]), "flag");
}

#[test]
fn tls_is_read_whole() {
    let settings = settings(&[
        "--cert-path=/certs",
        "--enable-cert-reload",
        "--tls-min-version=VersionTLS13",
        "--tls-cipher-suites=A,B",
        "--tls-cipher-suites=C",
    ]);
    let expected = Tls {
        certificate: CertificateSource::Directory("/certs".into()),
        reload: true,
        oldest_version: OldestVersion::Tls13,
        cipher_suites: vec!["A".into(), "B".into(), "C".into()],
    };
    assert_eq!(settings.serving.tls, Some(expected));
}

#[test]
fn flags_that_do_nothing_beside_others_are_told() {
    let told = settings(&["--secure-serving=false", "--cert-path=/c"]);
    assert_eq!(told.serving.tls, None);
    assert_eq!(told.notices, ["--cert-path has no effect, since TLS is off"]);
    let told = settings(&["--enable-cert-reload", "--tls-min-version", "VersionTLS10"]);
    assert_eq!(told.notices.len(), 2, "{:?}", told.notices);
    assert_eq!(settings(&["--refresh-metrics-interval=1ms"]).notices.len(), 1);
}

#[test]
fn sizes_and_durations_are_read_in_their_notations() {
    let settings = settings(&[
        "--body-bytes-max=5MB",
        "--bodies-bytes-max=1Gi",
        "--streams-max=7",
        "--connections-max=9",
        "--transit-bytes-max=6Ki",
        "--grpc-max-recv-msg-size=10MiB",
        "--grpc-max-send-msg-size=",
        "--connection-age-max=1m30s",
        "--request-deadline=1.5s",
        "--drain-timeout=0",
        "--termination-grace-period=2m10s",
    ]);
    let bounds = bounds::Limits {
        body_bytes_max: 5_000_000,
        bodies_bytes_max: 1 << 30,
        streams_max: 7,
        connections_max: 9,
        transit_bytes_max: 6 << 10,
    };
    assert_eq!(settings.bounds, bounds);
    assert_eq!(settings.serving.message_bytes_max, 10 << 20);
    assert_eq!(settings.serving.connection_age_max, Some(Duration::from_secs(90)));
    assert_eq!(settings.serving.request_deadline, Duration::from_millis(1500));
    let stop =
        StopSettings { drain_timeout: Duration::ZERO, grace_period: Duration::from_secs(130) };
    assert_eq!(settings.serving.stop, stop);
}

#[test]
fn observation_is_full_off_or_a_share() {
    let observation = |value| settings(&["--response-observation", value]).response_observation;
    assert_eq!(observation("full"), ResponseObservation::Full);
    assert_eq!(observation("1.0"), ResponseObservation::Full);
    assert_eq!(observation("off"), ResponseObservation::Off);
    assert_eq!(observation("0"), ResponseObservation::Off);
    let twentieth = Share::new(0.05).map(ResponseObservation::Some);
    assert_eq!(Some(observation("0.05")), twentieth);
    for wrong in ["1.5", "-0.1", "NaN", "half", ""] {
        assert!(invoked(&["--response-observation", wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn flags_of_older_releases_override_how_pages_are_asked_for_and_read() {
    let overrides = settings(&[
        "--model-server-metrics-port=9400",
        "--model-server-metrics-path=/m",
        "--model-server-metrics-scheme=https",
        "--model-server-metrics-https-insecure-skip-verify=false",
        "--total-queued-requests-metric=q{a=b}",
        "--lora-info-metric=",
    ])
    .scraping
    .overrides;
    assert_eq!(overrides.port, Some(9400));
    assert_eq!(overrides.path.as_deref(), Some("/m"));
    assert_eq!(overrides.scheme, Some(Scheme::Https));
    assert_eq!(overrides.insecure_skip_verify, Some(false));
    assert_eq!(overrides.waiting_requests, Some(MetricSpec::from_text("q{a=b}")));
    assert_eq!(overrides.lora, Some(None));
    assert_eq!(overrides.kv_used_ratio, None);
}

#[test]
fn an_unknown_flag_suggests_the_nearest() {
    refused(&["--pool-nmae", "x"], "there is no flag --pool-nmae; did you mean --pool-name?");
    refused(&["-grpc_port=1"], "there is no flag -grpc_port; did you mean --grpc-port?");
    refused(&["--zebra"], "there is no flag --zebra; --help lists the flags");
    refused(&["-vv"], "there is no flag -vv; --help lists the flags");
}

#[test]
fn a_flag_of_another_version_is_told_from_an_unknown_one() {
    refused(
        &["--endpoint-selector=app=x"],
        "flag --endpoint-selector is known, but not available in this version; name the endpoints in \
         a file: plugin file-discovery in the configuration",
    );
}

#[test]
fn a_value_that_does_not_fit_is_named_with_its_flag() {
    refused(
        &["--grpc-port", "70000"],
        "--grpc-port cannot be \"70000\"; write a port from 0 to 65535",
    );
    refused(
        &["--drain-timeout=30"],
        "--drain-timeout cannot be \"30\"; write a duration such as 50ms, 2s or 1m30s",
    );
    refused(&["--secure-serving=no"], "--secure-serving cannot be \"no\"; write true or false");
    refused(
        &["--total-queued-requests-metric=1x"],
        "--total-queued-requests-metric cannot be \"1x\"; write a metric, as name or name{label=value}",
    );
}

#[test]
fn a_flag_without_its_value_is_refused() {
    refused(&["--pool-name"], "flag --pool-name has no value; write a value (name)");
    refused(&["--pool-name", "--v", "4"], "flag --pool-name has no value; write a value (name)");
}

#[test]
fn an_argument_that_belongs_to_no_flag_is_refused() {
    refused(&["serve"], "argument \"serve\" belongs to no flag; remove it");
    refused(
        &["--tracing", "false"],
        "argument \"false\" belongs to no flag; a switch takes its value after an equals sign: \
         --tracing=false",
    );
    refused(&["--", "x"], "argument \"x\" belongs to no flag; remove it");
}

#[test]
fn settings_that_contradict_each_other_name_both_flags() {
    refused(
        &["--config-file=/a", "--config-text=b"],
        "--config-file and --config-text contradict each other; write the configuration in one \
         place; remove one of them",
    );
    refused(
        &["--metrics-port=9002"],
        "--grpc-port and --metrics-port contradict each other; both are 9002; give one of them \
         another port",
    );
    refused(
        &["--body-bytes-max=2", "--bodies-bytes-max=1"],
        "--body-bytes-max and --bodies-bytes-max contradict each other; --bodies-bytes-max (1) \
         counts all bodies together, so it must be at least --body-bytes-max (2)",
    );
    refused(
        &["--metrics-staleness-threshold=1s", "--refresh-metrics-interval=2s"],
        "--metrics-staleness-threshold and --refresh-metrics-interval contradict each other; a load \
         must stay known at least until the next one: write --metrics-staleness-threshold 2s or more",
    );
    assert!(invoked(&["--grpc-port=0", "--metrics-port=0", "--grpc-health-port=0"]).is_ok());
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let argument = OsString::from_vec(vec![0xff]);
    let refused = parse([OsString::new(), argument], &Environment::default());
    assert_eq!(refused, Err(CommandLineError::NotUtf8 { position: 2 }));
}

#[test]
fn help_is_asked_for_anywhere() {
    for form in [&["--help"] as &[&str], &["-h"], &["--v", "4", "-help", "--nonsense"]] {
        assert_eq!(invoked(form), Ok(Invocation::Help), "{form:?}");
    }
}
