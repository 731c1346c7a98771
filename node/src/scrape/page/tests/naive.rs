//! A second reader, written for plainness alone, and pages that both must read alike.

use proptest::prelude::*;

use super::*;

/// A sample line cut into parts.
#[derive(Debug, Clone)]
struct Line {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
    timestamp: f64,
}

fn cut(line: &str) -> Option<Line> {
    let mut rest = line.trim_start_matches([' ', '\t']);
    let name_end = rest.find([' ', '\t', '{'])?;
    let name = rest[..name_end].to_owned();
    rest = rest[name_end..].trim_start_matches([' ', '\t']);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        let mut letters = inside.chars().peekable();
        loop {
            while letters.next_if(|c| " \t".contains(*c)).is_some() {}
            if letters.next_if_eq(&'}').is_some() {
                break;
            }
            labels.push(cut_label(&mut letters)?);
            while letters.next_if(|c| " \t".contains(*c)).is_some() {}
            match letters.next()? {
                ',' => {}
                '}' => break,
                _ => return None,
            }
        }
        rest = &inside[inside.len() - letters.collect::<String>().len()..];
    }
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = words.next()?.parse().ok()?;
    let timestamp = words.next().map_or(Some(0.0), |word| word.parse().ok())?;
    words.next().is_none().then_some(Line { name, labels, value, timestamp })
}

fn cut_label(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<(String, String)> {
    let mut name = String::new();
    while let Some(c) = letters.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    if name.is_empty() || letters.next() != Some('=') || letters.next() != Some('"') {
        return None;
    }
    let mut value = String::new();
    loop {
        match letters.next()? {
            '"' => return Some((name, value)),
            '\\' => match letters.next()? {
                'n' => value.push('\n'),
                c @ ('"' | '\\') => value.push(c),
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
}

/// Waiting, running (of label `a="x"`) and the KV share, the slow way.
fn slow(page: &str) -> (Option<u32>, Option<u32>, Option<f64>) {
    let lines: Vec<Line> = page.lines().filter_map(cut).collect();
    let value = |name: &str, label: Option<(&str, &str)>| {
        let mut best: Option<&Line> = None;
        for line in lines.iter().filter(|line| line.name == name) {
            let matched = label.is_none_or(|(label, value)| {
                let carried = line.labels.iter().find(|(name, _)| name == label);
                carried.is_some_and(|(_, carried)| carried == value)
            });
            if matched && best.is_none_or(|best| best.timestamp < line.timestamp) {
                best = Some(line);
            }
        }
        best.map(|line| line.value)
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
    let count = |value: f64| (0.0..=4_294_967_295.0).contains(&value).then_some(value as u32);
    let kv = value("kv", None).or_else(|| value("kv_old", None));
    (
        value("waiting", None).and_then(count),
        value("running", Some(("a", "x"))).and_then(count),
        kv.filter(|kv| kv.is_finite() && 0.0 <= *kv).map(|kv| kv.min(1.0)),
    )
}

fn short_names() -> Wanted {
    Wanted::new(&EngineMetrics {
        waiting_requests: MetricSpec::from_text("waiting"),
        running_requests: MetricSpec::from_text("running{a=x}"),
        kv_used_ratio: ["kv", "kv_old"].map(MetricSpec::named).into(),
        ..EngineMetrics::default()
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec!["waiting", "running", "kv", "kv_old"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["waiting_total", "waitin", "kv_"]).prop_map(str::to_owned),
        1 => "[a-z_:][a-z0-9_:]{0,40}",
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0_u32..50).prop_map(|n| n.to_string()),
        1 => any::<f64>().prop_map(|n| format!("{n:e}")),
        1 => prop::sample::select(vec!["NaN", "+Inf", "-Inf", "0.5", "1e3"]).prop_map(str::to_owned),
        1 => "[0-9x.-]{1,4}",
    ]
}

fn label() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![r"\\", r#"\""#, r"\n", r"\x", "x"]).prop_map(str::to_owned),
        "[a-z{}=, é#]{1,3}",
    ];
    prop_oneof![
        Just("a=\"x\"".to_owned()),
        ("[a-z_]{1,3}", prop::collection::vec(part, 0..4))
            .prop_map(|(name, parts)| format!("{name}=\"{}\"", parts.concat())),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let labels = prop_oneof![
        2 => Just(String::new()),
        3 => prop::collection::vec(label(), 0..4).prop_map(|l| format!("{{{}}}", l.join(","))),
    ];
    let timestamp = prop_oneof![
        2 => Just(String::new()),
        1 => (-3_i64..6).prop_map(|t| format!(" {t}")),
    ];
    prop_oneof![
        8 => (name(), labels, number(), timestamp)
            .prop_map(|(name, labels, value, time)| format!("{name}{labels} {value}{time}")),
        1 => "# [A-Z]{4} [a-z:_ ]{0,20}",
        1 => "[!-~]{0,30}",
    ]
}

proptest! {
    #[test]
    fn any_page_reads_as_the_plain_reader_reads_it(
        lines in prop::collection::vec(line(), 0..40),
    ) {
        let page = lines.join("\n");
        let load = read(page.as_bytes(), &short_names()).load;
        let fast = (load.waiting_requests, load.running_requests, load.kv_used_ratio);
        prop_assert_eq!(fast, slow(&page));
    }

    #[test]
    fn no_bytes_panic(page in prop::collection::vec(any::<u8>(), 0..500)) {
        read(&page, &short_names());
    }

    #[test]
    fn no_damaged_page_panics(
        lines in prop::collection::vec(line(), 0..10),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
    ) {
        let mut page = lines.join("\n").into_bytes();
        for (place, byte) in damage {
            if !page.is_empty() {
                let place = place.index(page.len());
                page[place] = byte;
            }
        }
        read(&page, &short_names());
    }
}
