//! The API requests that a simulated server understands, read as vLLM reads them.

use http::StatusCode;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::tokens::Tokens;

/// Which of the two ways to ask for text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/completions`
    Completions,
    /// `/v1/chat/completions`
    Chat,
}

/// Where a stream tells its usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    Nowhere,
    /// In an event of its own, the last.
    AtTheEnd,
    /// There and in every event before it (`continuous_usage_stats`, which only vLLM has).
    Everywhere,
}

/// One request, checked.
#[derive(Clone, Debug)]
pub struct Call {
    pub api: Api,
    /// The model asked for; without one the base model answers.
    pub model: Option<String>,
    /// At least one, none of them empty.
    pub prompts: Vec<Tokens>,
    /// Answers to each prompt, at least 1.
    pub choices: usize,
    /// At least 1, if given.
    pub max_tokens: Option<usize>,
    pub stream: bool,
    pub stream_usage: StreamUsage,
    pub cache_salt: Option<String>,
}

/// A request that is answered with an error, in the form that vLLM gives it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Refusal {
    pub status: StatusCode,
    pub kind: &'static str,
    pub message: String,
    pub param: Option<&'static str>,
}

impl Refusal {
    /// A request that makes no sense.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestError", message)
    }

    /// A request for a model that is not there.
    pub fn no_model(name: &str) -> Self {
        let message = format!("The model `{name}` does not exist.");
        let refusal = Self::new(StatusCode::NOT_FOUND, "NotFoundError", message);
        Self { param: Some("model"), ..refusal }
    }

    /// Any other.
    pub fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), param: None }
    }

    /// The body of the answer.
    pub fn json(&self) -> String {
        let Self { status, kind, message, param } = self;
        let code = status.as_u16();
        serde_json::json!({
            "error": {"message": message, "type": kind, "param": param, "code": code}
        })
        .to_string()
    }
}

/// The fields of both APIs. Unknown fields are ignored, as vLLM does.
#[derive(Debug, Deserialize)]
struct Fields {
    model: Option<String>,
    prompt: Option<Prompt>,
    messages: Option<Vec<Message>>,
    tools: Option<Vec<Value>>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    n: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    cache_salt: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
    continuous_usage_stats: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
    tool_calls: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

/// Reads `body`. The model's name is not looked up here.
pub fn read(api: Api, body: &[u8]) -> Result<Call, Refusal> {
    let fields: Fields = serde_json::from_slice(body)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "Bad Request", error.to_string()))?;
    if fields.stream_options.is_some() && fields.stream != Some(true) {
        return Err(Refusal::bad("Stream options can only be defined when `stream=True`."));
    }
    if fields.cache_salt.as_deref() == Some("") {
        return Err(Refusal::bad("Parameter 'cache_salt' must be a non-empty string if provided."));
    }
    let max_tokens = match api {
        Api::Chat => fields.max_completion_tokens.or(fields.max_tokens),
        Api::Completions => fields.max_tokens,
    };
    let prompts = match api {
        Api::Completions => fields.prompt.ok_or_else(|| missing("prompt"))?.0,
        Api::Chat => {
            let messages = fields.messages.ok_or_else(|| missing("messages"))?;
            vec![conversation(&fields.tools.unwrap_or_default(), &messages)?]
        }
    };
    if prompts.is_empty() || prompts.iter().any(Tokens::is_empty) {
        return Err(Refusal::bad("The decoder prompt cannot be empty"));
    }
    Ok(Call {
        api,
        model: fields.model,
        prompts,
        choices: at_least_one("n", fields.n)?.unwrap_or(1),
        max_tokens: at_least_one("max_tokens", max_tokens)?,
        stream: fields.stream.unwrap_or(false),
        stream_usage: stream_usage(&fields.stream_options.unwrap_or_default()),
        cache_salt: fields.cache_salt,
    })
}

fn stream_usage(options: &StreamOptions) -> StreamUsage {
    match (options.include_usage, options.continuous_usage_stats) {
        (Some(true), Some(true)) => StreamUsage::Everywhere,
        (Some(true), Some(false) | None) => StreamUsage::AtTheEnd,
        (Some(false) | None, _) => StreamUsage::Nowhere,
    }
}

fn missing(field: &'static str) -> Refusal {
    let message = format!("Field required: {field}");
    Refusal { param: Some(field), ..Refusal::new(StatusCode::BAD_REQUEST, "Bad Request", message) }
}

fn at_least_one(name: &'static str, value: Option<i64>) -> Result<Option<usize>, Refusal> {
    let Some(value) = value else {
        return Ok(None);
    };
    match usize::try_from(value) {
        Ok(value) if 1 <= value => Ok(Some(value)),
        Ok(_) | Err(_) => {
            let message = format!("{name} must be at least 1, got {value}.");
            Err(Refusal { param: Some(name), ..Refusal::bad(message) })
        }
    }
}

/// What a chat template makes of a conversation: the tools, each message between marks, and the
/// opening of the answer.
fn conversation(tools: &[Value], messages: &[Message]) -> Result<Tokens, Refusal> {
    if messages.is_empty() {
        return Err(Refusal::bad("Field required: messages must not be empty"));
    }
    let mut tokens = Tokens::default();
    if !tools.is_empty() {
        tokens.open_message("tools");
        for tool in tools {
            tokens.push_text(&tool.to_string());
        }
        tokens.close_message();
    }
    for message in messages {
        tokens.open_message(&message.role);
        match &message.content {
            Some(Content::Text(text)) => tokens.push_text(text),
            Some(Content::Parts(parts)) => {
                for part in parts {
                    push_part(&mut tokens, part);
                }
            }
            None => {}
        }
        for call in message.tool_calls.iter().flatten() {
            tokens.push_text(&call.to_string());
        }
        tokens.close_message();
    }
    tokens.open_message("assistant");
    Ok(tokens)
}

fn push_part(tokens: &mut Tokens, part: &Value) {
    let text = part.as_str().or_else(|| part.get("text").and_then(Value::as_str));
    match text {
        Some(text) => tokens.push_text(text),
        None => tokens.push_media(&part.to_string()),
    }
}

/// The prompts of a completion: text, a list of texts, token ids, or a list of token-id lists.
#[derive(Debug)]
struct Prompt(Vec<Tokens>);

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PromptVisitor)
    }
}

struct PromptVisitor;

/// One member of a list of prompts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Member {
    Id(u32),
    Text(String),
    Ids(Vec<u32>),
}

impl<'de> Visitor<'de> for PromptVisitor {
    type Value = Prompt;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("prompt to be a string, strings, token ids or lists of token ids")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Prompt, E> {
        Ok(Prompt(vec![Tokens::of_text(text)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Prompt, A::Error> {
        let mut prompts = Vec::new();
        let mut ids: Vec<u32> = Vec::new();
        while let Some(member) = list.next_element::<Member>()? {
            match member {
                Member::Id(id) => ids.push(id),
                Member::Text(text) => prompts.push(Tokens::of_text(&text)),
                Member::Ids(ids) => prompts.push(Tokens::of_ids(&ids)),
            }
        }
        match (prompts.is_empty(), ids.is_empty()) {
            (_, true) => Ok(Prompt(prompts)),
            (true, false) => Ok(Prompt(vec![Tokens::of_ids(&ids)])),
            (false, false) => Err(serde::de::Error::custom("prompt mixes ids with other members")),
        }
    }
}

#[cfg(test)]
mod tests;
