//! Random bodies, valid and broken, against `serde_json` and against themselves cut elsewhere.

use proptest::prelude::*;

use super::*;

/// Any JSON value, as text, with layout and escapes.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number(),
        text(),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let members = prop::collection::vec((key(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|all| format!("[{}]", all.join(","))),
            members.prop_map(|all| object(&all)),
        ]
    })
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        (0..20u32, 0..9u32).prop_map(|(whole, part)| format!("{whole}.{part}")),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z ]{0,40}",
        1 => Just("\\n".to_owned()),
        1 => Just("\\\"".to_owned()),
        1 => Just("\\\\".to_owned()),
        1 => Just("\\u00e9".to_owned()),
        1 => Just("\\ud83d\\ude00".to_owned()),
        1 => Just("é😀".to_owned()),
        1 => Just("{[:,]}".to_owned()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn key() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "model",
        "stream",
        "stream_options",
        "include_usage",
        "cache_salt",
        "prompt",
        "input",
        "messages",
        "role",
        "content",
        "type",
        "text",
        "tools",
        "image_url",
        "url",
        "items",
        "instructions",
        "mod\\u0065l",
        "Prompt",
        "x",
    ]);
    known.prop_map(|key| format!("\"{key}\""))
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(key, value)| format!("{key} : {value}")).collect();
    format!("{{{}}}", members.join(" ,\n"))
}

fn message() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        text().prop_map(|text| format!(r#"{{"type":"text","text":{text}}}"#)),
        text().prop_map(|url| format!(r#"{{"image_url":{{"url":{url}}},"type":"image_url"}}"#)),
        json(),
    ];
    let content = prop_oneof![
        4 => text(),
        2 => prop::collection::vec(part, 0..4).prop_map(|all| format!("[{}]", all.join(", "))),
        1 => json(),
    ];
    (text(), content, any::<bool>()).prop_map(|(role, content, role_first)| {
        let role = format!(r#""role":{role}"#);
        let content = format!(r#""content":{content}"#);
        let (one, two) = if role_first { (role, content) } else { (content, role) };
        format!("{{{one},{two}}}")
    })
}

/// A body that is mostly a request.
fn body() -> impl Strategy<Value = String> {
    let messages = prop::collection::vec(message(), 0..4)
        .prop_map(|all| ("\"messages\"".to_owned(), format!("[{}]", all.join(","))));
    let prompt = prop_oneof![
        text(),
        prop::collection::vec(text(), 0..4).prop_map(|all| format!("[{}]", all.join(","))),
        prop::collection::vec(number(), 0..9).prop_map(|all| format!("[{}]", all.join(" ,"))),
        prop::collection::vec(prop::collection::vec(any::<u32>(), 0..5), 0..4)
            .prop_map(|all| format!("{all:?}")),
        json(),
    ];
    let prompt = (prop::sample::select(vec!["\"prompt\"", "\"input\"", "\"items\""]), prompt)
        .prop_map(|(key, prompt)| (key.to_owned(), prompt));
    let model = text().prop_map(|model| ("\"model\"".to_owned(), model));
    let stream = any::<bool>().prop_map(|stream| ("\"stream\"".to_owned(), stream.to_string()));
    let member =
        prop_oneof![3 => messages, 3 => prompt, 2 => model, 1 => stream, 2 => (key(), json())];
    prop_oneof![
        8 => prop::collection::vec(member, 0..6).prop_map(|members| object(&members)),
        1 => json(),
    ]
}

/// A body with a few bytes replaced, removed or added.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..3_u8, any::<u8>(), any::<bool>());
    (body(), prop::collection::vec(edit, 0..4)).prop_map(|(body, edits)| {
        let mut bytes = body.into_bytes();
        for (place, kind, byte, structural) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            let byte = if structural { b"{}[]\",:\\0-.eu"[usize::from(byte) % 13] } else { byte };
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

fn api() -> impl Strategy<Value = Api> {
    prop::sample::select(vec![
        Api::Completions,
        Api::Chat,
        Api::Embeddings,
        Api::Responses,
        Api::Conversations,
        Api::Images,
    ])
}

/// Whether a body is JSON to `serde_json`, which unlike Go insists on UTF-8 and on surrogates in
/// pairs, and reads no number that Go calls too large.
fn is_json(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok()
}

fn is_syntax_error(result: &Result<Request, Refusal>) -> bool {
    matches!(result, Err(Refusal::Syntax(_)))
}

proptest! {
    #[test]
    fn a_body_is_json_to_us_exactly_if_it_is_json(body in broken(), api in api()) {
        let result = scan(api, &body);
        prop_assert_eq!(!is_syntax_error(&result), is_json(&body), "{:?}", result);
    }

    #[test]
    fn no_split_changes_what_is_read(
        body in broken(),
        api in api(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = [Bytes::from(body.clone())];
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut rest = whole[0].clone();
        let mut base = 0;
        for cut in cuts {
            chunks.push(rest.split_to(cut - base));
            base = cut;
        }
        chunks.push(rest);
        let bytewise: Vec<Bytes> = body.iter().map(|&byte| Bytes::from(vec![byte])).collect();
        let expected = scan_split(api, &whole);
        for chunks in [chunks, bytewise] {
            let result = scan_split(api, &chunks);
            prop_assert_eq!(&result, &expected);
            if let Ok(request) = result {
                prop_assert_eq!(texts(&request, &chunks), texts(&request, &whole));
            }
        }
    }

    #[test]
    fn what_is_read_is_what_a_tree_would_hold(body in body()) {
        let tree: serde_json::Value = serde_json::from_str(&body).expect("json");
        if let Ok(request) = scan(Api::Completions, body.as_bytes()) {
            prop_assert_eq!(request.model.name, tree["model"].as_str().unwrap_or_default());
            prop_assert_eq!(request.stream, tree["stream"].as_bool().unwrap_or_default());
            let usage = tree["stream_options"]["include_usage"].as_bool().unwrap_or_default();
            prop_assert_eq!(request.include_usage, usage);
        }
    }

    #[test]
    fn the_text_of_a_chat_is_what_a_tree_would_hold(
        messages in prop::collection::vec((text(), text()), 1..5),
        layout in "[ \n]{0,2}",
    ) {
        let expected: String = messages
            .iter()
            .flat_map(|(role, content)| [role, content])
            .map(|text| serde_json::from_str::<String>(text).expect("text"))
            .collect();
        let all: Vec<_> = messages
            .iter()
            .map(|(role, content)| format!(r#"{{"role":{layout}{role},"content":{content}{layout}}}"#))
            .collect();
        let body = format!(r#"{{"messages":{layout}[{}]}}"#, all.join(","));
        let expected = if expected.is_empty() { vec![] } else { vec![expected] };
        prop_assert_eq!(prompts(Api::Chat, &body), expected);
    }
}
