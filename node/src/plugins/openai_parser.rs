//! `openai-parser`: reads completions and chat completions.

use super::{Parser, Plugin};

pub(super) const TYPE: &str = "openai-parser";

pub(super) fn build() -> Plugin {
    Plugin::Parser(Parser::OpenAi)
}
