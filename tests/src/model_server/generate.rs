//! From a request for text to the body that answers it.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::answers::{Answer, Events};
use super::body::{Answered, Source, TokenStream};
use super::connection::Fate;
use super::counters::Finish;
use super::engine::Request;
use super::openai::{self, Api, Call, Refusal};
use super::server::{Shared, Ticket, wall};
use super::tokens::{Chain, chain_root};

/// What is known of a request for text besides its body.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) api: Api,
    pub(super) request_id: Option<String>,
    pub(super) reset_after_tokens: Option<usize>,
}

/// A body and what it is.
pub(super) struct Generated {
    pub(super) body: Answered,
    pub(super) is_stream: bool,
}

/// Tokens of a completion whose request names no limit, as the API defines it.
const COMPLETION_TOKENS: usize = 16;

/// Bounds between which the length of a chat answer is drawn when its request names no limit.
const CHAT_TOKENS: std::ops::Range<u64> = 32..160;

/// Answers `body`; returns when the answer begins, which for a stream is at once.
pub(super) async fn generate(
    shared: &Arc<Shared>,
    fate: &Arc<Fate>,
    asked: Asked,
    body: &[u8],
) -> Result<Generated, Refusal> {
    let call = openai::read(asked.api, body)?;
    let requests = engine_requests(shared, &call)?;
    let prefix = match asked.api {
        Api::Completions => "cmpl",
        Api::Chat => "chatcmpl",
    };
    let random = || format!("{:032x}", fastrand::u128(..));
    let request_id = asked.request_id.filter(|id| !id.is_empty()).unwrap_or_else(random);
    let prompt_tokens =
        requests.iter().step_by(call.choices).map(|one| one.prompt_tokens).collect();
    let answer = Answer {
        api: asked.api,
        id: format!("{prefix}-{request_id}"),
        created: wall().as_secs(),
        model: call.model.clone().unwrap_or_else(|| shared.settings.model.clone()),
        fingerprints: requests.iter().map(|request| request.chain.fingerprint()).collect(),
        choices_per_prompt: call.choices,
        prompt_tokens,
    };
    let ticket = shared.submit(requests);
    let (fate, reset_after_tokens) = (Arc::clone(fate), asked.reset_after_tokens);
    if call.stream {
        let events = Events::new(answer, call.stream_usage);
        let stream = TokenStream { ticket, events, reset_after_tokens, fate, is_complete: false };
        let body = Answered::Source(Source::Tokens(Box::new(stream)));
        return Ok(Generated { body, is_stream: true });
    }
    let whole = whole_answer(ticket, &answer, &fate).await?;
    let body = match reset_after_tokens {
        Some(_) => Answered::Source(half(whole, fate)),
        None => Answered::Whole(whole),
    };
    Ok(Generated { body, is_stream: false })
}

async fn whole_answer(mut ticket: Ticket, answer: &Answer, fate: &Fate) -> Result<Bytes, Refusal> {
    let finished =
        ticket.reached.wait_for(|choices| choices.iter().all(|choice| choice.finish.is_some()));
    let Ok(reached) = finished.await.map(|reached| reached.clone()) else {
        // The server restarted: this answer is never seen, its connection is reset.
        fate.reset();
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Err(Refusal::new(status, "InternalServerError", "EngineDeadError"));
    };
    Ok(answer.whole(&reached).into())
}

fn half(mut whole: Bytes, fate: Arc<Fate>) -> Source {
    let half = whole.split_to(whole.len() / 2);
    Source::Half(Some(half), Some(fate))
}

/// One request for each choice of each prompt.
fn engine_requests(shared: &Shared, call: &Call) -> Result<Vec<Request>, Refusal> {
    let settings = &shared.settings;
    let adapter = match call.model.as_deref() {
        None => None,
        Some(model) if model == settings.model => None,
        Some(model) => {
            let known = shared.with_adapters(|known| known.find(model));
            Some(known.ok_or_else(|| Refusal::no_model(model))?)
        }
    };
    let count = call.prompts.len().saturating_mul(call.choices);
    if settings.sequences_per_request_max < count {
        let count_max = settings.sequences_per_request_max;
        let message = format!("at most {count_max} prompts times n in one request, not {count}");
        return Err(Refusal::bad(message));
    }
    let root = chain_root(adapter.as_deref(), call.cache_salt.as_deref());
    let mut requests = Vec::with_capacity(count);
    for prompt in &call.prompts {
        let prompt_tokens = prompt.len();
        let chain = Chain::new(prompt, settings.engine.block_tokens, root);
        let tokens_max = settings.engine.sequence_tokens_max;
        let (output_tokens, finish) =
            output(call, &chain, tokens_max.saturating_sub(prompt_tokens));
        if tokens_max < prompt_tokens + output_tokens {
            return Err(too_long(tokens_max, prompt_tokens, output_tokens));
        }
        for _ in 0..call.choices {
            requests.push(Request {
                chain: chain.clone(),
                prompt_tokens,
                output_tokens,
                finish,
                adapter: adapter.clone(),
                choices_asked: call.choices,
                max_tokens_asked: call.max_tokens,
            });
        }
    }
    Ok(requests)
}

/// How long the answer gets and why it ends. The simulated model always talks as long as it may;
/// in a chat without a limit it stops by itself.
fn output(call: &Call, chain: &Chain, tokens_left: usize) -> (usize, Finish) {
    if let Some(max_tokens) = call.max_tokens {
        return (max_tokens, Finish::Length);
    }
    let (wanted, finish) = match call.api {
        Api::Completions => (COMPLETION_TOKENS, Finish::Length),
        Api::Chat => {
            let drawn = chain.fingerprint() % (CHAT_TOKENS.end - CHAT_TOKENS.start);
            let wanted = CHAT_TOKENS.start + drawn;
            (usize::try_from(wanted).unwrap_or(COMPLETION_TOKENS), Finish::Stop)
        }
    };
    if tokens_left < wanted { (tokens_left.max(1), Finish::Length) } else { (wanted, finish) }
}

fn too_long(tokens_max: usize, prompt_tokens: usize, output_tokens: usize) -> Refusal {
    let total = prompt_tokens + output_tokens;
    Refusal::bad(format!(
        "This model's maximum context length is {tokens_max} tokens. However, you requested \
         {total} tokens ({prompt_tokens} in the prompt, {output_tokens} in the answer)."
    ))
}
