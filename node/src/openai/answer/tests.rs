//! Claims about reading answers. `read` is the only code that knows the API.

use proptest::prelude::*;

use super::*;

fn read(chunks: &[&[u8]]) -> Answer {
    let mut answer = Answer::new();
    for chunk in chunks {
        answer.feed(chunk);
    }
    answer
}

fn usage(prompt: u64, completion: u64, total: u64, cached: Option<u64>) -> Usage {
    Usage {
        prompt_tokens: Some(prompt),
        completion_tokens: Some(completion),
        total_tokens: Some(total),
        cached_tokens: cached,
    }
}

#[track_caller]
fn check(rows: &[(&str, Option<Usage>)]) {
    for (body, expected) in rows {
        assert_eq!(read(&[body.as_bytes()]).usage(), *expected, "{body}");
        let bytewise: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytewise).usage(), *expected, "bytewise {body}");
        for cut in 0..body.len() {
            let (head, tail) = body.as_bytes().split_at(cut);
            assert_eq!(read(&[head, tail]).usage(), *expected, "cut at {cut} {body}");
        }
    }
}

const STREAM: &str = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n\
                      data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\
                      \"total_tokens\":17,\"completion_tokens\":10,\
                      \"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n";

#[test]
fn the_usage_of_a_json_answer_is_found() {
    check(&[
        (
            r#"{"choices":[{"text":"x"}],"usage":{"prompt_tokens":7,"total_tokens":17,"completion_tokens":10}}"#,
            Some(usage(7, 17 - 7, 17, None)),
        ),
        (
            r#"{"usage" : { "prompt_tokens" : 7 , "completion_tokens" : 1, "total_tokens" : 8,
                "prompt_tokens_details" : { "audio_tokens": 0, "cached_tokens" : 5 } } , "x":1}"#,
            Some(usage(7, 1, 8, Some(5))),
        ),
        (r#"{"choices":[]}"#, None),
        (r#"{"usage":null}"#, None),
        (r#"{"usage":5}"#, None),
        (r#"{"usage":"usage"}"#, None),
        (r#"{"a":["usage",{"usage":[1]}]}"#, None),
        ("", None),
    ]);
}

#[test]
fn the_usage_of_a_stream_is_found() {
    check(&[(STREAM, Some(usage(7, 10, 17, Some(4))))]);
}

#[test]
fn the_usage_of_the_responses_api_is_found_under_its_own_names() {
    let event = "event: response.completed\ndata: {\"response\":{\"usage\":{\"input_tokens\":31,\
                 \"input_tokens_details\":{\"cached_tokens\":16},\"output_tokens\":9,\
                 \"total_tokens\":40}},\"type\":\"response.completed\"}\n\n";
    check(&[(event, Some(usage(31, 9, 40, Some(16))))]);
}

#[test]
fn of_several_usages_the_last_word_on_each_count_stands() {
    let both = "data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1,\"total_tokens\":8}}\n\n\
                data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\n";
    let halves = "data: {\"message\":{\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":5}}}\n\n\
                  data: {\"usage\":{\"output_tokens\":15}}\n\n";
    let zero = "{\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":0}}";
    check(&[
        (both, Some(usage(7, 2, 9, None))),
        (halves, Some(usage(25, 15, 40, Some(5)))),
        (zero, Some(usage(7, 0, 7, None))),
    ]);
}

#[test]
fn a_text_that_speaks_of_usage_is_not_one() {
    check(&[
        (r#"{"content":"\"usage\":{\"prompt_tokens\":7}"}"#, None),
        (r#"{"content":"say \"usage","x":{"prompt_tokens":7}}"#, None),
        (r#"{"content":"usage","x":{"prompt_tokens":7}}"#, None),
    ]);
}

#[test]
fn counts_are_read_however_they_are_written_and_nowhere_else() {
    check(&[
        (
            r#"{"usage":{"prompt_tokens":7.0,"completion_tokens":"3","total_tokens":1e1}}"#,
            Some(usage(7, 3, 10, None)),
        ),
        (
            r#"{"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"x":{"prompt_tokens":9,
                "cached_tokens":9},"completion_tokens_details":{"reasoning_tokens":2}}}"#,
            Some(usage(7, 3, 10, None)),
        ),
        (
            r#"{"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,
                "prompt_tokens_details":null,"input_tokens":null,"output_tokens":99}}"#,
            Some(usage(7, 3, 10, None)),
        ),
        (r#"{"usage":{"prompt_tokens":-7}}"#, Some(Usage::default())),
        (r#"{"usage":{"prompt_tokens":1e999}}"#, Some(Usage::default())),
    ]);
}

#[test]
fn a_usage_that_is_not_json_is_passed_over() {
    check(&[
        (
            r#"{"usage":{"prompt_tokens":+7}} {"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#,
            Some(usage(1, 1, 2, None)),
        ),
        (r#"{"usage":{"prompt_tokens":7"#, None),
    ]);
}

#[test]
fn a_stream_is_done_at_its_last_line_however_it_is_cut() {
    for cut in 0..STREAM.len() {
        let (head, tail) = STREAM.as_bytes().split_at(cut);
        assert!(read(&[head, tail]).is_done());
        assert!(read(&[head, tail, b""]).is_done());
        assert_eq!(read(&[head]).is_done(), STREAM.len() - 2 <= cut, "{cut}");
    }
    assert!(read(&[b"data: [DONE]\r\n\r\n"]).is_done());
    assert!(!read(&[b"data: {\"x\":\"data: [DONE]\"}\n\n"]).is_done());
    assert!(!read(&[]).is_done());
}

proptest! {
    #[test]
    fn no_bytes_and_no_cuts_panic_or_disagree(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "\"usage\"", "usage", "\"", "\\", ":", " ", "{", "}", "\"prompt_tokens\":7", ",", "null",
                "[", "]", "data: ", "\n\n", "[DONE]",
            ]),
            0..24,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let body = pieces.concat();
        let whole = read(&[body.as_bytes()]);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> =
            cuts.windows(2).map(|pair| &body.as_bytes()[pair[0]..pair[1]]).collect();
        let split = read(&chunks);
        prop_assert_eq!(split.usage(), whole.usage(), "{}", body);
        prop_assert_eq!(split.is_done(), whole.is_done(), "{}", body);
    }
}
