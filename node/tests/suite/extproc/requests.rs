//! Requests that are picked for: each answer, to the letter.

use convoy_proto::ext_proc::{ProcessingResponse, processing_response::Response};
use prost_types::value::Kind;

use super::{
    gateway::Stream,
    messages::{
        DESTINATION, END, Headers, MORE, joined, picked, request_body, request_headers,
        request_piece, request_trailers, request_trailers_as_is,
    },
    picker::{ENDPOINT, Picker, Setup},
};

const ID: (&str, &str) = ("x-request-id", "test-request-id");

/// A body whose model is `model`.
fn body(model: &str) -> String {
    format!(r#"{{"max_tokens":100,"model":"{model}","prompt":"test1","temperature":0}}"#)
}

/// Asks with `headers` and `body`; the answer must be a pick that sets `set` and gives `given` back.
async fn check(picker: &Picker, headers: Headers<'_>, body: &str, set: Headers<'_>, given: &str) {
    let gateway = picker.gateway().await;
    let asked = [request_headers(headers, MORE), request_body(body.to_owned(), END)];
    let mut stream = gateway.ask(asked);
    assert_eq!(stream.answer().await, picked(ENDPOINT, set), "{headers:?}");
    assert_eq!(stream.answer().await, request_piece(given.to_owned(), END), "{headers:?}");
}

#[tokio::test]
async fn a_request_is_answered_as_the_reference_answers_it() {
    let picker = Picker::with_flags(&[]).await;
    let headers = [
        ("hi", "mom"),
        ID,
        ("x-llm-d-inference-objective", "high"),
        ("x-llm-d-model-name-rewrite", "my-model-12345"),
    ];
    let set = [("hi", "mom"), ID, ("Content-Length", "76")];
    check(&picker, &headers, &body("my-model"), &set, &body("my-model-12345")).await;
}

#[tokio::test]
async fn a_request_that_is_not_rewritten_passes_byte_for_byte() {
    let picker = Picker::with_flags(&[]).await;
    let odd = "\n{ \"prompt\" : \"\\u00e9 <&>\",\"model\":\"m\" , \"seed\":12345678901234567890 }";
    let length = odd.len().to_string();
    check(&picker, &[ID], odd, &[ID, ("Content-Length", &length)], odd).await;
}

#[tokio::test]
async fn a_model_is_rewritten_by_either_header_and_the_newer_one_wins() {
    let picker = Picker::with_flags(&[]).await;
    let (older, newer) = ("x-gateway-model-name-rewrite", "x-llm-d-model-name-rewrite");
    for (headers, target) in [
        (&[ID, (older, "a")][..], "a"),
        (&[ID, (newer, "b-longer")], "b-longer"),
        (&[ID, (older, "a"), (newer, "b")], "b"),
        (&[ID, (newer, "m")], "m"),
        (&[ID, (newer, "")], "m"),
        (&[ID, (newer, "with \"quotes\"")], "with \\\"quotes\\\""),
    ] {
        let given = body(target);
        let length = given.len().to_string();
        let set = [ID, ("Content-Length", &length)];
        check(&picker, headers, &body("m"), &set, &given).await;
    }
}

#[tokio::test]
async fn a_rewrite_gives_a_model_to_a_body_that_names_none() {
    let picker = Picker::with_flags(&[]).await;
    let headers = [ID, ("x-llm-d-model-name-rewrite", "m")];
    let set = [ID, ("Content-Length", "26")];
    check(&picker, &headers, r#"{"prompt":"a"}"#, &set, r#"{"model":"m","prompt":"a"}"#).await;
}

#[tokio::test]
async fn headers_that_steer_pickers_are_not_set_again() {
    let picker = Picker::with_flags(&[]).await;
    let steering = [
        "content-length",
        "x-gateway-destination-endpoint",
        "x-gateway-destination-endpoint-served",
        "x-gateway-destination-endpoint-subset",
        "x-llm-d-request-dropped-reason",
        "x-llm-d-inference-fairness-id",
        "x-gateway-inference-fairness-id",
        "x-llm-d-inference-objective",
        "x-gateway-inference-objective",
        "x-llm-d-model-name-rewrite",
        "x-gateway-model-name-rewrite",
        "x-llm-d-slo-ttft-ms",
        "x-slo-ttft-ms",
        "x-llm-d-slo-tpot-ms",
        "x-slo-tpot-ms",
        "x-llm-d-video-fps",
        "x-llm-d-video-duration-seconds",
        "x-llm-d-video-resolution",
    ];
    let mut headers: Vec<_> = steering.iter().map(|name| (*name, "m")).collect();
    let kept = [
        (":path", "/v1/completions"),
        (":method", "POST"),
        ID,
        ("cookie", "c"),
        ("x-llm-d", "d"),
        ("content-type", "application/json"),
    ];
    headers.extend(kept);
    let mut set = kept.to_vec();
    set.push(("Content-Length", "63"));
    check(&picker, &headers, &body("m"), &set, &body("m")).await;
}

#[tokio::test]
async fn names_of_headers_are_read_in_any_case() {
    let picker = Picker::with_flags(&[]).await;
    let id = ("X-Request-ID", "1");
    let headers = [id, ("Content-Length", "5"), ("X-Gateway-Model-Name-Rewrite", "n"), ("Hi", "m")];
    let set = [id, ("Content-Length", "63"), ("Hi", "m")];
    check(&picker, &headers, &body("m"), &set, &body("n")).await;
}

#[tokio::test]
async fn a_header_that_came_twice_is_left_as_it_came() {
    let picker = Picker::with_flags(&[]).await;
    let headers = [("x-forwarded-for", "1.1.1.1"), ID, ("X-Forwarded-For", "2.2.2.2")];
    check(&picker, &headers, &body("m"), &[ID, ("Content-Length", "63")], &body("m")).await;
}

#[tokio::test]
async fn a_path_that_nobody_claims_passes_through_unread() {
    let picker = Picker::with_flags(&[]).await;
    let path = (":path", "/v1/audio/speech");
    let set = [ID, path, ("Content-Length", "8")];
    check(&picker, &[ID, path], "not JSON", &set, "not JSON").await;
    check(&picker, &[ID, path], "", &[ID, path], "").await;
}

#[tokio::test]
async fn a_request_without_a_body_is_told_its_endpoint_and_nothing_else() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = [(":method", "GET"), (":path", "/v1/models"), ID, ("hi", "mom")];
    let mut stream = gateway.ask([request_headers(&headers, END)]);
    assert_eq!(stream.answer().await, picked(ENDPOINT, &[]));
}

#[tokio::test]
async fn a_request_without_an_id_is_given_one() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    for headers in [&[][..], &[("x-request-id", "")]] {
        let mut bodyless = gateway.ask([request_headers(headers, END)]);
        let answer = bodyless.answer().await;
        let id = made_id(&answer);
        assert_eq!(answer, picked(ENDPOINT, &[("x-request-id", &id)]));
        let asked = [request_headers(headers, MORE), request_body(body("m"), END)];
        let mut stream = gateway.ask(asked);
        let answer = stream.answer().await;
        let other = made_id(&answer);
        assert_ne!(other, id);
        let set = [("x-request-id", &*other), ("Content-Length", "63")];
        assert_eq!(answer, picked(ENDPOINT, &set));
    }
}

/// The id that an answer gives to its request: a UUID of version 4.
pub(super) fn made_id(answer: &ProcessingResponse) -> String {
    let common = match &answer.response {
        Some(Response::RequestHeaders(headers)) => headers.response.as_ref(),
        Some(Response::RequestBody(body)) => body.response.as_ref(),
        other => unreachable!("no answer to headers or a body: {other:?}"),
    };
    let set = common.unwrap().header_mutation.as_ref().unwrap();
    let mut headers = set.set_headers.iter().filter_map(|set| set.header.as_ref());
    let id = headers.find(|header| header.key == "x-request-id").unwrap();
    let id = String::from_utf8(id.raw_value.to_vec()).unwrap();
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
    assert_eq!(&id[14..15], "4", "{id}");
    id
}

#[tokio::test]
async fn a_long_body_comes_back_in_pieces_of_62000_bytes() {
    let picker = Picker::with_flags(&["--grpc-max-recv-msg-size", "16Mi"]).await;
    let gateway = picker.gateway().await;
    let path = [(":path", "/upload"), ID];
    for (length, pieces) in [(61_999, 1), (62_000, 1), (62_001, 2), (124_000, 2), (5 << 20, 85)] {
        for chunk in [length, 16_384, 70_001] {
            let whole: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut stream = gateway.ask([request_headers(&path, MORE)]);
            for part in whole.chunks(chunk) {
                stream.say(request_body(part.to_vec(), MORE));
            }
            stream.say(request_body("", END));
            let length = length.to_string();
            let set = [path[0], path[1], ("Content-Length", &*length)];
            assert_eq!(stream.answer().await, picked(ENDPOINT, &set));
            let answers = take(&mut stream, pieces).await;
            assert_eq!(joined(&answers), (whole, true));
        }
    }
}

async fn take(stream: &mut Stream, count: usize) -> Vec<ProcessingResponse> {
    let mut answers = Vec::new();
    while answers.len() < count {
        answers.push(stream.answer().await);
    }
    answers
}

#[tokio::test]
async fn nothing_is_answered_before_the_request_is_whole() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let (first, second) = (body("m"), body("m"));
    let (first, second) = (first.split_at(20).0.to_owned(), second.split_at(20).1.to_owned());
    let mut stream = gateway.ask([request_headers(&[ID], MORE), request_body(first, MORE)]);
    gateway.ask([request_headers(&[], END)]).answer().await;
    assert!(stream.is_silent());
    stream.say(request_body(second, END));
    let set = [ID, ("Content-Length", "63")];
    assert_eq!(stream.answer().await, picked(ENDPOINT, &set));
}

#[tokio::test]
async fn a_request_that_ends_in_trailers_is_answered() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut stream = gateway.ask([
        request_headers(&[ID], MORE),
        request_body(body("m"), MORE),
        request_trailers(),
    ]);
    assert_eq!(stream.answer().await, picked(ENDPOINT, &[ID, ("Content-Length", "63")]));
    assert_eq!(stream.answer().await, request_piece(body("m"), MORE));
    assert_eq!(stream.answer().await, request_trailers_as_is());
}

#[tokio::test]
async fn a_repeated_end_of_the_request_is_not_answered_twice() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut stream = gateway.ask([
        request_headers(&[ID], MORE),
        request_body(body("m"), END),
        request_body("", END),
        request_body("", END),
    ]);
    stream.answer().await;
    assert_eq!(stream.answer().await, request_piece(body("m"), END));
    gateway.ask([request_headers(&[], END)]).answer().await;
    assert!(stream.is_silent());
}

#[tokio::test]
async fn two_streams_of_one_request_id_are_both_answered() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut first = gateway.ask([request_headers(&[ID], MORE)]);
    let mut second = gateway.ask([request_headers(&[ID], MORE)]);
    second.say(request_body(body("second"), END));
    first.say(request_body(body("first"), END));
    for (stream, model) in [(&mut first, "first"), (&mut second, "second")] {
        let length = body(model).len().to_string();
        let set = [ID, ("Content-Length", &*length)];
        assert_eq!(stream.answer().await, picked(ENDPOINT, &set));
        assert_eq!(stream.answer().await, request_piece(body(model), END));
    }
}

#[tokio::test]
async fn an_ipv6_endpoint_is_told_in_brackets() {
    let picker = Picker::start(Setup { endpoints: &["[fd00::7]:8000"], ..Setup::default() }).await;
    let gateway = picker.gateway().await;
    let mut bodyless = gateway.ask([request_headers(&[ID], END)]);
    assert_eq!(bodyless.answer().await, picked("[fd00::7]:8000", &[]));
    let mut stream = gateway.ask([request_headers(&[ID], MORE), request_body(body("m"), END)]);
    let expected = picked("[fd00::7]:8000", &[ID, ("Content-Length", "63")]);
    assert_eq!(stream.answer().await, expected);
}

#[tokio::test]
async fn scores_are_told_when_asked_for() {
    let picker = Picker::with_flags(&["--emit-endpoint-scores"]).await;
    let gateway = picker.gateway().await;
    let mut stream = gateway.ask([request_headers(&[ID], MORE), request_body(body("m"), END)]);
    let metadata = stream.answer().await.dynamic_metadata.unwrap();
    let Some(Kind::StructValue(lb)) = metadata.fields["envoy.lb"].kind.clone() else {
        unreachable!("{metadata:?}");
    };
    assert_eq!(lb.fields[DESTINATION].kind, Some(Kind::StringValue(ENDPOINT.to_owned())));
    let scores = lb.fields["x-gateway-destination-endpoint-scores"].kind.clone();
    let Some(Kind::StructValue(scores)) = scores else { unreachable!("{lb:?}") };
    assert_eq!(scores.fields.keys().collect::<Vec<_>>(), [ENDPOINT]);
}
