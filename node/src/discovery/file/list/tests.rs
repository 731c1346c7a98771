//! Lists of endpoints as people write them, right and wrong.

use std::fmt::Write as _;

use super::*;

fn only(text: &str) -> ListedEndpoint {
    let mut listed = parse(text).unwrap();
    assert_eq!(listed.len(), 1);
    listed.remove(0)
}

#[test]
fn an_entry_needs_a_name_an_address_and_a_port() {
    let endpoint = only("endpoints: [{name: a, address: 10.0.0.1, port: '8000'}]");
    assert_eq!(
        endpoint,
        ListedEndpoint {
            key: EndpointKey {
                namespace: "default".into(),
                name: "a".into(),
                address: ([10, 0, 0, 1], 8000).into(),
            },
            metrics_host: "10.0.0.1:8000".into(),
            labels: BTreeMap::new(),
            ready: true,
            incarnation: None,
        }
    );
}

#[test]
fn an_entry_may_tell_all_the_rest() {
    let endpoint = only(
        "endpoints:\n\
         - name: a\n\
         \x20 namespace: prod\n\
         \x20 address: \"fd00::1\"\n\
         \x20 port: \"8000\"\n\
         \x20 metricsHost: metrics.example:9400\n\
         \x20 labels: {llm-d.ai/role: decode, n: \"1\"}\n\
         \x20 ready: false\n\
         \x20 incarnation: \"7\"\n",
    );
    assert_eq!(endpoint.key.namespace, "prod");
    assert_eq!(endpoint.key.address.to_string(), "[fd00::1]:8000");
    assert_eq!(endpoint.metrics_host, "metrics.example:9400");
    assert_eq!(endpoint.labels["llm-d.ai/role"], "decode");
    assert_eq!(endpoint.labels["n"], "1");
    assert!(!endpoint.ready);
    assert_eq!(endpoint.incarnation.as_deref(), Some("7"));
}

#[test]
fn json_is_read_too_and_a_list_may_be_empty() {
    let json = r#"{"endpoints":[{"name":"a","address":"10.0.0.1","port":"1"}]}"#;
    assert_eq!(only(json).key.address.port(), 1);
    assert_eq!(parse("endpoints: []").unwrap(), []);
}

#[test]
fn a_metrics_host_without_a_port_takes_the_endpoints() {
    let host = |written: &str| {
        let entry = format!("{{name: a, address: 10.0.0.1, port: '80', metricsHost: '{written}'}}");
        only(&format!("endpoints: [{entry}]")).metrics_host
    };
    assert_eq!(host("10.9.9.9"), "10.9.9.9:80");
    assert_eq!(host("[fd00::2]"), "[fd00::2]:80");
    assert_eq!(host("[fd00::2]:81"), "[fd00::2]:81");
}

#[test]
fn what_is_wrong_is_named_with_its_place_its_value_and_a_remedy() {
    let entry = |fields: &str| format!("endpoints: [{{{fields}}}]");
    let whole = "name: a, address: 10.0.0.1, port: '80'";
    let rows = [
        (String::new(), "endpoints: is missing", "set it to a list"),
        ("endpoints:".to_owned(), "endpoints: is missing", "[] if there are none"),
        ("endpoints: 1".to_owned(), "endpoints: cannot be 1", "write a list"),
        ("endpoint: []".to_owned(), "endpoint: no such key", "did you mean endpoints?"),
        ("endpoints: []\nx: 1".to_owned(), "x: no such key", "endpoints"),
        ("endpoints: [".to_owned(), "not YAML", ""),
        ("endpoints: [1]".to_owned(), "endpoints[0]: cannot be 1", ""),
        (entry("address: 10.0.0.1, port: '80'"), "endpoints[0].name: is missing", ""),
        (entry("name: a b, address: 10.0.0.1, port: '80'"), "name: cannot be \"a b\"", ""),
        (entry("name: a, port: '80'"), "endpoints[0].address: is missing", ""),
        (
            entry("name: a, adress: 10.0.0.1, port: '80'"),
            "endpoints[0].adress: no such key",
            "did you mean address?",
        ),
        (entry("name: a, address: host, port: '80'"), "address: cannot be \"host\"", "IPv6"),
        (
            entry("name: a, address: '[::1]', port: '80'"),
            "address: cannot be \"[::1]\"",
            "no brackets",
        ),
        (entry("name: a, address: 0.0.0.0, port: '80'"), "address: cannot be \"0.0.0.0\"", ""),
        (entry("name: a, address: 10.0.0.1"), "port: is missing", "in quotes"),
        (entry("name: a, address: 10.0.0.1, port: 80"), "port: cannot be 80", "in quotes"),
        (entry("name: a, address: 10.0.0.1, port: '0'"), "port: cannot be \"0\"", "1 to 65535"),
        (entry("name: a, address: 10.0.0.1, port: '+80'"), "port: cannot be \"+80\"", ""),
        (entry("name: a, address: 10.0.0.1, port: '65536'"), "port: cannot be \"65536\"", ""),
        (
            entry(&format!("{whole}, metricsHost: 'a:'")),
            "metricsHost: cannot be \"a:\"",
            "host:port",
        ),
        (entry(&format!("{whole}, metricsHost: 'u@a:1'")), "metricsHost: cannot be \"u@a:1\"", ""),
        (entry(&format!("{whole}, metricsHost: 'a/b'")), "metricsHost: cannot be \"a/b\"", ""),
        (
            entry(&format!("{whole}, labels: {{a: 1}}")),
            "endpoints[0].labels.a: cannot be 1",
            "quote",
        ),
        (entry(&format!("{whole}, ready: 'yes'")), "ready: cannot be \"yes\"", "true or false"),
        (entry(&format!("{whole}, lables: {{}}")), "endpoints[0].lables: no such key", "labels"),
        (
            format!("endpoints: [{{{whole}}}, {{name: a, address: 10.0.0.2, port: '80'}}]"),
            "endpoints[1].name: cannot be \"a\"",
            "write a name of its own",
        ),
        (
            format!("endpoints: [{{{whole}}}, {{name: b, address: 10.0.0.1, port: '80'}}]"),
            "endpoints[1].address: cannot be \"10.0.0.1\"",
            "write an address and port of its own (10.0.0.1:80",
        ),
        (format!("endpoints: [{{{whole}, name: b}}]"), "not YAML", ""),
    ];
    for (text, said, remedy) in rows {
        let fault = parse(&text).unwrap_err();
        assert!(fault.to_string().contains(said), "{text}: {fault}");
        assert!(fault.problem.remedy().contains(remedy), "{text}: {}", fault.problem.remedy());
    }
}

#[test]
fn a_name_may_stand_in_two_namespaces_and_an_address_on_two_ports() {
    let text = "endpoints:\n\
                - {name: a, address: 10.0.0.1, port: '80'}\n\
                - {name: a, namespace: b, address: 10.0.0.1, port: '81'}\n";
    assert_eq!(parse(text).unwrap().len(), 2);
}

#[test]
fn a_file_of_the_largest_size_is_read() {
    let mut text = String::from("endpoints:\n");
    let mut number = 0_u32;
    while text.len() < 1024 * 1024 - 100 {
        let [_, a, b, c] = number.to_be_bytes();
        writeln!(text, "- {{name: e{number}, address: 10.{a}.{b}.{c}, port: '80'}}").unwrap();
        number += 1;
    }
    assert_eq!(parse(&text).unwrap().len(), number as usize);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z:{}\\[\\]&*\\-'\" \n0-9.,]{0,200}") {
        let _ = parse(&text);
        let _ = parse(&format!("endpoints: [{{{text}}}]"));
    }
}
