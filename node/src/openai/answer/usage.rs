//! The counts of a usage object.

use crate::openai::json::{Kind, Token};

/// Tokens that a request took. What was not told is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: Option<u64>,
    pub completion_tokens: Option<u64>,
    pub total_tokens: Option<u64>,
    /// Prompt tokens that the engine had in its cache.
    pub cached_tokens: Option<u64>,
}

impl Usage {
    /// Takes what a later event told. A count of zero is no news; a total stands only beside both
    /// counts it sums, and is otherwise summed anew, because an event may tell half.
    pub(super) fn merge(&mut self, told: Self) {
        let news = |count: Option<u64>| count.filter(|&count| 0 < count);
        let (prompt, completion) = (news(told.prompt_tokens), news(told.completion_tokens));
        self.prompt_tokens = prompt.or(self.prompt_tokens).or(told.prompt_tokens);
        self.completion_tokens = completion.or(self.completion_tokens).or(told.completion_tokens);
        self.cached_tokens = told.cached_tokens.or(self.cached_tokens);
        self.total_tokens = match (prompt, completion, news(told.total_tokens)) {
            (Some(_), Some(_), Some(total)) => Some(total),
            _ => match (self.prompt_tokens, self.completion_tokens) {
                (None, None) => told.total_tokens.or(self.total_tokens),
                (prompt, completion) => {
                    Some(prompt.unwrap_or_default().saturating_add(completion.unwrap_or_default()))
                }
            },
        };
    }
}

/// Which count a key names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Count {
    Prompt,
    /// Another name for [`Count::Prompt`], which it yields to.
    Input,
    Completion,
    /// Another name for [`Count::Completion`], which it yields to.
    Output,
    Total,
    Cached,
    /// The object that holds [`Count::Cached`].
    Details,
    #[default]
    Other,
}

impl Count {
    fn of(key: &[u8], depth: u32, in_details: bool) -> Self {
        match (depth, key) {
            (1, b"prompt_tokens") => Self::Prompt,
            (1, b"input_tokens") => Self::Input,
            (1, b"completion_tokens") => Self::Completion,
            (1, b"output_tokens") => Self::Output,
            (1, b"total_tokens") => Self::Total,
            (1, b"cache_read_input_tokens") => Self::Cached,
            (1, b"prompt_tokens_details" | b"input_tokens_details") => Self::Details,
            (2, b"cached_tokens") if in_details => Self::Cached,
            _ => Self::Other,
        }
    }
}

/// A usage object as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    depth: u32,
    in_details: bool,
    key: Count,
    prompt: Option<u64>,
    input: Option<u64>,
    completion: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
}

impl Reading {
    pub(super) fn take<'a>(&mut self, token: Token, short: impl FnOnce() -> Option<&'a [u8]>) {
        match token.kind {
            Kind::Key => {
                self.key =
                    short().map_or(Count::Other, |key| Count::of(key, self.depth, self.in_details));
            }
            Kind::ObjectStart | Kind::ArrayStart => {
                if self.depth == 1 {
                    self.in_details = self.key == Count::Details && token.kind == Kind::ObjectStart;
                }
                self.key = Count::Other;
                self.depth += 1;
            }
            Kind::ObjectEnd | Kind::ArrayEnd => self.depth = self.depth.saturating_sub(1),
            // Some servers write counts as strings.
            Kind::Number(_) | Kind::String { .. } => {
                if let (Some(place), Some(count)) = (self.place(), short().and_then(count)) {
                    *place = Some(count);
                }
            }
            Kind::True | Kind::False | Kind::Null => {}
        }
    }

    fn place(&mut self) -> Option<&mut Option<u64>> {
        match self.key {
            Count::Prompt => Some(&mut self.prompt),
            Count::Input => Some(&mut self.input),
            Count::Completion => Some(&mut self.completion),
            Count::Output => Some(&mut self.output),
            Count::Total => Some(&mut self.total),
            Count::Cached => Some(&mut self.cached),
            Count::Details | Count::Other => None,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt.or(self.input),
            completion_tokens: self.completion.or(self.output),
            total_tokens: self.total,
            cached_tokens: self.cached,
        }
    }
}

/// A count, however the number is written; its fraction does not count.
fn count(literal: &[u8]) -> Option<u64> {
    let text = str::from_utf8(literal).ok()?;
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let number: f64 = text.parse().ok()?;
    if !(0.0..1e18).contains(&number) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the bounds of a u64, and the fraction is to be dropped"
    )]
    Some(number as u64)
}
