//! Whether flags make sense together, and the settings that they then are.

use std::{path::PathBuf, time::Duration};

use tracing::Level;

use super::{
    CommandLineError, Environment, Pool, Scraping, Serving, Settings, Tls,
    arguments::Given,
    written::{TlsMinVersion, Verbosity, Written},
};
use crate::{
    config::{Overrides, Source},
    logging::{Encoder, LogSettings},
    notation::duration_to_text,
    plugins::MetricSpec,
    replica::StopSettings,
    server::{
        bounds,
        tls::{CertificateSource, OldestVersion},
    },
};

/// The least time between two askings, as in the picker that Convoy replaces.
const SCRAPE_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// What gRPC takes where nothing is said.
const MESSAGE_BYTES_MAX: u32 = 4 << 20;

/// Checks what the flags say together.
pub(super) fn check(
    written: Written,
    given: &Given,
    environment: &Environment,
) -> Result<Settings, CommandLineError> {
    let mut notices = Vec::new();
    let bounds = bounds(&written)?;
    let configuration = configuration(&written)?;
    let scraping = scraping(&written, given, &mut notices)?;
    let serving = serving(&written, given, &mut notices)?;
    notices.extend(without_effect(&written, given));
    let Written { pool_name, pool_namespace, .. } = written;
    let namespace = [Some(pool_namespace), environment.namespace.clone()];
    let namespace = namespace.into_iter().flatten().find(|namespace| !namespace.is_empty());
    Ok(Settings {
        pool: Pool {
            name: Some(pool_name).filter(|name| !name.is_empty()),
            namespace: namespace.unwrap_or_else(|| "default".to_owned()),
            group: written.pool_group,
        },
        configuration,
        serving,
        bounds,
        scraping,
        logging: LogSettings {
            encoder: written.zap_encoder.unwrap_or(if written.zap_devel {
                Encoder::Console
            } else {
                Encoder::Json
            }),
            time: written.zap_time_encoding,
            level: match written.zap_log_level.unwrap_or(Verbosity::of_number(written.v)) {
                Verbosity::Errors => Level::ERROR,
                Verbosity::Usual => Level::INFO,
                Verbosity::Debug => Level::DEBUG,
                Verbosity::Trace => Level::TRACE,
            },
        },
        response_observation: written.response_observation,
        emit_endpoint_scores: written.emit_endpoint_scores,
        respect_subset: !written.disable_endpoint_subset_filter,
        notices,
    })
}

fn configuration(written: &Written) -> Result<Source, CommandLineError> {
    let Written { config_file, config_text, .. } = written;
    match (config_file.as_str(), config_text.as_str()) {
        ("", "") => Ok(Source::BuiltIn),
        (path, "") => Ok(Source::File(path.into())),
        ("", text) => Ok(Source::Text(text.to_owned())),
        (_, _) => Err(CommandLineError::Contradiction {
            first: "config-file",
            second: "config-text",
            remedy: "write the configuration in one place; remove one of them".to_owned(),
        }),
    }
}

fn bounds(written: &Written) -> Result<bounds::Limits, CommandLineError> {
    let &Written { body_bytes_max, bodies_bytes_max, streams_max, .. } = written;
    let &Written { connections_max, transit_bytes_max, .. } = written;
    let positive = |name, value: u64| match value {
        0 => Err(refused(name, "0", "more than 0")),
        _ => Ok(()),
    };
    positive("body-bytes-max", body_bytes_max)?;
    positive("bodies-bytes-max", bodies_bytes_max)?;
    positive("streams-max", u64::from(streams_max))?;
    positive("connections-max", u64::from(connections_max))?;
    positive("transit-bytes-max", transit_bytes_max)?;
    if bodies_bytes_max < body_bytes_max {
        return Err(CommandLineError::Contradiction {
            first: "body-bytes-max",
            second: "bodies-bytes-max",
            remedy: format!(
                "--bodies-bytes-max ({bodies_bytes_max}) counts all bodies together, so it must be \
                 at least --body-bytes-max ({body_bytes_max})"
            ),
        });
    }
    Ok(bounds::Limits {
        connections_max,
        transit_bytes_max,
        streams_max,
        body_bytes_max,
        bodies_bytes_max,
    })
}

fn scraping(
    written: &Written,
    given: &Given,
    notices: &mut Vec<String>,
) -> Result<Scraping, CommandLineError> {
    let mut interval = written.refresh_metrics_interval;
    if interval < SCRAPE_INTERVAL_MIN {
        notices.push(format!(
            "--refresh-metrics-interval {} is raised to the least, {}",
            duration_to_text(interval),
            duration_to_text(SCRAPE_INTERVAL_MIN)
        ));
        interval = SCRAPE_INTERVAL_MIN;
    }
    if written.metrics_staleness_threshold < interval {
        return Err(CommandLineError::Contradiction {
            first: "metrics-staleness-threshold",
            second: "refresh-metrics-interval",
            remedy: format!(
                "a load must stay known at least until the next one: write --metrics-staleness-\
                 threshold {} or more",
                duration_to_text(interval)
            ),
        });
    }
    if written.refresh_prometheus_metrics_interval.is_zero() {
        let name = "refresh-prometheus-metrics-interval";
        return Err(refused(name, "0", "a duration longer than 0"));
    }
    Ok(Scraping {
        interval,
        load_age_max: written.metrics_staleness_threshold,
        overrides: overrides(written, given)?,
    })
}

/// Collects the flags of older releases that stand on the command line.
fn overrides(written: &Written, given: &Given) -> Result<Overrides, CommandLineError> {
    let metric = |name: &'static str, text: &str| match text {
        _ if !given.contains(name) => Ok(None),
        "" => Ok(Some(None)),
        text => match MetricSpec::from_text(text) {
            Some(spec) => Ok(Some(Some(spec))),
            None => Err(refused(name, text, "a metric, as name or name{label=value}")),
        },
    };
    let path = written.model_server_metrics_path.as_str();
    if !path.starts_with('/') {
        return Err(refused("model-server-metrics-path", path, "a path that starts with /"));
    }
    Ok(Overrides {
        port: Some(written.model_server_metrics_port).filter(|&port| port != 0),
        path: given.contains("model-server-metrics-path").then(|| path.to_owned()),
        scheme: given
            .contains("model-server-metrics-scheme")
            .then_some(written.model_server_metrics_scheme),
        insecure_skip_verify: given
            .contains("model-server-metrics-https-insecure-skip-verify")
            .then_some(written.model_server_metrics_https_insecure_skip_verify),
        waiting_requests: metric(
            "total-queued-requests-metric",
            &written.total_queued_requests_metric,
        )?,
        running_requests: metric(
            "total-running-requests-metric",
            &written.total_running_requests_metric,
        )?,
        kv_used_ratio: metric(
            "kv-cache-usage-percentage-metric",
            &written.kv_cache_usage_percentage_metric,
        )?,
        lora: metric("lora-info-metric", &written.lora_info_metric)?,
        cache_info: metric("cache-info-metric", &written.cache_info_metric)?,
    })
}

fn serving(
    written: &Written,
    given: &Given,
    notices: &mut Vec<String>,
) -> Result<Serving, CommandLineError> {
    let ports = [
        ("grpc-port", written.grpc_port),
        ("grpc-health-port", written.grpc_health_port),
        ("metrics-port", written.metrics_port),
    ];
    for (position, &(first, port)) in ports.iter().enumerate() {
        let mut later = ports.iter().skip(position + 1);
        if let Some(&(second, _)) = later.find(|&&(_, other)| port != 0 && port == other) {
            let remedy = format!("both are {port}; give one of them another port");
            return Err(CommandLineError::Contradiction { first, second, remedy });
        }
    }
    if written.request_deadline.is_zero() {
        return Err(refused("request-deadline", "0", "a duration longer than 0"));
    }
    let message_bytes_max = match u32::try_from(written.grpc_max_recv_msg_size) {
        Ok(0) => MESSAGE_BYTES_MAX,
        Ok(bytes) => bytes,
        Err(_) => {
            let value = written.grpc_max_recv_msg_size.to_string();
            let expected = "a count of bytes up to 4294967295, gRPC's own bound";
            return Err(refused("grpc-max-recv-msg-size", &value, expected));
        }
    };
    Ok(Serving {
        grpc_port: written.grpc_port,
        health_port: written.grpc_health_port,
        metrics_port: written.metrics_port,
        health_on_grpc_port: written.health_checking,
        tls: tls(written, given, notices),
        message_bytes_max,
        connection_age_max: Some(written.connection_age_max).filter(|age| !age.is_zero()),
        request_deadline: written.request_deadline,
        stop: StopSettings {
            drain_timeout: written.drain_timeout,
            grace_period: written.termination_grace_period,
        },
    })
}

fn tls(written: &Written, given: &Given, notices: &mut Vec<String>) -> Option<Tls> {
    if !written.secure_serving {
        let idle = ["cert-path", "enable-cert-reload", "tls-min-version", "tls-cipher-suites"];
        let idle = idle.into_iter().filter(|name| given.contains(name));
        notices.extend(idle.map(|name| format!("--{name} has no effect, since TLS is off")));
        return None;
    }
    let certificate = match written.cert_path.as_str() {
        "" => CertificateSource::SelfSigned,
        path => CertificateSource::Directory(PathBuf::from(path)),
    };
    let reload = written.enable_cert_reload && certificate != CertificateSource::SelfSigned;
    if given.contains(&"enable-cert-reload") && written.enable_cert_reload && !reload {
        notices.push("--enable-cert-reload has no effect without --cert-path".to_owned());
    }
    let oldest_version = match written.tls_min_version {
        TlsMinVersion::Spoken(version) => version,
        TlsMinVersion::Unsaid => OldestVersion::default(),
        TlsMinVersion::Outdated => {
            let notice = "--tls-min-version allows versions that this picker does not speak; the \
                          oldest is TLS 1.2";
            notices.push(notice.to_owned());
            OldestVersion::Tls12
        }
    };
    let cipher_suites = written.tls_cipher_suites.clone();
    Some(Tls { certificate, reload, oldest_version, cipher_suites })
}

/// Says which flags were turned on and do nothing here.
fn without_effect(written: &Written, given: &Given) -> Vec<String> {
    let on = |name: &'static str, value: bool| value && given.contains(name);
    let flags = [
        ("tracing", written.tracing, "this version emits no traces"),
        ("enable-pprof", written.enable_pprof, "there is no Go process to profile"),
        (
            "metrics-endpoint-auth",
            written.metrics_endpoint_auth,
            "without Kubernetes there is nobody to ask; metrics are served to all",
        ),
        (
            "ha-enable-leader-election",
            written.ha_enable_leader_election,
            "every replica serves, so none is elected",
        ),
    ];
    let told = flags.into_iter().filter(|&(name, value, _)| on(name, value));
    told.map(|(name, _, why)| format!("--{name} has no effect: {why}")).collect()
}

fn refused(name: &'static str, value: &str, expected: &str) -> CommandLineError {
    CommandLineError::Value { name, value: value.to_owned(), expected: expected.to_owned() }
}
