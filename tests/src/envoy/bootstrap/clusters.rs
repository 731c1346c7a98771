//! The two clusters: picker replicas and model servers, with endpoints from files.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    Bootstrap, Detection, MODEL_SERVER_CLUSTER, PICKER_CLUSTER, Transport, extension, typed, with,
};

/// The picker's cluster: an ordinary Service, balanced by least request.
pub(super) fn pickers(bootstrap: Bootstrap, endpoints: &Path) -> Value {
    let mut cluster = discovered(PICKER_CLUSTER, endpoints);
    cluster.insert("lb_policy".into(), "LEAST_REQUEST".into());
    let keepalive = match bootstrap.detection {
        Detection::Discovery => json!({}),
        Detection::Tuned => {
            cluster.extend(tuned());
            json!({"connection_keepalive": {"interval": "1s", "timeout": "1s"}})
        }
    };
    let protocol = json!({"explicit_http_config": {"http2_protocol_options": keepalive}});
    let protocol = match bootstrap.transport {
        Transport::Plaintext => protocol,
        Transport::Tls => {
            cluster.insert("transport_socket".into(), tls());
            with(protocol, "upstream_http_protocol_options", json!({"auto_sni": true}))
        }
    };
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let options = json!({name: typed(name, protocol)});
    cluster.insert("typed_extension_protocol_options".into(), options);
    Value::Object(cluster)
}

/// The model servers' cluster: the pick in `envoy.lb` metadata decides; without one, or when it
/// names an unknown address, round robin does.
pub(super) fn model_servers(endpoints: &Path) -> Value {
    let mut cluster = discovered(MODEL_SERVER_CLUSTER, endpoints);
    cluster.insert("lb_policy".into(), "CLUSTER_PROVIDED".into());
    let picked = json!({"key": "envoy.lb", "path": [{"key": "x-gateway-destination-endpoint"}]});
    let served =
        json!({"key": "envoy.lb", "path": [{"key": "x-gateway-destination-endpoint-served"}]});
    let round_robin = policy(&extension(
        "envoy.load_balancing_policies.round_robin",
        "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
        json!({}),
    ));
    let override_host = policy(&extension(
        "envoy.load_balancing_policies.override_host",
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
        json!({
            "override_host_sources": [{"metadata": picked}],
            "selected_host_key": served,
            "fallback_policy": round_robin
        }),
    ));
    cluster.insert("load_balancing_policy".into(), override_host);
    Value::Object(cluster)
}

/// What both clusters have: endpoints from the file `endpoints`, and Istio's defaults.
fn discovered(name: &str, endpoints: &Path) -> Map<String, Value> {
    let unlimited = json!({
        "max_connections": u32::MAX,
        "max_pending_requests": u32::MAX,
        "max_requests": u32::MAX,
        "max_retries": u32::MAX,
        "track_remaining": true
    });
    let settings = [
        ("name", json!(name)),
        ("type", json!("EDS")),
        ("eds_cluster_config", {
            json!({"eds_config": {
                "resource_api_version": "V3",
                "path_config_source": {"path": endpoints}
            }})
        }),
        ("connect_timeout", json!("10s")),
        ("common_lb_config", json!({"healthy_panic_threshold": {"value": 0}})),
        ("circuit_breakers", json!({"thresholds": [unlimited]})),
    ];
    settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What the shipped `DestinationRule` becomes: a replica is ejected for two seconds at its first
/// reset, and when fewer than 34 % of them are left, all are used again.
fn tuned() -> Map<String, Value> {
    let settings = [
        ("connect_timeout", json!("1s")),
        ("common_lb_config", json!({"healthy_panic_threshold": {"value": 34}})),
        ("outlier_detection", {
            json!({
                "split_external_local_origin_errors": true,
                "consecutive_local_origin_failure": 1,
                "enforcing_consecutive_local_origin_failure": 100,
                "consecutive_gateway_failure": 3,
                "enforcing_consecutive_gateway_failure": 100,
                "consecutive_5xx": 3,
                "enforcing_consecutive_5xx": 100,
                "enforcing_success_rate": 0,
                "enforcing_local_origin_success_rate": 0,
                "interval": "1s",
                "base_ejection_time": "2s",
                "max_ejection_percent": 100
            })
        }),
    ];
    settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// TLS that accepts any certificate: an empty validation context checks nothing.
fn tls() -> Value {
    let context = json!({
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3"
        },
        "validation_context": {},
        "alpn_protocols": ["h2"]
    });
    extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        json!({"common_tls_context": context}),
    )
}

fn policy(extension: &Value) -> Value {
    json!({"policies": [{"typed_extension_config": extension}]})
}
