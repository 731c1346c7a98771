//! The gateway's listener: one route to the pool, and the `ext_proc` filter that asks the picker.

use serde_json::{Value, json};

use super::{
    Authority, BodyMode, Bootstrap, FailureMode, Files, Filters, MODEL_SERVER_CLUSTER,
    PICKER_CLUSTER, Retry, Routing, any_port, extension, typed, with,
};
use crate::envoy::access_log;

/// The filter's name, which is also the key of the route's override.
const EXT_PROC: &str = "envoy.filters.http.ext_proc";

pub(super) fn render(bootstrap: Bootstrap, files: &Files) -> Value {
    let manager = json!({
        "stat_prefix": "outbound_0.0.0.0_8080",
        "codec_type": "AUTO",
        "use_remote_address": true,
        "normalize_path": true,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": [access_log::sink(&files.access_log)],
        "route_config": {
            "name": "http.8080",
            "validate_clusters": false,
            "ignore_port_in_host_matching": true,
            "virtual_hosts": [{
                "name": "*:8080",
                "domains": ["*"],
                "include_request_attempt_count": true,
                "routes": [route(bootstrap)]
            }]
        },
        "http_filters": http_filters(bootstrap.filters)
    });
    json!({
        "name": "gateway",
        "address": any_port(),
        "filter_chains": [{"filters": [extension(
            "envoy.filters.network.http_connection_manager",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            manager
        )]}]
    })
}

fn route(bootstrap: Bootstrap) -> Value {
    let action = json!({
        "cluster": MODEL_SERVER_CLUSTER,
        "timeout": "0s",
        "max_grpc_timeout": "0s",
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR"
    });
    let action = match bootstrap.retry {
        Retry::Twice => with(action, "retry_policy", retry_policy()),
        Retry::Never => action,
    };
    let route = json!({"name": "ns.route.0", "match": {"prefix": "/"}, "route": action});
    match bootstrap.routing {
        Routing::Picker => {
            with(route, "typed_per_filter_config", json!({EXT_PROC: ask(bootstrap)}))
        }
        Routing::RoundRobin => route,
    }
}

/// Istio's default. It concerns the model server only and never repeats the picker's part.
fn retry_policy() -> Value {
    json!({
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "num_retries": 2,
        "host_selection_retry_max_attempts": 5,
        "retry_host_predicate": [extension(
            "envoy.retry_host_predicates.previous_hosts",
            "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            json!({})
        )]
    })
}

/// The override that makes the listener's filter ask the picker on this route.
fn ask(bootstrap: Bootstrap) -> Value {
    let picker = json!({"cluster_name": PICKER_CLUSTER});
    let picker = match bootstrap.authority {
        Authority::ClusterName => picker,
        Authority::Plain => with(picker, "authority", json!("epp")),
    };
    let overrides = json!({
        "failure_mode_allow": match bootstrap.failure_mode {
            FailureMode::Close => false,
            FailureMode::Open => true,
        },
        "grpc_service": {"envoy_grpc": picker},
        "processing_mode": {
            "request_header_mode": "SEND",
            "request_body_mode": body_mode(bootstrap.request_body),
            "request_trailer_mode": "SEND",
            "response_header_mode": "SEND",
            "response_body_mode": body_mode(bootstrap.response_body),
            "response_trailer_mode": "SEND"
        }
    });
    typed(
        "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute",
        json!({"overrides": overrides}),
    )
}

fn body_mode(mode: BodyMode) -> &'static str {
    match mode {
        BodyMode::FullDuplexStreamed => "FULL_DUPLEX_STREAMED",
        BodyMode::Buffered => "BUFFERED",
        BodyMode::Streamed => "STREAMED",
        BodyMode::None => "NONE",
    }
}

fn http_filters(filters: Filters) -> Vec<Value> {
    let asking = match filters {
        Filters::One => 1,
        Filters::TwoOfOneName => 2,
    };
    let mut chain = vec![ext_proc(); asking];
    chain.extend([
        extension(
            "envoy.filters.http.grpc_stats",
            "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
            json!({"emit_filter_state": true, "stats_for_all_methods": false}),
        ),
        extension(
            "envoy.filters.http.fault",
            "envoy.extensions.filters.http.fault.v3.HTTPFault",
            json!({}),
        ),
        extension(
            "envoy.filters.http.cors",
            "envoy.extensions.filters.http.cors.v3.Cors",
            json!({}),
        ),
        extension(
            "envoy.filters.http.router",
            "envoy.extensions.filters.http.router.v3.Router",
            json!({}),
        ),
    ]);
    chain
}

/// The filter as the listener has it: idle, towards a cluster that does not exist, until a route
/// overrides it. Only `message_timeout` and `metadata_options` reach the routes.
fn ext_proc() -> Value {
    extension(
        EXT_PROC,
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        json!({
            "grpc_service": {"envoy_grpc": {"cluster_name": "dummy"}, "timeout": "10s"},
            "failure_mode_allow": true,
            "processing_mode": {"request_header_mode": "SKIP", "response_header_mode": "SKIP"},
            "message_timeout": "1000s",
            "metadata_options": {
                "receiving_namespaces": {"untyped": ["envoy.lb"]},
                "forwarding_namespaces": {"untyped": ["envoy.lb"]}
            }
        }),
    )
}
