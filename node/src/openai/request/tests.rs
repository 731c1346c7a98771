//! Claims about reading requests. `scan` and `scan_split` are the only code that knows the API.

mod fields;
mod go_rows;
mod hostile;
mod payloads;
mod random;

use bytes::Bytes;

use super::*;

/// Reads a body that arrives whole.
fn scan(api: Api, body: &[u8]) -> Result<Request, Refusal> {
    scan_split(api, &[Bytes::copy_from_slice(body)])
}

/// Reads a body that arrives as `chunks`.
fn scan_split(api: Api, chunks: &[Bytes]) -> Result<Request, Refusal> {
    let mut scanner = Scanner::new(api);
    for chunk in chunks {
        scanner.feed(chunk);
    }
    scanner.finish(chunks)
}

/// The canonical text of every prompt.
fn texts(request: &Request, chunks: &[Bytes]) -> Vec<Vec<u8>> {
    let mut texts = vec![Vec::new(); request.prompts.count()];
    request.prompts.read(chunks, |number, piece| {
        texts[number].extend_from_slice(piece);
        ControlFlow::Continue(())
    });
    texts
}

/// The canonical texts of a body that is accepted.
#[track_caller]
fn prompts(api: Api, body: &str) -> Vec<String> {
    let chunks = [Bytes::copy_from_slice(body.as_bytes())];
    let request = scan_split(api, &chunks).expect(body);
    let texts = texts(&request, &chunks);
    texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

#[test]
fn a_body_that_is_not_json_is_refused_in_the_words_of_go() {
    for &(body, words) in go_rows::REFUSED {
        let refusal = scan(Api::Completions, body).expect_err("refused");
        let expected = format!("error unmarshaling request bodyMap: {words}");
        assert_eq!(refusal.to_string(), expected, "{}", body.escape_ascii());
    }
}

#[test]
fn the_words_do_not_depend_on_how_a_body_is_cut() {
    for &(body, _) in go_rows::REFUSED {
        let whole = scan(Api::Completions, body);
        let bytewise: Vec<Bytes> = body.iter().map(|&byte| Bytes::from(vec![byte])).collect();
        assert_eq!(scan_split(Api::Completions, &bytewise), whole, "{}", body.escape_ascii());
        for cut in 0..body.len() {
            let (head, tail) = body.split_at(cut);
            let chunks = [Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)];
            assert_eq!(scan_split(Api::Completions, &chunks), whole, "{}", body.escape_ascii());
        }
    }
}

#[test]
fn numbers_are_refused_exactly_from_where_they_round_to_infinity() {
    // 2^1024 - 2^970 and its neighbours, plain and with the point moved.
    const LEAST: &str = "179769313486231580793728971405303415079934132710037826936173778980444968292\
                         764750946649017977587207096330286416692887910946555547851940402630657488671\
                         505820681908902000708383676273854845817711531764475730270069855571366959622\
                         842914819860834936475292719074168444365510704342711559699508093042880177904\
                         174497792";
    let below = LEAST.replace("4497792", "4497791");
    let rows = [
        (LEAST.to_owned(), false),
        (below.clone(), true),
        (format!("-{LEAST}"), false),
        (format!("-{below}"), true),
        (format!("{below}.999"), true),
        (format!("{LEAST}000e-3"), false),
        (format!("{below}000e-3"), true),
        (format!("0.{LEAST}e309"), false),
        (format!("0.{below}e309"), true),
        (format!("0.000{LEAST}e312"), false),
        (format!("0.000{below}e312"), true),
        ("1e308".to_owned(), true),
        ("1e309".to_owned(), false),
        ("0e999999".to_owned(), true),
        ("0.0e999999".to_owned(), true),
        ("1e-999999".to_owned(), true),
        (format!("1{}", "0".repeat(308)), true),
        (format!("1{}", "0".repeat(309)), false),
        (format!("0.{}1e400", "0".repeat(100)), true),
    ];
    for (number, accepted) in rows {
        assert_eq!(number.parse::<f64>().is_ok_and(f64::is_finite), accepted, "{number}");
        let body = format!("{{\"prompt\":\"x\",\"n\":{number}}}");
        assert_eq!(scan(Api::Completions, body.as_bytes()).is_ok(), accepted, "{number}");
    }
}
