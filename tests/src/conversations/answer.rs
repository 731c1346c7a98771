//! Reading what a model server answered: its text and what it cost.

use serde::Deserialize;

/// An answer, whether it was streamed or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The text of the first choice.
    pub text: String,
    pub finish_reason: Option<String>,
    /// Without it the server did not say; a stream says only when asked.
    pub usage: Option<Usage>,
    /// Whether a stream came to its `[DONE]`; true of an answer that is none.
    pub is_complete: bool,
}

/// What an answer cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u64,
    pub completion: u64,
    pub cached: u64,
}

/// One JSON document of an answer: all of it, or one event of a stream.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<UsagePart>,
}

#[derive(Deserialize)]
struct Choice {
    index: u32,
    text: Option<String>,
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct UsagePart {
    prompt_tokens: u64,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// Reads the body of an answer to a completion or chat request, streamed or not. A stream that was
/// cut is read as far as it goes. `None` if it is no such answer.
pub fn read_answer(body: &[u8]) -> Option<Answer> {
    let body = std::str::from_utf8(body).ok()?;
    let mut answer = Answer::default();
    if !body.starts_with("data:") {
        answer.add(serde_json::from_str(body).ok()?);
        answer.is_complete = true;
        return Some(answer);
    }
    for line in body.lines() {
        let Some(event) = line.strip_prefix("data:") else {
            continue;
        };
        if event.trim() == "[DONE]" {
            answer.is_complete = true;
        } else if let Ok(part) = serde_json::from_str(event) {
            answer.add(part);
        }
    }
    Some(answer)
}

impl Answer {
    fn add(&mut self, part: Part) {
        for choice in part.choices.into_iter().filter(|choice| choice.index == 0) {
            let said = choice.text.or(choice.delta.and_then(|delta| delta.content));
            self.text.push_str(&said.unwrap_or_default());
            self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
        }
        if let Some(usage) = part.usage {
            let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
            self.usage = Some(Usage {
                prompt: usage.prompt_tokens,
                completion: usage.completion_tokens.unwrap_or(0),
                cached: cached.unwrap_or(0),
            });
        }
    }
}
