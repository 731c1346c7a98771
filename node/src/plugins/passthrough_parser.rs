//! `passthrough-parser`: takes what no other parser claims and reads nothing of it.

use super::{Parser, Plugin};

pub(super) const TYPE: &str = "passthrough-parser";

pub(super) fn build() -> Plugin {
    Plugin::Parser(Parser::Passthrough)
}
