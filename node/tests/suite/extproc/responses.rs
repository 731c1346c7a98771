//! Responses on their way back: each answer, to the letter, and what is counted of them.

use super::{
    gateway::{Gateway, Stream},
    messages::{
        END, Headers, MORE, joined, request_body, request_headers, response_body, response_headers,
        response_headers_set, response_piece, response_trailers, response_trailers_as_is,
    },
    picker::Picker,
};

const JSON: (&str, &str) = ("content-type", "application/json");
const SSE: (&str, &str) = ("content-type", "text/event-stream");
const OK: (&str, &str) = (":status", "200");

/// A stream whose request, with `headers` and `body`, was picked for and passed on.
async fn sent(gateway: &Gateway, headers: Headers<'_>, body: &str) -> Stream {
    let asked = [request_headers(headers, MORE), request_body(body.to_owned(), END)];
    let mut stream = gateway.ask(asked);
    stream.answer().await;
    stream.answer().await;
    stream
}

const WHOLE: &str = r#"{"model":"m","prompt":"a"}"#;
const STREAMED: &str = r#"{"model":"m","prompt":"a","stream":true}"#;

#[tokio::test]
async fn a_response_is_given_back_in_one_piece_with_its_headers_set_again() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut stream = sent(&gateway, &[], WHOLE).await;
    let headers = [OK, JSON, ("content-length", "13"), ("x-gateway-destination-endpoint", "x")];
    stream.say(response_headers(&headers, MORE));
    assert_eq!(stream.answer().await, response_headers_set(&[OK, JSON]));
    stream.say(response_body("{\"model\":", MORE));
    stream.say(response_body("\"m\"}", END));
    assert_eq!(stream.answer().await, response_piece("{\"model\":\"m\"}", END));
    stream.ended_well().await;
}

#[tokio::test]
async fn a_streamed_response_is_given_back_chunk_by_chunk() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    // The reference's own fixture says `status`, not `:status`.
    for (body, headers) in [(WHOLE, &[SSE, ("status", "200")][..]), (STREAMED, &[JSON, OK])] {
        let mut stream = sent(&gateway, &[], body).await;
        stream.say(response_headers(headers, MORE));
        assert_eq!(stream.answer().await, response_headers_set(headers));
        for chunk in ["data: {}\n\n", "", "data: [DONE]\n\n"] {
            stream.say(response_body(chunk, MORE));
            assert_eq!(stream.answer().await, response_piece(chunk, MORE), "{body}");
        }
        stream.say(response_body("", END));
        assert_eq!(stream.answer().await, response_piece("", END));
        stream.ended_well().await;
    }
}

#[tokio::test]
async fn a_response_without_a_body_ends_with_its_headers() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut stream = sent(&gateway, &[], WHOLE).await;
    stream.say(response_headers(&[(":status", "204")], END));
    assert_eq!(stream.answer().await, response_headers_set(&[(":status", "204")]));
    stream.ended_well().await;
}

#[tokio::test]
async fn a_response_that_ends_in_trailers_is_given_back_without_an_end_of_its_body() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    for kind in [JSON, SSE] {
        let mut stream = sent(&gateway, &[], WHOLE).await;
        stream.say(response_headers(&[kind], MORE));
        stream.say(response_body("ab", MORE));
        stream.say(response_trailers());
        assert_eq!(stream.answer().await, response_headers_set(&[kind]));
        assert_eq!(stream.answer().await, response_piece("ab", MORE));
        assert_eq!(stream.answer().await, response_trailers_as_is());
        stream.ended_well().await;
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_the_response_is_served() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let mut stream = gateway.ask([
        response_headers(&[JSON, ("hi", "mom")], MORE),
        response_body("{\"a\":", MORE),
        response_body("1}", END),
    ]);
    assert_eq!(stream.answer().await, response_headers_set(&[JSON, ("hi", "mom")]));
    assert_eq!(stream.answer().await, response_piece("{\"a\":1}", END));
    stream.ended_well().await;
    let mut stream = gateway.ask([
        response_headers(&[SSE], MORE),
        response_body("data: 1\n\n", MORE),
        response_trailers(),
    ]);
    assert_eq!(stream.answer().await, response_headers_set(&[SSE]));
    assert_eq!(stream.answer().await, response_piece("data: 1\n\n", MORE));
    assert_eq!(stream.answer().await, response_trailers_as_is());
    stream.ended_well().await;
}

#[tokio::test]
async fn a_response_names_the_model_that_the_client_asked_for() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let rewrite = [("x-llm-d-model-name-rewrite", "served-model")];
    let mut stream = sent(&gateway, &rewrite, WHOLE).await;
    stream.say(response_headers(&[JSON], MORE));
    stream.say(response_body("{\"model\": \"served-model\"}", END));
    stream.answer().await;
    assert_eq!(stream.answer().await, response_piece("{\"model\": \"m\"}", END));
    let mut stream = sent(&gateway, &rewrite, STREAMED).await;
    stream.say(response_headers(&[SSE], MORE));
    stream.answer().await;
    for end in [MORE, END] {
        stream.say(response_body("data: {\"model\":\"served-model\",\"x\":1}\n\n", end));
        let expected = response_piece("data: {\"model\":\"m\",\"x\":1}\n\n", end);
        assert_eq!(stream.answer().await, expected);
    }
}

#[tokio::test]
async fn a_long_response_comes_back_byte_for_byte() {
    let picker = Picker::with_flags(&["--grpc-max-recv-msg-size", "16Mi"]).await;
    let gateway = picker.gateway().await;
    for length in [62_000, 62_001, 1 << 20, 3 << 20] {
        let mut stream = sent(&gateway, &[], WHOLE).await;
        stream.say(response_headers(&[JSON], MORE));
        stream.answer().await;
        let whole: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for chunk in whole.chunks(100_001) {
            stream.say(response_body(chunk.to_vec(), MORE));
        }
        stream.say(response_body("", END));
        let (pieces, status) = stream.rest().await;
        assert_eq!(joined(&pieces), (whole, true), "{status:?}");
    }
}

const USAGE: &str = r#"{"usage":{"prompt_tokens":7,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":3}}}"#;

/// Rows are a metric and what a response with [`USAGE`] and model `m` adds to it.
const COUNTED: [(&str, f64); 9] = [
    ("llm_d_epp_request_duration_seconds_count", 1.0),
    ("llm_d_epp_request_ttft_seconds_count", 1.0),
    ("llm_d_epp_request_ntpot_seconds_count", 1.0),
    ("llm_d_epp_response_size_bytes_count", 1.0),
    ("llm_d_epp_response_size_bytes_sum", 95.0),
    ("llm_d_epp_request_input_tokens_sum", 7.0),
    ("llm_d_epp_request_output_tokens_sum", 5.0),
    ("llm_d_epp_request_cached_tokens_sum", 3.0),
    ("llm_d_epp_extproc_streams_total", 1.0),
];

#[tokio::test]
async fn a_response_is_counted_once_however_it_ends() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    let ends = [
        vec![response_body(USAGE, END)],
        vec![response_body(USAGE, MORE), response_body("", END)],
        vec![response_body(USAGE, MORE), response_trailers()],
    ];
    for (done, end) in (1_u8..).zip(ends) {
        let mut stream = sent(&gateway, &[], WHOLE).await;
        stream.say(response_headers(&[JSON], MORE));
        for message in end {
            stream.say(message);
        }
        stream.rest().await;
        for (metric, each) in COUNTED {
            picker.metric_becomes(metric, &[], each * f64::from(done)).await;
        }
        picker.metric_becomes("llm_d_epp_request_running", &[], 0.0).await;
    }
    picker.metric_becomes("llm_d_epp_extproc_streams_total", &["code=\"OK\""], 3.0).await;
    // What is out of order is no response.
    for wrong in [response_trailers(), response_body(USAGE, END)] {
        let mut stream = sent(&gateway, &[], WHOLE).await;
        stream.say(wrong);
        stream.rest().await;
    }
    let invalid = ["code=\"InvalidArgument\""];
    picker.metric_becomes("llm_d_epp_extproc_streams_total", &invalid, 2.0).await;
    picker.metric_becomes("llm_d_epp_request_duration_seconds_count", &[], 3.0).await;
}

#[tokio::test]
async fn a_response_that_is_not_200_is_counted_as_an_error_of_the_server() {
    let picker = Picker::with_flags(&[]).await;
    let gateway = picker.gateway().await;
    for (done, status) in (1_u8..).zip([":status", "status"]) {
        let mut stream = sent(&gateway, &[], WHOLE).await;
        stream.say(response_headers(&[(status, "503")], END));
        stream.answer().await;
        for metric in ["llm_d_epp_request_error_total", "inference_objective_request_error_total"] {
            let labels = ["error_code=\"ModelServerError\"", "model_name=\"m\""];
            picker.metric_becomes(metric, &labels, f64::from(done)).await;
        }
    }
}
