//! Why a body is answered with 400, in the words of the picker that this one replaces.

use super::super::{Api, json::SyntaxError};

/// Why a request was refused. The status is 400 and the code `BadRequest`, always.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("error unmarshaling request bodyMap: {_0}")]
    Syntax(SyntaxError),
    #[error(
        "error unmarshaling request bodyMap: json: cannot unmarshal {found} into Go value of type \
         map[string]interface {{}}"
    )]
    NotAnObject { found: &'static str },
    /// A number beyond the range of an `f64`. Long literals are cut.
    #[error(
        "error unmarshaling request bodyMap: json: cannot unmarshal number {literal} into Go value \
         of type float64"
    )]
    NumberTooLarge { literal: String },
    #[error("{}", payload(*api))]
    Payload { api: Api },
    /// For the caller, once it knows that no rule gives the request a model.
    #[error("model not found in request body")]
    NoModel,
}

fn payload(api: Api) -> &'static str {
    match api {
        Api::Completions | Api::Passthrough => {
            "invalid completions request: must have prompt field"
        }
        Api::Chat => "invalid chat completions request: must have valid messages field",
        Api::Embeddings => "invalid embeddings request: must have input field",
        Api::Responses => "invalid responses request: must have input field",
        Api::Conversations => "invalid conversations request: must have items field",
        Api::Images => "invalid images generations request: must have prompt field",
    }
}
