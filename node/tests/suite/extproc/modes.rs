//! Gateways that pass bodies otherwise than in full duplex, and tell so.

use convoy_proto::filter::processing_mode::BodySendMode::{Buffered, None as NoBody, Streamed};

use super::{
    messages::{
        END, MORE, picked, picked_in_body, refused, request_body, request_body_as_is,
        request_headers, request_headers_as_is, request_trailers, request_trailers_as_is,
        response_body, response_body_as_is, response_headers, response_headers_set,
        response_trailers, response_trailers_as_is, with_modes,
    },
    picker::{ENDPOINT, Picker, Setup},
    requests::made_id,
};

const ID: (&str, &str) = ("x-request-id", "1");
const BODY: &str = r#"{"model":"m","prompt":"a"}"#;

#[tokio::test]
async fn a_buffered_request_is_picked_for_in_the_answer_to_its_body() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = request_headers(&[ID, ("hi", "mom")], MORE);
    let mut stream = gateway.ask([with_modes(headers, Buffered, NoBody)]);
    assert_eq!(stream.answer().await, request_headers_as_is());
    stream.say(request_body(BODY, END));
    assert_eq!(stream.answer().await, picked_in_body(ENDPOINT, &[], None));
    stream.say(response_headers(&[(":status", "200")], MORE));
    assert_eq!(stream.answer().await, response_headers_set(&[(":status", "200")]));
    stream.half_close();
    stream.ended_well().await;
}

#[tokio::test]
async fn a_buffered_request_without_an_id_is_given_one() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    for rewrite in [&[][..], &[("x-llm-d-model-name-rewrite", "n")]] {
        let headers = with_modes(request_headers(rewrite, MORE), Buffered, NoBody);
        let mut stream = gateway.ask([headers, request_body(BODY, END)]);
        assert_eq!(stream.answer().await, request_headers_as_is());
        made_id(&stream.answer().await);
    }
}

#[tokio::test]
async fn a_buffered_request_that_is_rewritten_gets_a_new_body() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = request_headers(&[ID, ("x-llm-d-model-name-rewrite", "other")], MORE);
    let mut stream = gateway.ask([with_modes(headers, Buffered, NoBody), request_body(BODY, END)]);
    assert_eq!(stream.answer().await, request_headers_as_is());
    let body = r#"{"model":"other","prompt":"a"}"#;
    let expected = picked_in_body(ENDPOINT, &[("Content-Length", "30")], Some(body));
    assert_eq!(stream.answer().await, expected);
}

#[tokio::test]
async fn a_buffered_request_may_have_trailers_or_no_body() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut stream = gateway.ask([
        with_modes(request_headers(&[ID], MORE), Buffered, NoBody),
        request_body(BODY, MORE),
        request_trailers(),
    ]);
    assert_eq!(stream.answer().await, request_headers_as_is());
    assert_eq!(stream.answer().await, picked_in_body(ENDPOINT, &[], None));
    assert_eq!(stream.answer().await, request_trailers_as_is());
    let bodyless = with_modes(request_headers(&[ID], END), Buffered, NoBody);
    assert_eq!(gateway.ask([bodyless]).answer().await, picked(ENDPOINT, &[]));
}

#[tokio::test]
async fn a_buffered_request_is_refused_for_its_body() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = with_modes(request_headers(&[ID], MORE), Buffered, NoBody);
    let mut stream = gateway.ask([headers, request_body("{}", END)]);
    assert_eq!(stream.answer().await, request_headers_as_is());
    let text = "inference error: BadRequest - invalid completions request: must have prompt field";
    assert_eq!(stream.answer().await, refused(400, text, None));
    stream.ended_well().await;
}

#[tokio::test]
async fn a_streamed_request_is_picked_for_at_its_headers_and_passes_as_it_is() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = request_headers(&[ID, ("content-length", "26")], MORE);
    let mut stream = gateway.ask([with_modes(headers, Streamed, Streamed)]);
    assert_eq!(stream.answer().await, picked(ENDPOINT, &[ID]));
    for (chunk, end) in [(&BODY[..9], MORE), (&BODY[9..], MORE), ("", END)] {
        stream.say(request_body(chunk, end));
        assert_eq!(stream.answer().await, request_body_as_is());
    }
    // Its end may be said twice, and here every message is owed an answer.
    stream.say(request_body("", END));
    assert_eq!(stream.answer().await, request_body_as_is());
    stream.say(response_headers(&[(":status", "200")], MORE));
    assert_eq!(stream.answer().await, response_headers_set(&[(":status", "200")]));
    for end in [MORE, END] {
        stream.say(response_body("{}", end));
        assert_eq!(stream.answer().await, response_body_as_is());
    }
    stream.ended_well().await;
}

#[tokio::test]
async fn a_streamed_request_and_its_response_may_end_in_trailers() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut stream = gateway.ask([
        with_modes(request_headers(&[ID], MORE), Streamed, Streamed),
        request_body(BODY, MORE),
        request_trailers(),
        response_headers(&[], MORE),
        response_body("{}", MORE),
        response_trailers(),
    ]);
    assert_eq!(stream.answer().await, picked(ENDPOINT, &[ID]));
    assert_eq!(stream.answer().await, request_body_as_is());
    assert_eq!(stream.answer().await, request_trailers_as_is());
    assert_eq!(stream.answer().await, response_headers_set(&[]));
    assert_eq!(stream.answer().await, response_body_as_is());
    assert_eq!(stream.answer().await, response_trailers_as_is());
    stream.ended_well().await;
}

/// A pick without a body's prompt is still a pick: filters and scorers are asked, and it is counted.
#[tokio::test]
async fn a_request_whose_body_is_not_read_is_scheduled_as_any_other() {
    let plugins = &["header-based-testing-filter", "random-picker"];
    let endpoints = &["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"];
    let picker = Picker::start(Setup { endpoints, plugins, ..Setup::default() }).await;
    let gateway = picker.gateway().await;
    let headers = [ID, ("test-epp-endpoint-selection", "10.0.0.2")];
    for mode in [Streamed, NoBody, Streamed, NoBody, Streamed, NoBody] {
        let mut stream = gateway.ask([with_modes(request_headers(&headers, MORE), mode, NoBody)]);
        assert_eq!(stream.answer().await, picked("10.0.0.2:8000", &headers));
    }
    picker.metric_becomes("llm_d_epp_request_total", &[], 6.0).await;
}

/// A server may answer before it has read all, with an error most often.
#[tokio::test]
async fn a_streamed_request_goes_on_while_its_response_passes() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let trailers = [request_trailers(), response_trailers()];
    let ends = [request_body("", END), response_body("", END)];
    for [request_end, response_end] in [trailers, ends] {
        for request_first in [true, false] {
            let headers = with_modes(request_headers(&[ID], MORE), Streamed, Streamed);
            let mut stream = gateway.ask([headers, response_headers(&[], MORE)]);
            assert_eq!(stream.answer().await, picked(ENDPOINT, &[ID]));
            assert_eq!(stream.answer().await, response_headers_set(&[]));
            stream.say(request_body("a", MORE));
            assert_eq!(stream.answer().await, request_body_as_is());
            stream.say(response_body("b", MORE));
            assert_eq!(stream.answer().await, response_body_as_is());
            let [first, second] = if request_first {
                [&request_end, &response_end]
            } else {
                [&response_end, &request_end]
            };
            stream.say(first.clone());
            stream.answer().await;
            stream.say(second.clone());
            stream.answer().await;
            stream.ended_well().await;
        }
    }
}

#[tokio::test]
async fn a_request_whose_body_is_not_sent_here_is_picked_for_at_its_headers() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let headers = with_modes(request_headers(&[ID, ("hi", "mom")], MORE), NoBody, NoBody);
    let mut stream = gateway.ask([headers]);
    assert_eq!(stream.answer().await, picked(ENDPOINT, &[ID, ("hi", "mom")]));
    stream.say(response_headers(&[(":status", "200")], MORE));
    assert_eq!(stream.answer().await, response_headers_set(&[(":status", "200")]));
    stream.half_close();
    stream.ended_well().await;
}
