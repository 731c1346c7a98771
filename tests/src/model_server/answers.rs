//! What a simulated server says: whole answers, and the events of a stream.

use std::fmt::Write;

use serde::Serialize;

use super::counters::Finish;
use super::openai::{Api, StreamUsage};
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
    /// Of each prompt.
    pub(super) prompt_tokens: Vec<usize>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptTokensDetails>,
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
        let details = PromptTokensDetails { cached_tokens };
        let usage = Usage::new(self.prompt_tokens.iter().sum(), completion_tokens);
        Usage { prompt_tokens_details: Some(details), ..usage }
    }
}

impl Usage {
    fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        let total_tokens = prompt_tokens + completion_tokens;
        Self { prompt_tokens, total_tokens, completion_tokens, prompt_tokens_details: None }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers have a JSON form")
}

/// Writes the events of one stream.
#[derive(Debug)]
pub(super) struct Events {
    answer: Answer,
    usage: StreamUsage,
    /// The beginning of every event, up to its choices.
    head: String,
    /// Tokens written of each choice.
    written: Vec<usize>,
}

impl Events {
    pub(super) fn new(answer: Answer, usage: StreamUsage) -> Self {
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
        Self { written: vec![0; answer.fingerprints.len()], answer, usage, head }
    }

    /// Tokens written so far, of all choices.
    pub(super) fn tokens_written(&self) -> usize {
        self.written.iter().sum()
    }

    /// Appends an event for every token that `reached` adds, but no more than `tokens_max`.
    pub(super) fn write(&mut self, reached: &[Progress], tokens_max: usize, events: &mut String) {
        let mut tokens_left = tokens_max;
        for (index, progress) in reached.iter().enumerate() {
            let written = self.written.get(index).copied().unwrap_or(usize::MAX);
            for token in (written..progress.output_tokens).take(tokens_left) {
                let is_last = token + 1 == progress.output_tokens;
                self.write_token(index, token, progress.finish.filter(|_| is_last), events);
                tokens_left -= 1;
            }
        }
    }

    fn write_token(
        &mut self,
        index: usize,
        token: usize,
        finish: Option<Finish>,
        events: &mut String,
    ) {
        if let Some(written) = self.written.get_mut(index) {
            *written = token + 1;
        }
        let fingerprint = self.answer.fingerprints.get(index).copied().unwrap_or(0);
        let mut text = String::new();
        answer_text(fingerprint, token as u64, token as u64 + 1, &mut text);
        match self.answer.api {
            Api::Completions => {
                self.write_choice(
                    (index, token + 1),
                    &format!("\"text\":\"{text}\""),
                    finish,
                    events,
                );
            }
            Api::Chat => {
                if token == 0 {
                    let role = "\"delta\":{\"role\":\"assistant\",\"content\":\"\"}";
                    self.write_choice((index, 0), role, None, events);
                }
                let content = format!("\"delta\":{{\"content\":\"{text}\"}}");
                self.write_choice((index, token + 1), &content, finish, events);
            }
        }
    }

    /// Appends one event: which choice it is of and how many tokens that has, and what it says.
    fn write_choice(
        &self,
        (index, tokens): (usize, usize),
        said: &str,
        finish: Option<Finish>,
        events: &mut String,
    ) {
        let head = &self.head;
        push(events, format_args!("{head}{{\"index\":{index},{said},\"logprobs\":null,"));
        match finish.map(Finish::word) {
            Some(word) => push(events, format_args!("\"finish_reason\":\"{word}\"}}]")),
            None => push(events, format_args!("\"finish_reason\":null}}]")),
        }
        if self.usage == StreamUsage::Everywhere {
            let prompt = index / self.answer.choices_per_prompt.max(1);
            let prompt_tokens = self.answer.prompt_tokens.get(prompt).copied().unwrap_or(0);
            let usage = json(&Usage::new(prompt_tokens, tokens));
            push(events, format_args!(",\"usage\":{usage}"));
        }
        events.push_str("}\n\n");
    }

    /// Appends what follows the last token.
    pub(super) fn write_end(&self, reached: &[Progress], events: &mut String) {
        if self.usage != StreamUsage::Nowhere {
            let usage = json(&self.answer.usage(reached));
            push(events, format_args!("{}],\"usage\":{usage}}}\n\n", self.head));
        }
        events.push_str("data: [DONE]\n\n");
    }
}

fn push(events: &mut String, text: std::fmt::Arguments<'_>) {
    events.write_fmt(text).expect("a String takes all text");
}
