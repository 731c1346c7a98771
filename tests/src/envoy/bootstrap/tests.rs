//! Claims about the generated configuration. That Envoy takes it, and what it then does, is shown
//! by the suite, which starts Envoy.

use super::*;

fn rendered(bootstrap: Bootstrap) -> Value {
    bootstrap.render(&Files::below(Path::new("/run")))
}

#[track_caller]
fn check(bootstrap: Bootstrap, pointer: &str, expected: Option<&Value>) {
    let configuration = rendered(bootstrap);
    assert_eq!(configuration.pointer(pointer), expected, "{pointer}");
}

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const PICKERS: &str = "/static_resources/clusters/0";
const OVERRIDE: &str = "/route_config/virtual_hosts/0/routes/0/typed_per_filter_config/\
    envoy.filters.http.ext_proc/overrides";

#[test]
fn the_default_asks_the_picker_over_tls_and_fails_closed() {
    let default = Bootstrap::default();
    check(default, &format!("{MANAGER}{OVERRIDE}/failure_mode_allow"), Some(&json!(false)));
    let mode = json!({
        "request_header_mode": "SEND",
        "request_body_mode": "FULL_DUPLEX_STREAMED",
        "request_trailer_mode": "SEND",
        "response_header_mode": "SEND",
        "response_body_mode": "FULL_DUPLEX_STREAMED",
        "response_trailer_mode": "SEND"
    });
    check(default, &format!("{MANAGER}{OVERRIDE}/processing_mode"), Some(&mode));
    let socket = json!("envoy.transport_sockets.tls");
    check(default, &format!("{PICKERS}/transport_socket/name"), Some(&socket));
    check(default, &format!("{PICKERS}/outlier_detection"), None);
}

#[test]
fn plaintext_leaves_tls_out() {
    let plaintext = Bootstrap { transport: Transport::Plaintext, ..Bootstrap::default() };
    check(plaintext, &format!("{PICKERS}/transport_socket"), None);
}

#[test]
fn round_robin_has_no_override() {
    let round_robin = Bootstrap { routing: Routing::RoundRobin, ..Bootstrap::default() };
    check(round_robin, &format!("{MANAGER}{OVERRIDE}"), None);
}

#[test]
fn two_filters_share_one_name() {
    let two = Bootstrap { filters: Filters::TwoOfOneName, ..Bootstrap::default() };
    let name = json!("envoy.filters.http.ext_proc");
    check(two, &format!("{MANAGER}/http_filters/0/name"), Some(&name));
    check(two, &format!("{MANAGER}/http_filters/1/name"), Some(&name));
}

#[test]
fn tuned_detection_ejects_at_the_first_reset() {
    let tuned = Bootstrap { detection: Detection::Tuned, ..Bootstrap::default() };
    let ejection = format!("{PICKERS}/outlier_detection/consecutive_local_origin_failure");
    check(tuned, &ejection, Some(&json!(1)));
    check(tuned, &format!("{PICKERS}/connect_timeout"), Some(&json!("1s")));
    let panic = format!("{PICKERS}/common_lb_config/healthy_panic_threshold/value");
    check(tuned, &panic, Some(&json!(34)));
}
