//! `node/METRICS.md` is what a picker's own metrics page says of itself.

use std::collections::{BTreeMap, BTreeSet};

use convoy_tests::processes::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::{
    messages::{END, MORE, request_body, request_headers, response_body, response_headers},
    picker::{Picker, SOON, Setup},
};

/// Where the tables begin in the document.
const MARK: &str =
    "<!-- From here on the page itself; see node/tests/suite/extproc/metrics_reference.rs. -->\n";

/// Set it to write the document anew.
const WRITE: &str = "CONVOY_WRITE";

#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    /// In the order of the page.
    labels: Vec<String>,
}

/// Reads the families off a page, by the names of their samples.
fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
            families.entry(name.to_owned()).or_default().help = help.into();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().kind = kind.into();
        } else if let Some((sample, rest)) = line.split_once('{') {
            let ends = ["_total", "_bucket", "_sum", "_count", ""];
            let mut names = ends.iter().filter_map(|end| sample.strip_suffix(end));
            let name = names.find(|name| families.contains_key(*name)).unwrap();
            let labels = &mut families.get_mut(name).unwrap().labels;
            for label in rest.split("\",").filter_map(|label| label.split_once("=\"")) {
                if label.0 != "le" && !labels.iter().any(|known| known == label.0) {
                    labels.push(label.0.to_owned());
                }
            }
        }
    }
    let sampled = |(name, family): (String, Family)| {
        let end = if family.kind == "counter" { "_total" } else { "" };
        (format!("{name}{end}"), family)
    };
    families.into_iter().map(sampled).collect()
}

/// The tables of the document.
fn tables(families: &BTreeMap<String, Family>) -> String {
    let mut older: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, family) in families {
        let successor = family.help.split_once("[Deprecated: Use ");
        if let Some((successor, _)) = successor.and_then(|(_, rest)| rest.split_once(']')) {
            older.insert(successor, name);
        }
    }
    let is_older = |name: &str| older.values().any(|known| *known == name);
    let row = |name: &str, family: &Family, before: Option<&str>| {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        let help = family.help.trim_start_matches("[ALPHA] ").trim_end_matches('.');
        let before = before.map(|before| format!("{before} | ")).unwrap_or_default();
        format!("| `{name}` | {before}{} | {labels} | {help} |\n", family.kind)
    };
    let (mut shared, mut own) = (String::new(), String::new());
    for (name, family) in families.iter().filter(|(name, _)| !is_older(name)) {
        if name.starts_with("convoy_") {
            own += &row(name, family, None);
        } else {
            let before = older.get(&**name).map_or("-".to_owned(), |older| format!("`{older}`"));
            shared += &row(name, family, Some(&before));
        }
    }
    format!(
        "\n## Under the names of the picker that Convoy replaces\n\n\
         | name | also under its older name | type | labels | what it tells |\n\
         |---|---|---|---|---|\n{shared}\n\
         ## Convoy's own\n\n\
         | name | type | labels | what it tells |\n|---|---|---|---|\n{own}"
    )
}

/// A model server's page, at an address of its own, until what is returned is dropped.
async fn model_server() -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let page =
        "vllm:num_requests_waiting 1\nvllm:num_requests_running 1\nvllm:kv_cache_usage_perc 0.5\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{page}",
        page.len()
    );
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            while let Ok(1..) = socket.read(&mut asked).await {
                if socket.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (address, serving)
}

/// The page of a picker that has done everything that metrics tell of.
async fn busy_page() -> String {
    let (metrics_host, _serving) = model_server().await;
    let picker = Picker::start(Setup { metrics_host: &metrics_host, ..Setup::default() }).await;
    let gateway = picker.gateway().await;
    let usage = r#"{"usage":{"prompt_tokens":7,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":3}}}"#;
    for kind in ["application/json", "text/event-stream"] {
        let prompt = "words ".repeat(100);
        let body = format!(r#"{{"model":"m","prompt":"{prompt}"}}"#);
        let mut stream = gateway.ask([request_headers(&[], MORE), request_body(body, END)]);
        stream.answer().await;
        stream.say(response_headers(&[("content-type", kind)], MORE));
        stream.say(response_body(format!("data: {usage}\n\n"), MORE));
        stream.say(response_body("data: [DONE]\n\n", END));
        stream.rest().await;
    }
    gateway.ask([request_headers(&[], MORE), request_body("{", END)]).rest().await;
    let sampled = async || {
        let page = picker.metrics_page().await;
        page.contains("llm_d_epp_per_endpoint_queue_size{").then_some(page)
    };
    eventually("a sample of the model server", SOON, sampled).await.unwrap()
}

#[tokio::test]
async fn every_metric_is_documented_as_the_page_has_it() {
    let page = busy_page().await;
    let families = families(&page);
    let dotted = |family: &Family| family.help.ends_with('.') && !family.help.ends_with("..");
    let odd: Vec<_> = families.iter().filter(|(_, family)| !dotted(family)).collect();
    assert!(odd.is_empty(), "help that does not end in one dot: {odd:#?}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (above, found) = document.split_once(MARK).expect("the mark before the tables");
    let expected = tables(&families);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, format!("{above}{MARK}{expected}")).unwrap();
    } else {
        let (found, expected): (BTreeSet<_>, BTreeSet<_>) =
            (found.lines().collect(), expected.lines().collect());
        let (gone, missing): (Vec<_>, Vec<_>) =
            (found.difference(&expected).collect(), expected.difference(&found).collect());
        assert!(
            gone.is_empty() && missing.is_empty(),
            "{path} is not what the page says; write it with {WRITE}=1 and this test.\n\
             It has, and should not: {gone:#?}\nIt should have: {missing:#?}"
        );
    }
}

#[test]
fn families_are_read_with_type_help_and_labels() {
    let page = "# HELP a Some words.\n# TYPE a counter\na_total{b=\"c\",d=\"e\"} 1\n";
    let found = families(page);
    let family = &found["a_total"];
    assert_eq!((&*family.kind, &*family.help), ("counter", "Some words."));
    assert_eq!(family.labels, ["b", "d"]);
}
