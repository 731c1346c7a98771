//! Which API a request speaks, told from its path.

/// The shape of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/completions`, `/completions/render`
    Completions,
    /// `/chat/completions`, `/chat/completions/render`
    Chat,
    /// `/embeddings`
    Embeddings,
    /// `/responses`
    Responses,
    /// `/conversations`
    Conversations,
    /// `/images/generations`
    Images,
    /// Any other path: the body is not read, there is no model and no prompt.
    Passthrough,
}

/// Path endings and what they claim, longest first. As in the picker that this one replaces, an
/// ending need not begin at a slash.
const CLAIMS: [(&str, Api); 8] = [
    ("chat/completions/render", Api::Chat),
    ("images/generations", Api::Images),
    ("completions/render", Api::Completions),
    ("chat/completions", Api::Chat),
    ("conversations", Api::Conversations),
    ("completions", Api::Completions),
    ("embeddings", Api::Embeddings),
    ("responses", Api::Responses),
];

impl Api {
    /// The API that `path` (as in `:path`, query and all) asks for. An empty path is that of a
    /// request whose path is not known, and counts as completions.
    pub fn of_path(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        if path.is_empty() {
            return Self::Completions;
        }
        let path = path.trim();
        let path = path.strip_suffix('/').unwrap_or(path);
        let claim = CLAIMS.iter().find(|(ending, _)| path.ends_with(ending));
        claim.map_or(Self::Passthrough, |&(_, api)| api)
    }

    /// Whether a request without a model is refused, and the model may be rewritten.
    pub fn needs_model(self) -> bool {
        self != Self::Passthrough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &[(&str, Api)]) {
        for &(path, api) in rows {
            assert_eq!(Api::of_path(path), api, "{path}");
        }
    }

    #[test]
    fn the_ending_of_a_path_tells_the_api() {
        check(&[
            ("/v1/completions", Api::Completions),
            ("/v1/completions/", Api::Completions),
            ("/v1/completions/render", Api::Completions),
            ("/v1/completions?beta=true", Api::Completions),
            ("/v1/chat/completions", Api::Chat),
            ("/v1/chat/completions/render", Api::Chat),
            ("/v1/projects/p/endpoints/e/chat/completions", Api::Chat),
            ("/v1/embeddings", Api::Embeddings),
            ("/v1/responses", Api::Responses),
            ("/v1/conversations", Api::Conversations),
            ("/v1/images/generations", Api::Images),
        ]);
    }

    #[test]
    fn an_ending_need_not_begin_at_a_slash() {
        check(&[("/foocompletions", Api::Completions), ("completions", Api::Completions)]);
    }

    #[test]
    fn other_paths_pass_through() {
        check(&[
            ("/v1/models", Api::Passthrough),
            ("/", Api::Passthrough),
            ("/v1/completions//", Api::Passthrough),
            ("/v1/COMPLETIONS", Api::Passthrough),
            ("/v1/models?x=/v1/completions", Api::Passthrough),
        ]);
    }

    #[test]
    fn a_request_without_a_path_counts_as_completions() {
        check(&[("", Api::Completions)]);
    }
}
