//! What a simulated server says: whole answers, and the events of a stream.

use std::fmt::Write;

use serde::Serialize;

use super::counters::Finish;
use super::openai::Api;
use super::sequence::Progress;
use super::tokens::answer_text;

/// What all parts of one answer have in common.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) api: Api,
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) model: String,
    /// Names the text of each choice; see [`answer_text`]. Choices of one prompt stand together.
    pub(super) fingerprints: Vec<u64>,
    pub(super) choices_per_prompt: usize,
    /// Of all prompts together.
    pub(super) prompt_tokens: usize,
}

/// A whole answer, its fields in the order in which vLLM writes them.
#[derive(Serialize)]
struct Whole<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Serialize)]
struct Choice {
    index: usize,
    #[serde(flatten)]
    said: Said,
    logprobs: (),
    finish_reason: Option<&'static str>,
    stop_reason: (),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Text(String),
    Message { role: &'static str, content: String, tool_calls: [(); 0] },
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
    completion_tokens: usize,
    prompt_tokens_details: PromptTokensDetails,
}

#[derive(Serialize)]
struct PromptTokensDetails {
    cached_tokens: usize,
}

impl Answer {
    /// The answer to a request that did not ask for a stream.
    pub(super) fn whole(&self, reached: &[Progress]) -> String {
        let object = match self.api {
            Api::Completions => "text_completion",
            Api::Chat => "chat.completion",
        };
        let choices = self.fingerprints.iter().zip(reached).enumerate();
        json(&Whole {
            id: &self.id,
            object,
            created: self.created,
            model: &self.model,
            choices: choices
                .map(|(index, (&text, reached))| self.choice(index, text, *reached))
                .collect(),
            usage: self.usage(reached),
        })
    }

    fn choice(&self, index: usize, fingerprint: u64, reached: Progress) -> Choice {
        let mut text = String::new();
        answer_text(fingerprint, 0, reached.output_tokens as u64, &mut text);
        let said = match self.api {
            Api::Completions => Said::Text(text),
            Api::Chat => Said::Message { role: "assistant", content: text, tool_calls: [] },
        };
        let finish_reason = reached.finish.map(Finish::word);
        Choice { index, said, logprobs: (), finish_reason, stop_reason: () }
    }

    /// What was computed. Cached tokens are those of all prompts; a prompt counts once, however
    /// many choices it has.
    fn usage(&self, reached: &[Progress]) -> Usage {
        let completion_tokens = reached.iter().map(|progress| progress.output_tokens).sum();
        let first_choices = reached.iter().step_by(self.choices_per_prompt.max(1));
        let cached_tokens = first_choices.map(|progress| progress.cached_tokens).sum();
        Usage {
            prompt_tokens: self.prompt_tokens,
            total_tokens: self.prompt_tokens + completion_tokens,
            completion_tokens,
            prompt_tokens_details: PromptTokensDetails { cached_tokens },
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers have a JSON form")
}

/// Writes the events of one stream.
#[derive(Debug)]
pub(super) struct Events {
    answer: Answer,
    with_usage: bool,
    /// The beginning of every event, up to its choices.
    head: String,
    /// Tokens written of each choice.
    written: Vec<usize>,
}

impl Events {
    pub(super) fn new(answer: Answer, with_usage: bool) -> Self {
        let object = match answer.api {
            Api::Completions => "text_completion",
            Api::Chat => "chat.completion.chunk",
        };
        let (id, model) = (json(&answer.id), json(&answer.model));
        let created = answer.created;
        let head = format!(
            "data: {{\"id\":{id},\"object\":\"{object}\",\"created\":{created},\"model\":{model},\
             \"choices\":["
        );
        Self { written: vec![0; answer.fingerprints.len()], answer, with_usage, head }
    }

    /// Tokens written so far, of all choices.
    pub(super) fn tokens_written(&self) -> usize {
        self.written.iter().sum()
    }

    /// Appends an event for every token that `reached` adds, but no more than `tokens_max`.
    pub(super) fn write(&mut self, reached: &[Progress], tokens_max: usize, events: &mut String) {
        let mut tokens_left = tokens_max;
        let choices = self.answer.fingerprints.iter().zip(&mut self.written).zip(reached);
        for (index, ((&fingerprint, written), progress)) in choices.enumerate() {
            while *written < progress.output_tokens && tokens_left != 0 {
                let token = *written as u64;
                *written += 1;
                tokens_left -= 1;
                let is_last = *written == progress.output_tokens;
                let finish = progress.finish.filter(|_| is_last);
                let mut text = String::new();
                answer_text(fingerprint, token, token + 1, &mut text);
                if self.answer.api == Api::Chat && token == 0 {
                    let role = "{\"role\":\"assistant\",\"content\":\"\"}";
                    write_choice(&self.head, (index, "delta", role), None, events);
                }
                let (field, value) = match self.answer.api {
                    Api::Completions => ("text", format!("\"{text}\"")),
                    Api::Chat => ("delta", format!("{{\"content\":\"{text}\"}}")),
                };
                write_choice(&self.head, (index, field, &value), finish, events);
            }
        }
    }

    /// Appends what follows the last token.
    pub(super) fn write_end(&self, reached: &[Progress], events: &mut String) {
        if self.with_usage {
            let usage = json(&self.answer.usage(reached));
            push(events, format_args!("{}],\"usage\":{usage}}}\n\n", self.head));
        }
        events.push_str("data: [DONE]\n\n");
    }
}

/// Appends one event: `(index, field, value)` is the choice and what it carries, as JSON.
fn write_choice(
    head: &str,
    (index, field, value): (usize, &str, &str),
    finish: Option<Finish>,
    events: &mut String,
) {
    let start = format_args!("{head}{{\"index\":{index},\"{field}\":{value},\"logprobs\":null,");
    push(events, start);
    match finish.map(Finish::word) {
        Some(word) => push(events, format_args!("\"finish_reason\":\"{word}\"}}]}}\n\n")),
        None => push(events, format_args!("\"finish_reason\":null}}]}}\n\n")),
    }
}

fn push(events: &mut String, text: std::fmt::Arguments<'_>) {
    events.write_fmt(text).expect("a String takes all text");
}
