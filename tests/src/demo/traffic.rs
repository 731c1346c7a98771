//! The demo's requests: chats, sent turn by turn through a gateway, and what came of each.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::stage::MODEL;
use super::with_causes;
use crate::body::Body;
use crate::client::{ClientError, Connection, Protocol, Whole};
use crate::conversations::{
    Answer, Chats, Plan, Reply, Request, Style, Traffic, chats, play, read_answer,
};
use crate::model_server::SERVED_BY;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Servers give this header back, and Envoy makes it up.
const REQUEST_ID: &str = "x-request-id";

/// A request that was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Which chat, from 0.
    pub chat: usize,
    /// Which question of it, from 0.
    pub turn: usize,
    /// Which system prompt the chat has, from 0.
    pub system: usize,
    /// The address of the server, by its own words.
    pub by: String,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    /// What Envoy calls the request.
    pub request_id: String,
    /// From sending the request to the first byte of the answer's text.
    pub first_token: Duration,
}

/// A request that was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub what: String,
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, self.why)
    }
}

/// What is told of a request when it has ended.
pub(super) type Report = Result<Served, Failure>;

/// Why an answer is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{}", with_causes(.0))]
    Client(#[from] ClientError),
    #[error("no answer within {ANSWER_WITHIN:?}")]
    Late,
    #[error("status {status}: {body}")]
    Status { status: u16, body: String },
    #[error("the answer is not complete")]
    Incomplete,
    #[error("the answer does not say {what}")]
    Silent { what: &'static str },
}

/// The chats of `seed`. Equal seeds make equal chats.
pub(super) fn draw(seed: u64) -> Vec<Plan> {
    chats(seed, &CHATS)
}

/// Eight applications with two users each, who hardly stop to think.
const CHATS: Chats = Chats {
    groups: 8,
    chats_per_group: 2,
    system_bytes: (4 << 10, 6 << 10),
    turns: (4, 6),
    user_bytes: (400, 1600),
    answer_tokens: (20, 60),
    thinking: (Duration::from_millis(50), Duration::from_millis(250)),
    arriving: Duration::from_secs(4),
};

/// Sends the requests of all `plans` to `gateway`, and reports each as it ends. Returns how many
/// were never sent, because what they would have continued failed.
pub(super) async fn send(
    gateway: SocketAddr,
    plans: Vec<Plan>,
    reports: mpsc::UnboundedSender<Report>,
) -> usize {
    let mut distinct = Vec::new();
    let mut systems = Vec::new();
    for plan in &plans {
        let known = distinct.iter().position(|system| *system == plan.system);
        systems.push(known.unwrap_or(distinct.len()));
        if known.is_none() {
            distinct.push(plan.system);
        }
    }
    let systems: Arc<[usize]> = systems.into();
    let traffic = Traffic::new(MODEL, plans, Style::Chat, true);
    let played = play(traffic, |request: Request| {
        let (reports, systems) = (reports.clone(), Arc::clone(&systems));
        async move {
            let system = systems.get(request.client).copied().unwrap_or_default();
            let (answer, report) = report(gateway, &request, system).await;
            // An error means that nobody listens any more.
            drop(reports.send(report));
            Reply { answer, outcome: () }
        }
    });
    played.await.never_made
}

/// Sends one request. Returns what was said, to be continued, and what to tell of it.
async fn report(gateway: SocketAddr, request: &Request, system: usize) -> (Option<String>, Report) {
    let asked = timeout(ANSWER_WITHIN, ask(gateway, request)).await;
    let outcome = asked.unwrap_or(Err(AskError::Late)).and_then(|whole| {
        let answer = read_answer(&whole.body).filter(|answer| answer.is_complete);
        let answer = answer.ok_or(AskError::Incomplete)?;
        let served = served(request, system, &whole, &answer)?;
        Ok((answer.text, served))
    });
    match outcome {
        Ok((text, served)) => (Some(text), Ok(served)),
        Err(error) => {
            let what = format!("chat {}, turn {}", request.client + 1, request.turn + 1);
            (None, Err(Failure { what, why: error.to_string() }))
        }
    }
}

async fn ask(gateway: SocketAddr, request: &Request) -> Result<Whole, AskError> {
    let mut connection = Connection::open(gateway, Protocol::Http1).await?;
    let mut sent = http::Request::new(Body::whole(request.body.clone()));
    *sent.method_mut() = http::Method::POST;
    *sent.uri_mut() = http::Uri::from_static(request.path);
    let json = http::HeaderValue::from_static("application/json");
    sent.headers_mut().insert(http::header::CONTENT_TYPE, json);
    let whole = connection.send(sent).await?.whole().await?;
    if whole.status.is_success() {
        return Ok(whole);
    }
    let body = String::from_utf8_lossy(&whole.body).trim().to_owned();
    Err(AskError::Status { status: whole.status.as_u16(), body })
}

fn served(
    request: &Request,
    system: usize,
    whole: &Whole,
    answer: &Answer,
) -> Result<Served, AskError> {
    let usage = answer.usage.ok_or(AskError::Silent { what: "how many tokens were cached" })?;
    let by = whole.header(SERVED_BY.as_str()).ok_or(AskError::Silent { what: "who served it" })?;
    let request_id = whole.header(REQUEST_ID).unwrap_or_default().to_owned();
    let first_token = whole.first_byte.ok_or(AskError::Incomplete)?;
    Ok(Served {
        chat: request.client,
        turn: request.turn,
        system,
        by: by.to_owned(),
        prompt_tokens: usage.prompt,
        cached_tokens: usage.cached,
        request_id,
        first_token,
    })
}
