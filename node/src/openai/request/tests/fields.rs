//! What is found in a body, and where.

use super::*;
use crate::openai::PIECES_MAX;

#[track_caller]
fn check_model(rows: &[(&str, &str)]) {
    for (body, model) in rows {
        let request = scan(Api::Completions, body.as_bytes()).expect(body);
        assert_eq!(request.model.name, *model, "{body}");
    }
}

#[test]
fn the_model_is_the_last_model_key_if_that_is_a_string() {
    check_model(&[
        (r#"{"model":"m","prompt":"x"}"#, "m"),
        (r#"{"prompt":"x","model":"m"}"#, "m"),
        (r#"{ "prompt" : "x" , "model" : "m" }"#, "m"),
        (r#"{"model":"a","prompt":"x","model":"b"}"#, "b"),
        (r#"{"model":"a","prompt":"x","model":5}"#, ""),
        (r#"{"model":{"model":"a"},"prompt":"x"}"#, ""),
        (r#"{"prompt":"x"}"#, ""),
        (r#"{"Model":"a","prompt":"x"}"#, ""),
        (r#"{"mod\u0065l":"a","prompt":"x"}"#, "a"),
        (r#"{"x":{"model":"a"},"y":[{"model":"b"}],"prompt":"\"model\":\"c\""}"#, ""),
        (r#"{"model":"a\n\u00e9\ud83d\ude00\/","prompt":"x"}"#, "a\né😀/"),
        (
            r#"{"model":"\ud800x\udc00\ud800\ud800\udc00","prompt":"x"}"#,
            "\u{fffd}x\u{fffd}\u{fffd}\u{10000}",
        ),
    ]);
}

#[test]
fn each_byte_of_a_model_that_is_not_utf8_becomes_a_replacement_character() {
    let body = b"{\"model\":\"a\xe2\x82b\xed\xa0\x80\",\"prompt\":\"x\"}";
    let request = scan(Api::Completions, body).expect("accepted");
    assert_eq!(request.model.name, "a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}\u{fffd}");
}

#[test]
fn a_stream_is_one_only_if_the_value_is_true() {
    let rows = [
        (r#"{"stream":true,"prompt":"x"}"#, true),
        (r#"{"stream":false,"prompt":"x"}"#, false),
        (r#"{"stream":"true","prompt":"x"}"#, false),
        (r#"{"stream":true,"prompt":"x","stream":null}"#, false),
        (r#"{"stream":[true],"prompt":"x"}"#, false),
        (r#"{"Stream":true,"prompt":"x"}"#, false),
    ];
    for (body, stream) in rows {
        assert_eq!(scan(Api::Completions, body.as_bytes()).expect(body).stream, stream, "{body}");
    }
}

#[test]
fn usage_is_asked_for_in_the_stream_options() {
    let rows = [
        (r#"{"prompt":"x","stream_options":{"include_usage":true}}"#, true),
        (
            r#"{"prompt":"x","stream_options":{"include_usage":true,"a":{"include_usage":false}}}"#,
            true,
        ),
        (r#"{"prompt":"x","stream_options":{"include_usage":true},"stream_options":{}}"#, false),
        (r#"{"prompt":"x","include_usage":true}"#, false),
        (r#"{"prompt":"x","stream_options":[{"include_usage":true}]}"#, false),
        (r#"{"prompt":"x","stream_options":null}"#, false),
    ];
    for (body, asked) in rows {
        let request = scan(Api::Completions, body.as_bytes()).expect(body);
        assert_eq!(request.include_usage, asked, "{body}");
    }
}

#[test]
fn the_cache_salt_is_decoded() {
    let rows = [
        (r#"{"prompt":"x","cache_salt":"a\u0062"}"#, "ab"),
        (r#"{"prompt":"x","cache_salt":"a","cache_salt":null}"#, "a"),
        (r#"{"prompt":"x","Cache_Salt":"a"}"#, "a"),
        (r#"{"prompt":"x"}"#, ""),
    ];
    for (body, salt) in rows {
        assert_eq!(scan(Api::Completions, body.as_bytes()).expect(body).cache_salt, salt, "{body}");
    }
}

#[test]
fn a_prompt_is_its_text() {
    let check = |body, expected: &[&str]| assert_eq!(prompts(Api::Completions, body), expected);
    check(r#"{"prompt":"hello"}"#, &["hello"]);
    check(
        r#"{"prompt":"a\"b\\c\/d\b\f\n\r\te\u00e9\ud83d\ude00"}"#,
        &["a\"b\\c/d\u{8}\u{c}\n\r\teé😀"],
    );
    check(r#"{"prompt":["a","","b\n"]}"#, &["a", "", "b\n"]);
    check(r#"{"prompt":"a","prompt":["b","c"]}"#, &["b", "c"]);
    check(r#"{"prompt":["b","c"],"prompt":"a"}"#, &["a"]);
}

#[test]
fn token_ids_are_little_endian_words() {
    let body = br#"{"prompt":[ 1, 258 ,4294967295,2e0 , 65536.0,-0]}"#;
    let chunks = [Bytes::from_static(body)];
    let request = scan_split(Api::Completions, &chunks).expect("accepted");
    let ids = [1_u32, 258, u32::MAX, 2, 65536, 0];
    let expected: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    assert_eq!(texts(&request, &chunks), [expected]);
}

#[test]
fn each_list_of_token_ids_is_its_own_prompt() {
    let chunks = [Bytes::from_static(br#"{"prompt":[[1],[],[2,3]]}"#)];
    let request = scan_split(Api::Completions, &chunks).expect("accepted");
    let expected = [vec![1, 0, 0, 0], vec![], vec![2, 0, 0, 0, 3, 0, 0, 0]];
    assert_eq!(texts(&request, &chunks), expected);
}

#[test]
fn a_chat_is_its_tools_then_roles_and_texts_without_seams() {
    let check = |body, expected: &str| assert_eq!(prompts(Api::Chat, body), [expected], "{body}");
    check(
        r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U\n"}]}"#,
        "systemSuserU\n",
    );
    check(r#"{"messages":[{"content":"late","role":"user"}]}"#, "userlate");
    check(r#"{"messages":[{"role":"user","content":"a"}],"tools":[]}"#, "usera");
    check(
        r#"{"messages":[{"role":"user","content":"a"}],"tools":[ {"a b" : "c\" d", "e":[1 , 2]} ]}"#,
        r#"[{"a b":"c\" d","e":[1,2]}]usera"#,
    );
    check(
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"text":"b","type":"text"}]}]}"#,
        "userab",
    );
    check(
        r#"{"messages":[{"role":"user","content":[{"type":"refusal","text":"a"},{"text":"b"},null]}]}"#,
        "user",
    );
    check(r#"{"messages":[{"content":"a","content":"b","role":"x","role":"y"}]}"#, "yb");
    check(r#"{"messages":[{"content":"a"}],"messages":[{"content":"b"}]}"#, "b");
    check(
        r#"{"messages":[{"role":"a","tool_calls":[{"role":"x","content":"y"}]},{"role":"b"}]}"#,
        "ab",
    );
    check(r#"{"messages":[{"role":"q","content":""}]}"#, "q");
}

#[test]
fn pictures_differ_by_address_and_weigh_as_much_as_their_tokens() {
    let body = |url: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"see"}},
            {{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
        )
    };
    let text = |url: &str| {
        let chunks = [Bytes::from(body(url))];
        let request = scan_split(Api::Chat, &chunks).expect("accepted");
        texts(&request, &chunks).remove(0)
    };
    let (one, same, other) =
        (text("http://a/1.png"), text("http://a/1.png"), text("http://a/2.png"));
    assert_eq!(one, same);
    assert_ne!(one, other);
    assert_eq!(one.len(), "usersee".len() + 225 * 4);
}

#[test]
fn films_and_recordings_have_stand_ins_of_bounded_weight() {
    let length = |part: &str| {
        let body = format!(r#"{{"messages":[{{"content":[{part}]}}]}}"#);
        let chunks = [Bytes::from(body)];
        let request = scan_split(Api::Chat, &chunks).expect("accepted");
        texts(&request, &chunks).remove(0).len()
    };
    assert_eq!(length(r#"{"type":"video_url","video_url":{"url":"u"}}"#), 4500 * 4);
    assert_eq!(
        length(r#"{"type":"input_audio","input_audio":{"data":"12345","format":"wav"}}"#),
        8
    );
    assert_eq!(length(r#"{"type":"audio_url","audio_url":{"url":"1234"}}"#), 4);
    let long = "x".repeat(100_000);
    let part = format!(r#"{{"type":"input_audio","input_audio":{{"data":"{long}"}}}}"#);
    assert_eq!(length(&part), 4500 * 4);
}

#[test]
fn a_response_is_its_instructions_tools_and_input_as_json() {
    let check = |body, expected: &str| assert_eq!(prompts(Api::Responses, body), [expected]);
    check(r#"{"input":"a b"}"#, r#"[{"input":"a b"}]"#);
    check(
        r#"{"input":[ {"role":"user"} ],"tools":[ 1 ],"instructions":"i"}"#,
        r#"[{"instructions":"i"},{"tools":[1]},{"input":[{"role":"user"}]}]"#,
    );
    check(r#"{"input":1,"instructions":"i","instructions":null}"#, r#"[{"input":1}]"#);
}

#[test]
fn a_conversation_is_its_items_as_json() {
    let body = r#"{"metadata":{},"items":[ {"role" : "user"} ]}"#;
    assert_eq!(prompts(Api::Conversations, body), [r#"[{"role":"user"}]"#]);
}

#[test]
fn a_picture_to_be_made_has_no_prompt_to_match() {
    assert_eq!(prompts(Api::Images, r#"{"prompt":"x"}"#), [""; 0]);
}

#[test]
fn a_reader_that_has_enough_of_one_prompt_still_gets_the_next() {
    let chunks = [Bytes::from_static(br#"{"prompt":["a\nb","c\nd"]}"#)];
    let request = scan_split(Api::Completions, &chunks).expect("accepted");
    let mut seen = Vec::new();
    request.prompts.read(&chunks, |number, piece| {
        seen.push((number, piece.to_vec()));
        ControlFlow::Break(())
    });
    assert_eq!(seen, [(0, b"a".to_vec()), (1, b"c".to_vec())]);
}

#[test]
fn what_exceeds_the_kept_pieces_is_left_out_of_the_text() {
    let message = r#"{"role":"u","content":"c"}"#;
    let body = format!(r#"{{"messages":[{}]}}"#, vec![message; PIECES_MAX].join(","));
    let text = prompts(Api::Chat, &body).remove(0);
    assert_eq!(text, "uc".repeat(PIECES_MAX / 2));
}

#[test]
fn a_model_is_rewritten_in_place_and_all_else_is_the_same_bytes() {
    let rows = [
        (r#"{"model":"a","prompt":"x"}"#, r#"{"model":"new","prompt":"x"}"#),
        (r#"{ "prompt" : "x" , "model" : "a\"" }"#, r#"{ "prompt" : "x" , "model" : "new" }"#),
        (r#"{"prompt":"x"}"#, r#"{"model":"new","prompt":"x"}"#),
        (r#" {"prompt":"x","model":[1, {}]}"#, r#" {"prompt":"x","model":"new"}"#),
        (r#"{"prompt":"x","model":null}"#, r#"{"prompt":"x","model":"new"}"#),
        (
            r#"{"model":"a","prompt":"x","model":"b"}"#,
            r#"{"model":"a","prompt":"x","model":"new"}"#,
        ),
    ];
    for (body, expected) in rows {
        for size in 1..=body.len() {
            let chunks: Vec<Bytes> =
                body.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
            let request = scan_split(Api::Completions, &chunks).expect(body);
            let rewritten = request.model.rewrite(&chunks, "new").concat();
            assert_eq!(String::from_utf8_lossy(&rewritten), expected, "{size}");
        }
    }
}

#[test]
fn a_rewritten_model_is_escaped() {
    let chunks = [Bytes::from_static(br#"{"model":"a","prompt":"x"}"#)];
    let request = scan_split(Api::Completions, &chunks).expect("accepted");
    let rewritten = request.model.rewrite(&chunks, "a\"\\\n").concat();
    assert_eq!(rewritten, br#"{"model":"a\"\\\n","prompt":"x"}"#);
}
