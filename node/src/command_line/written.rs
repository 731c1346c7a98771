//! The flags' values as an operator writes them, before it is known that they make sense together.

use std::time::Duration;

use super::settings::{PoolGroup, ResponseObservation};
use crate::{
    logging::{Encoder, TimeEncoding},
    plugins::Scheme,
    server::tls::OldestVersion,
};

/// One field per flag; the default of each is the flag's.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is the value of a switch")]
pub(super) struct Written {
    pub(super) pool_name: String,
    pub(super) pool_namespace: String,
    pub(super) pool_group: PoolGroup,

    pub(super) config_file: String,
    pub(super) config_text: String,
    pub(super) allow_experimental_plugins: bool,

    pub(super) grpc_port: u16,
    pub(super) grpc_health_port: u16,
    pub(super) metrics_port: u16,
    pub(super) health_checking: bool,
    pub(super) grpc_max_recv_msg_size: u64,
    pub(super) grpc_max_send_msg_size: u64,
    pub(super) drain_timeout: Duration,
    pub(super) termination_grace_period: Duration,

    pub(super) secure_serving: bool,
    pub(super) cert_path: String,
    pub(super) enable_cert_reload: bool,
    pub(super) tls_min_version: TlsMinVersion,
    pub(super) tls_cipher_suites: Vec<String>,

    pub(super) disable_endpoint_subset_filter: bool,
    pub(super) emit_endpoint_scores: bool,

    pub(super) refresh_metrics_interval: Duration,
    pub(super) metrics_staleness_threshold: Duration,
    pub(super) refresh_prometheus_metrics_interval: Duration,
    pub(super) model_server_metrics_port: u16,
    pub(super) model_server_metrics_path: String,
    pub(super) model_server_metrics_scheme: Scheme,
    pub(super) model_server_metrics_https_insecure_skip_verify: bool,
    pub(super) total_queued_requests_metric: String,
    pub(super) total_running_requests_metric: String,
    pub(super) kv_cache_usage_percentage_metric: String,
    pub(super) lora_info_metric: String,
    pub(super) cache_info_metric: String,

    pub(super) v: i64,
    pub(super) zap_devel: bool,
    pub(super) zap_encoder: Option<Encoder>,
    pub(super) zap_log_level: Option<Verbosity>,
    pub(super) zap_time_encoding: TimeEncoding,

    pub(super) metrics_endpoint_auth: bool,
    pub(super) enable_pprof: bool,
    pub(super) tracing: bool,
    pub(super) enable_grpc_stream_metrics: bool,
    pub(super) ha_enable_leader_election: bool,

    pub(super) response_observation: ResponseObservation,
    pub(super) body_bytes_max: u64,
    pub(super) bodies_bytes_max: u64,
    pub(super) streams_max: u32,
    pub(super) connections_max: u32,
    pub(super) transit_bytes_max: u64,
    pub(super) request_deadline: Duration,
    pub(super) connection_age_max: Duration,
}

/// The oldest TLS version by its name in Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMinVersion {
    Unsaid,
    /// Older than this picker speaks.
    Outdated,
    Spoken(OldestVersion),
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    Errors,
    Usual,
    Debug,
    Trace,
}

impl Verbosity {
    /// What `-v` means by a number: 2 the usual, 3 verbose, 4 debug, 5 trace.
    pub(super) fn of_number(number: i64) -> Self {
        match number {
            ..4 => Self::Usual,
            4 => Self::Debug,
            5.. => Self::Trace,
        }
    }
}

const MIB: u64 = 1 << 20;

impl Default for Written {
    fn default() -> Self {
        Self {
            pool_name: String::new(),
            pool_namespace: String::new(),
            pool_group: PoolGroup::V1,

            config_file: String::new(),
            config_text: String::new(),
            allow_experimental_plugins: false,

            grpc_port: 9002,
            grpc_health_port: 9003,
            metrics_port: 9090,
            health_checking: false,
            grpc_max_recv_msg_size: 0,
            grpc_max_send_msg_size: 0,
            drain_timeout: Duration::from_secs(30),
            // What Kubernetes gives a pod that asks for nothing else.
            termination_grace_period: Duration::from_secs(30),

            secure_serving: true,
            cert_path: String::new(),
            enable_cert_reload: true,
            tls_min_version: TlsMinVersion::Unsaid,
            tls_cipher_suites: Vec::new(),

            disable_endpoint_subset_filter: false,
            emit_endpoint_scores: false,

            refresh_metrics_interval: Duration::from_millis(50),
            metrics_staleness_threshold: Duration::from_secs(2),
            refresh_prometheus_metrics_interval: Duration::from_secs(5),
            model_server_metrics_port: 0,
            model_server_metrics_path: "/metrics".to_owned(),
            model_server_metrics_scheme: Scheme::Http,
            model_server_metrics_https_insecure_skip_verify: true,
            total_queued_requests_metric: "vllm:num_requests_waiting".to_owned(),
            total_running_requests_metric: "vllm:num_requests_running".to_owned(),
            kv_cache_usage_percentage_metric: "vllm:kv_cache_usage_perc".to_owned(),
            lora_info_metric: "vllm:lora_requests_info".to_owned(),
            cache_info_metric: "vllm:cache_config_info".to_owned(),

            v: 2,
            zap_devel: true,
            zap_encoder: None,
            zap_log_level: None,
            zap_time_encoding: TimeEncoding::Rfc3339,

            metrics_endpoint_auth: true,
            enable_pprof: true,
            tracing: true,
            enable_grpc_stream_metrics: false,
            ha_enable_leader_election: false,

            response_observation: ResponseObservation::Full,
            // A million tokens of text are 4 MiB; images in a request are what needs the rest.
            body_bytes_max: 64 * MIB,
            bodies_bytes_max: 1024 * MIB,
            // An answer of ten minutes at 16 requests a second holds as many streams open.
            streams_max: 10_000,
            // Gateways open one for each of their workers; idle ones take some 100 KB.
            connections_max: 1024,
            transit_bytes_max: 1024 * MIB,
            request_deadline: Duration::from_mins(1),
            connection_age_max: Duration::ZERO,
        }
    }
}
