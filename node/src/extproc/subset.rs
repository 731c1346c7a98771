//! The gateway's choice of candidates, told in metadata.

use convoy_proto::hot::RoutingMetadata;
use prost_types::{Value, value::Kind};

use super::names::SUBSET;
use crate::scheduling::Subset;

/// The subset that `metadata` names; `None` when it names none and every endpoint may be picked.
///
/// A list is what gateways send; one text with commas is understood too. Values of other types are
/// no subset, and entries of other types name nobody.
pub(super) fn subset(metadata: &RoutingMetadata) -> Option<Subset> {
    match metadata.subset_hint.as_ref()?.fields.get(SUBSET)?.kind.as_ref()? {
        Kind::ListValue(list) => Some(Subset::from_hint(list.values.iter().filter_map(text))),
        Kind::StringValue(text) => Some(Subset::from_hint(text.split(','))),
        Kind::NullValue(_) | Kind::NumberValue(_) | Kind::BoolValue(_) | Kind::StructValue(_) => {
            None
        }
    }
}

/// The text of a value.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        Kind::NullValue(_)
        | Kind::NumberValue(_)
        | Kind::BoolValue(_)
        | Kind::StructValue(_)
        | Kind::ListValue(_) => None,
    }
}
