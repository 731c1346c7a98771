//! Every flag, in the order of the help.

use super::{
    Flag,
    Group::{
        self, Answers, Bounds, Configuration, Logging, Observability, Pool, Replicas, Scraping,
        Serving, Tls,
    },
    METRICS_SCHEME, POOL_GROUP, RESPONSE_OBSERVATION,
    Slot::{self, Bytes, Count, Integer, List, Port, Switch, Text, Time, Words},
    TLS_MIN_VERSION, ZAP_ENCODER, ZAP_LOG_LEVEL, ZAP_STACKTRACE_LEVEL, ZAP_TIME_ENCODING,
};

const fn flag(group: Group, name: &'static str, slot: Slot, meaning: &'static str) -> Flag {
    Flag { name, group, slot, meaning }
}

/// Every flag that this version takes.
pub(in crate::command_line) const FLAGS: &[Flag] = &[
    flag(
        Pool,
        "pool-name",
        Text("NAME", |w| &mut w.pool_name),
        "Name of the InferencePool that this picker serves; needed only where endpoints come from \
         Kubernetes",
    ),
    flag(
        Pool,
        "pool-namespace",
        Text("NAME", |w| &mut w.pool_namespace),
        "Its namespace; if empty $NAMESPACE, else \"default\"",
    ),
    flag(
        Pool,
        "pool-group",
        Words(&POOL_GROUP),
        "Its API group: inference.networking.k8s.io, or the older \
         inference.networking.x-k8s.io",
    ),
    flag(
        Configuration,
        "config-file",
        Text("PATH", |w| &mut w.config_file),
        "The EndpointPickerConfig; without it and --config-text a built-in one is used",
    ),
    flag(
        Configuration,
        "config-text",
        Text("YAML", |w| &mut w.config_text),
        "The EndpointPickerConfig itself, instead of a file",
    ),
    flag(
        Configuration,
        "allow-experimental-plugins",
        Switch(|w| &mut w.allow_experimental_plugins),
        "Accepted for compatibility; no plugin here needs it",
    ),
    flag(Serving, "grpc-port", Port(|w| &mut w.grpc_port), "Where Envoy asks (ext_proc)"),
    flag(
        Serving,
        "grpc-health-port",
        Port(|w| &mut w.grpc_health_port),
        "Where probes ask (gRPC health, never with TLS)",
    ),
    flag(
        Serving,
        "metrics-port",
        Port(|w| &mut w.metrics_port),
        "Where Prometheus asks, at /metrics",
    ),
    flag(
        Serving,
        "health-checking",
        Switch(|w| &mut w.health_checking),
        "Answers gRPC health on the port that Envoy asks, too",
    ),
    flag(
        Serving,
        "grpc-max-recv-msg-size",
        Bytes(|w| &mut w.grpc_max_recv_msg_size),
        "The longest message taken from Envoy; 0: 4Mi",
    ),
    flag(
        Serving,
        "grpc-max-send-msg-size",
        Bytes(|w| &mut w.grpc_max_send_msg_size),
        "Accepted for compatibility; answers are never longer than 64Ki",
    ),
    flag(
        Serving,
        "connection-age-max",
        Time(|w| &mut w.connection_age_max),
        "Asks Envoy to open a new connection after this time, so that connections spread \
         over replicas; 0: never",
    ),
    flag(
        Serving,
        "drain-timeout",
        Time(|w| &mut w.drain_timeout),
        "How long after SIGTERM new streams are still served at most; 0: not at all",
    ),
    flag(
        Serving,
        "termination-grace-period",
        Time(|w| &mut w.termination_grace_period),
        "The pod's terminationGracePeriodSeconds: shortly before it ends, streams that are \
         still open are left so that their answers pass whole",
    ),
    flag(Tls, "secure-serving", Switch(|w| &mut w.secure_serving), "Speaks TLS with Envoy"),
    flag(
        Tls,
        "cert-path",
        Text("DIRECTORY", |w| &mut w.cert_path),
        "Holds tls.crt and tls.key; without it a self-signed certificate is made",
    ),
    flag(
        Tls,
        "enable-cert-reload",
        Switch(|w| &mut w.enable_cert_reload),
        "Takes up a changed certificate without a restart",
    ),
    flag(
        Tls,
        "tls-min-version",
        Words(&TLS_MIN_VERSION),
        "The oldest version of TLS: VersionTLS12 or VersionTLS13",
    ),
    flag(
        Tls,
        "tls-cipher-suites",
        List(|w| &mut w.tls_cipher_suites),
        "Cipher suites of TLS 1.2 by their names in Go; those of TLS 1.3 are fixed",
    ),
    flag(
        Answers,
        "response-observation",
        Words(&RESPONSE_OBSERVATION),
        "Which answers pass through the picker: full (all: every metric), off (none: a \
         killed replica cuts none), or the share that does, such as 0.05",
    ),
    flag(
        Answers,
        "emit-endpoint-scores",
        Switch(|w| &mut w.emit_endpoint_scores),
        "Tells Envoy every endpoint's score, in the metadata of each pick",
    ),
    flag(
        Answers,
        "disable-endpoint-subset-filter",
        Switch(|w| &mut w.disable_endpoint_subset_filter),
        "Picks outside the subset that a gateway allows",
    ),
    flag(
        Bounds,
        "body-bytes-max",
        Bytes(|w| &mut w.body_bytes_max),
        "The longest request body; a longer one is refused with 413",
    ),
    flag(
        Bounds,
        "bodies-bytes-max",
        Bytes(|w| &mut w.bodies_bytes_max),
        "What is held of the bodies of requests and responses at once, all streams together; \
         beyond it requests are refused with 503, and responses pass as they come",
    ),
    flag(
        Bounds,
        "streams-max",
        Count(|w| &mut w.streams_max),
        "Streams open at once; beyond it requests are refused with 503",
    ),
    flag(
        Bounds,
        "connections-max",
        Count(|w| &mut w.connections_max),
        "Connections from gateways at once; further ones are closed",
    ),
    flag(
        Bounds,
        "transit-bytes-max",
        Bytes(|w| &mut w.transit_bytes_max),
        "Messages that came in part, and answers that Envoy has not taken, all connections \
         together; beyond it streams end with RESOURCE_EXHAUSTED or are reset",
    ),
    flag(
        Bounds,
        "request-deadline",
        Time(|w| &mut w.request_deadline),
        "From a request's headers to its pick; beyond it the request is refused with 504",
    ),
    flag(
        Scraping,
        "refresh-metrics-interval",
        Time(|w| &mut w.refresh_metrics_interval),
        "Between two askings of one model server; at least 50ms",
    ),
    flag(
        Scraping,
        "metrics-staleness-threshold",
        Time(|w| &mut w.metrics_staleness_threshold),
        "A load older than this is unknown, and unknown is not idle",
    ),
    flag(
        Scraping,
        "model-server-metrics-port",
        Port(|w| &mut w.model_server_metrics_port),
        "(older releases) The metrics page's port; 0: the endpoint's own",
    ),
    flag(
        Scraping,
        "model-server-metrics-path",
        Text("PATH", |w| &mut w.model_server_metrics_path),
        "(older releases) The metrics page's path",
    ),
    flag(
        Scraping,
        "model-server-metrics-scheme",
        Words(&METRICS_SCHEME),
        "(older releases) How the metrics page is asked for: http or https",
    ),
    flag(
        Scraping,
        "model-server-metrics-https-insecure-skip-verify",
        Switch(|w| &mut w.model_server_metrics_https_insecure_skip_verify),
        "(older releases) Takes any certificate of a model server",
    ),
    flag(
        Scraping,
        "total-queued-requests-metric",
        Text("METRIC", |w| &mut w.total_queued_requests_metric),
        "(older releases) What vLLM calls its waiting requests; empty: nothing",
    ),
    flag(
        Scraping,
        "total-running-requests-metric",
        Text("METRIC", |w| &mut w.total_running_requests_metric),
        "(older releases) What vLLM calls its running requests; empty: nothing",
    ),
    flag(
        Scraping,
        "kv-cache-usage-percentage-metric",
        Text("METRIC", |w| &mut w.kv_cache_usage_percentage_metric),
        "(older releases) What vLLM calls the used share of its KV cache; empty: nothing",
    ),
    flag(
        Scraping,
        "lora-info-metric",
        Text("METRIC", |w| &mut w.lora_info_metric),
        "(older releases) Where vLLM tells its LoRA adapters; empty: nowhere",
    ),
    flag(
        Scraping,
        "cache-info-metric",
        Text("METRIC", |w| &mut w.cache_info_metric),
        "(older releases) Where vLLM tells the size of its cache; empty: nowhere",
    ),
    flag(
        Logging,
        "v",
        Integer(|w| &mut w.v),
        "How much is logged: 2 the usual, 4 for debugging, 5 everything",
    ),
    flag(Logging, "zap-encoder", Words(&ZAP_ENCODER), "How log lines are written: json or console"),
    flag(
        Logging,
        "zap-log-level",
        Words(&ZAP_LOG_LEVEL),
        "Instead of --v: debug, info, error, panic, or a number as for --v",
    ),
    flag(
        Logging,
        "zap-devel",
        Switch(|w| &mut w.zap_devel),
        "Without --zap-encoder: true writes for the console, false writes JSON",
    ),
    flag(
        Logging,
        "zap-time-encoding",
        Words(&ZAP_TIME_ENCODING),
        "How times are written: epoch, millis, nanos, iso8601, rfc3339 or rfc3339nano",
    ),
    flag(
        Logging,
        "zap-stacktrace-level",
        Words(&ZAP_STACKTRACE_LEVEL),
        "Accepted for compatibility; there are no stack traces",
    ),
    flag(
        Observability,
        "refresh-prometheus-metrics-interval",
        Time(|w| &mut w.refresh_prometheus_metrics_interval),
        "Accepted for compatibility; the pool's metrics are computed whenever they are asked for",
    ),
    flag(
        Observability,
        "enable-grpc-stream-metrics",
        Switch(|w| &mut w.enable_grpc_stream_metrics),
        "Accepted for compatibility; ext_proc streams are always counted",
    ),
    flag(
        Observability,
        "metrics-endpoint-auth",
        Switch(|w| &mut w.metrics_endpoint_auth),
        "Accepted for compatibility; without Kubernetes there is nobody to ask who may \
         read metrics",
    ),
    flag(
        Observability,
        "enable-pprof",
        Switch(|w| &mut w.enable_pprof),
        "Accepted for compatibility; profiles of a Go process do not exist here",
    ),
    flag(
        Observability,
        "tracing",
        Switch(|w| &mut w.tracing),
        "Accepted for compatibility; this version emits no traces",
    ),
    flag(
        Replicas,
        "ha-enable-leader-election",
        Switch(|w| &mut w.ha_enable_leader_election),
        "Accepted for compatibility; every replica serves, so none is elected",
    ),
];

/// Flags that the picker that Convoy replaces has, or that Convoy will have, and what to do instead.
pub(in crate::command_line) const NOT_YET: &[(&str, &str)] = &[
    (
        "endpoint-selector",
        "name the endpoints in a file: plugin file-discovery in the configuration",
    ),
    (
        "endpoint-target-ports",
        "name the endpoints in a file: plugin file-discovery in the configuration",
    ),
    ("kubeconfig", "name the endpoints in a file: plugin file-discovery in the configuration"),
    ("metrics-client-ca-file", "remove it; metrics are served without TLS"),
    ("metrics-cert-dir", "remove it; metrics are served without TLS"),
    ("replica-name", "remove it; one replica runs alone"),
    ("cluster-peers", "remove it; one replica runs alone"),
    ("cluster-size", "remove it; one replica runs alone"),
    ("cluster-listen", "remove it; one replica runs alone"),
    ("cluster-advertise", "remove it; one replica runs alone"),
    ("cluster-cert", "remove it; one replica runs alone"),
    ("cluster-key", "remove it; one replica runs alone"),
    ("cluster-ca", "remove it; one replica runs alone"),
    ("cluster-insecure", "remove it; one replica runs alone"),
    ("cluster-secret-file", "remove it; one replica runs alone"),
    ("data-dir", "remove it; one replica runs alone"),
    (
        "index-memory-max",
        "remove it; plugin approx-prefix-cache-producer bounds the index by lruCapacityPerServer",
    ),
    ("admin-listen", "remove it; metrics are at --metrics-port"),
];
