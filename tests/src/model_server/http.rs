//! The paths that a simulated server answers.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::body::{Answered, Source};
use super::connection::Fate;
use super::control::{Command, Page, Verdict};
use super::generate;
use super::openai::{Api, Refusal};
use super::server::Shared;

/// The header that tells which server answered: its `ip:port`.
pub const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// The header that tells what arrived as the body of a request for text: [`body_digest`].
pub const BODY_DIGEST: HeaderName = HeaderName::from_static("x-body-digest");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const METRICS: HeaderValue =
    HeaderValue::from_static("text/plain; version=1.0.0; charset=utf-8; escaping=underscores");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Names a body by its content and length, so that a test can tell whether it arrived unchanged.
pub fn body_digest(body: &[u8]) -> String {
    format!("{:016x}-{}", xxhash_rust::xxh3::xxh3_64(body), body.len())
}

type Answer = Response<Answered>;

/// Answers one request. Requests that are to hang never return.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    fate: &Arc<Fate>,
    request: Request<Incoming>,
) -> Answer {
    let request_id = request.headers().get(REQUEST_ID).cloned();
    let answered = match route(shared, fate, request).await {
        Ok(answer) => answer,
        Err(refusal) => json_answer(refusal.status, refusal.json()),
    };
    let mut answer = answered;
    let headers = answer.headers_mut();
    headers.insert(SERVED_BY, shared.served_by.clone());
    headers.insert(http::header::SERVER, HeaderValue::from_static("uvicorn"));
    if let Some(request_id) = request_id {
        headers.insert(REQUEST_ID, request_id);
    }
    answer
}

async fn route(
    shared: &Arc<Shared>,
    fate: &Arc<Fate>,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let path = request.uri().path().to_owned();
    if let Some(name) = path.strip_prefix("/control/") {
        return control(shared, fate, name, request).await;
    }
    let (method, api) = match path.as_str() {
        "/v1/completions" => (Method::POST, Some(Api::Completions)),
        "/v1/chat/completions" => (Method::POST, Some(Api::Chat)),
        "/v1/load_lora_adapter" | "/v1/unload_lora_adapter" => (Method::POST, None),
        "/v1/models" | "/health" | "/ping" | "/metrics" | "/version" => (Method::GET, None),
        _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "Not Found", "Not Found")),
    };
    if request.method() != method && !(request.method() == Method::HEAD && method == Method::GET) {
        let kind = "Method Not Allowed";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, kind, kind));
    }
    if let Some(api) = api {
        return text(shared, fate, api, request).await;
    }
    let verdict = shared.faults().rule_other(Instant::now());
    match verdict {
        Verdict::Hang => return pending().await,
        Verdict::Refuse(status, why) => return Err(unavailable(status, why)),
        Verdict::Serve { .. } => {}
    }
    match path.as_str() {
        "/v1/load_lora_adapter" => load_adapter(shared, &collect(shared, request).await?),
        "/v1/unload_lora_adapter" => unload_adapter(shared, &collect(shared, request).await?),
        "/v1/models" => Ok(json_answer(StatusCode::OK, models(shared).to_string())),
        "/version" => Ok(json_answer(StatusCode::OK, json!({"version": "0.11.0"}).to_string())),
        "/metrics" => metrics(shared, fate).await,
        _ => Ok(health(shared)),
    }
}

fn unavailable(status: StatusCode, why: &str) -> Refusal {
    let kind = if status.is_server_error() { "InternalServerError" } else { "BadRequestError" };
    Refusal::new(status, kind, why)
}

/// Answers a request for text.
async fn text(
    shared: &Arc<Shared>,
    fate: &Arc<Fate>,
    api: Api,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let request_id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let request_id = request_id.map(str::to_owned);
    let body = collect(shared, request).await?;
    let verdict = shared.faults().rule(Instant::now());
    let reset_after_tokens = match verdict {
        Verdict::Hang => return pending().await,
        Verdict::Refuse(status, why) => {
            shared.count_refusal();
            return Err(unavailable(status, why));
        }
        Verdict::Serve { reset_after_tokens } => reset_after_tokens,
    };
    let digest = body_digest(&body);
    let asked = generate::Asked { api, request_id, reset_after_tokens };
    let generated = generate::generate(shared, fate, asked, &body).await;
    let generated = generated.inspect_err(|_| shared.count_refusal())?;
    let kind = if generated.is_stream { EVENTS } else { JSON };
    let mut answer = with_type(StatusCode::OK, kind, generated.body);
    if let Ok(digest) = HeaderValue::from_str(&digest) {
        answer.headers_mut().insert(BODY_DIGEST, digest);
    }
    Ok(answer)
}

async fn control(
    shared: &Arc<Shared>,
    fate: &Arc<Fate>,
    name: &str,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    fate.carries_commands();
    if name == "statistics" {
        let statistics = serde_json::to_string(&shared.statistics()).unwrap_or_default();
        return Ok(json_answer(StatusCode::OK, statistics));
    }
    if name == "echo" {
        return echo(shared, request).await;
    }
    if request.method() != Method::POST {
        let message = format!("/control/{name} takes POST");
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", message));
    }
    let body = collect(shared, request).await?;
    let command = Command::read(name, &body).map_err(|error| {
        let source = std::error::Error::source(&error);
        Refusal::bad(source.map_or(error.to_string(), |source| format!("{error}: {source}")))
    })?;
    shared.command(&command);
    Ok(json_answer(StatusCode::OK, json!({ "done": command }).to_string()))
}

/// Answers with what arrived, so that a test can see what a proxy made of its request.
async fn echo(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let (head, body) = request.into_parts();
    let collected = collect_all(shared, body).await?;
    let trailers = collected.trailers().map(pairs).unwrap_or_default();
    let body = collected.to_bytes();
    let seen = json!({
        "method": head.method.as_str(), "uri": head.uri.to_string(),
        "version": format!("{:?}", head.version), "headers": pairs(&head.headers),
        "body_digest": body_digest(&body), "body_bytes": body.len(), "trailers": trailers,
    });
    Ok(json_answer(StatusCode::OK, seen.to_string()))
}

fn pairs(headers: &HeaderMap) -> Vec<[String; 2]> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        [name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()]
    };
    headers.iter().map(pair).collect()
}

async fn collect(shared: &Shared, request: Request<Incoming>) -> Result<Bytes, Refusal> {
    Ok(collect_all(shared, request.into_body()).await?.to_bytes())
}

async fn collect_all(shared: &Shared, body: Incoming) -> Result<Collected<Bytes>, Refusal> {
    let bytes_max = shared.settings.body_bytes_max;
    Limited::new(body, bytes_max).collect().await.map_err(|error| {
        let kind = "Request Entity Too Large";
        if error.is::<http_body_util::LengthLimitError>() {
            let message = format!("the body exceeds {bytes_max} bytes");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, kind, message)
        } else {
            Refusal::bad(format!("the body ended early: {error}"))
        }
    })
}

fn health(shared: &Shared) -> Answer {
    let is_ready = shared.faults().is_ready(Instant::now());
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    with_type(status, TEXT, Answered::Ended)
}

async fn metrics(shared: &Shared, fate: &Arc<Fate>) -> Result<Answer, Refusal> {
    let page = shared.faults().page();
    let body = match page {
        Page::Hang => return pending().await,
        Page::Error => {
            return Err(unavailable(StatusCode::INTERNAL_SERVER_ERROR, "no metrics today"));
        }
        Page::Normal => Answered::Whole(shared.metrics_page().into()),
        Page::Broken => Answered::Whole(Bytes::from_static(b"<html>}{ \xff\xfe not metrics\n=")),
        Page::Empty => {
            Answered::Whole(Bytes::from_static(b"# TYPE python_info gauge\npython_info 1.0\n"))
        }
        Page::Truncated => {
            let page = shared.metrics_page();
            let half = Bytes::from(page).split_to(page_half(shared));
            Answered::Source(Source::Half(Some(half), Some(Arc::clone(fate))))
        }
        Page::Huge => huge(shared),
    };
    Ok(with_type(StatusCode::OK, METRICS, body))
}

fn page_half(shared: &Shared) -> usize {
    shared.metrics_page().len() / 2
}

/// How many pieces of [`HUGE_PIECE_LINES`] lines make the huge page 64 MiB.
const HUGE_PIECES: usize = 1024;
const HUGE_PIECE_LINES: usize = 1024;

fn huge(shared: &Shared) -> Answered {
    let line = "vllm:filler_total{engine=\"0\",model_name=\"made to be too large\"} 1.0\n";
    let piece = Bytes::from(line.repeat(HUGE_PIECE_LINES));
    let last = Some(shared.metrics_page().into());
    Answered::Source(Source::Repeat { piece, times: HUGE_PIECES, last })
}

fn models(shared: &Shared) -> Value {
    let created = shared.started();
    let base = &shared.settings.model;
    let card = |id: &str, root: &str, parent: Option<&str>, tokens_max: Option<usize>| {
        json!({
            "id": id, "object": "model", "created": created, "owned_by": "vllm", "root": root,
            "parent": parent, "max_model_len": tokens_max
        })
    };
    let tokens_max = shared.settings.engine.sequence_tokens_max;
    let mut cards = vec![card(base, base, None, Some(tokens_max))];
    shared.with_adapters(|known| {
        cards.extend(known.iter().map(|(name, path)| card(name, path, Some(base), None)));
    });
    json!({"object": "list", "data": cards})
}

#[derive(Deserialize)]
struct Adapter {
    #[serde(default)]
    lora_name: String,
    #[serde(default)]
    lora_path: String,
    #[serde(default)]
    load_inplace: bool,
}

fn load_adapter(shared: &Shared, body: &[u8]) -> Result<Answer, Refusal> {
    let Adapter { lora_name: name, lora_path: path, load_inplace } = adapter(shared, body)?;
    if name.is_empty() || path.is_empty() {
        return Err(invalid_input("Both 'lora_name' and 'lora_path' must be provided."));
    }
    let is_new = name != shared.settings.model && shared.with_adapters(|k| k.add(&name, &path));
    if !is_new && !load_inplace {
        let message = format!("The lora adapter '{name}' has already been loaded.");
        return Err(invalid_input(&message));
    }
    let done = format!("Success: LoRA adapter '{name}' added successfully.");
    Ok(with_type(StatusCode::OK, TEXT, Answered::Whole(done.into())))
}

fn unload_adapter(shared: &Shared, body: &[u8]) -> Result<Answer, Refusal> {
    let Adapter { lora_name: name, .. } = adapter(shared, body)?;
    if name.is_empty() {
        let message = "'lora_name' needs to be provided to unload a LoRA adapter.";
        return Err(invalid_input(message));
    }
    if !shared.with_adapters(|known| known.remove(&name)) {
        let message = format!("The lora adapter '{name}' cannot be found.");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "NotFoundError", message));
    }
    let done = format!("Success: LoRA adapter '{name}' removed successfully.");
    Ok(with_type(StatusCode::OK, TEXT, Answered::Whole(done.into())))
}

fn adapter(shared: &Shared, body: &[u8]) -> Result<Adapter, Refusal> {
    if shared.settings.engine.max_loras == 0 {
        return Err(invalid_input("LoRA is not enabled: max_loras is 0."));
    }
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "Bad Request", error.to_string()))
}

fn invalid_input(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "InvalidUserInput", message)
}

fn json_answer(status: StatusCode, body: String) -> Answer {
    with_type(status, JSON, Answered::Whole(body.into()))
}

fn with_type(status: StatusCode, kind: HeaderValue, body: Answered) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
