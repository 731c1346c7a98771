//! The model's name in a response, put back to the one that the client asked for.

use bytes::Bytes;
use memchr::memmem::Finder;

/// Replaces one model's name by another where a JSON body names its model.
#[derive(Debug)]
pub(super) struct Rename {
    served: Finder<'static>,
    asked: String,
}

impl Rename {
    /// A rename from `served` to `asked`; `None` when there is nothing to rename.
    pub(super) fn new(served: &str, asked: &str) -> Option<Self> {
        if served.is_empty() || asked.is_empty() || served == asked {
            return None;
        }
        let quoted = serde_json::Value::from(served).to_string();
        Some(Self {
            served: Finder::new(quoted.as_bytes()).into_owned(),
            asked: serde_json::Value::from(asked).to_string(),
        })
    }

    /// `chunk` with every `"model":"SERVED"` renamed, with and without a space. A name that is
    /// cut between chunks stays.
    pub(super) fn apply(&self, chunk: Bytes) -> Bytes {
        let mut renamed: Vec<u8> = Vec::new();
        let mut copied = 0;
        for at in self.served.find_iter(&chunk) {
            let before = chunk.get(..at).unwrap_or_default();
            if !before.ends_with(b"\"model\":") && !before.ends_with(b"\"model\": ") {
                continue;
            }
            renamed.extend_from_slice(chunk.get(copied..at).unwrap_or_default());
            renamed.extend_from_slice(self.asked.as_bytes());
            copied = at + self.served.needle().len();
        }
        if copied == 0 {
            return chunk;
        }
        renamed.extend_from_slice(chunk.get(copied..).unwrap_or_default());
        renamed.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chunk: &'static str, expected: &str) {
        let rename = Rename::new("llama-3", "chat \"best\"").unwrap();
        let renamed = rename.apply(Bytes::from_static(chunk.as_bytes()));
        assert_eq!(str::from_utf8(&renamed).unwrap(), expected);
    }

    #[test]
    fn every_naming_of_the_model_is_renamed() {
        check(r#"{"model":"llama-3","x":1}"#, r#"{"model":"chat \"best\"","x":1}"#);
        check(
            r#"{"model": "llama-3"}{"model":"llama-3"}"#,
            r#"{"model": "chat \"best\""}{"model":"chat \"best\""}"#,
        );
    }

    #[test]
    fn other_mentions_stay() {
        check(
            r#"{"text":"llama-3","model":"llama-33"}"#,
            r#"{"text":"llama-3","model":"llama-33"}"#,
        );
    }

    #[test]
    fn equal_and_empty_names_need_no_renaming() {
        assert!(Rename::new("a", "a").is_none());
        assert!(Rename::new("a", "").is_none());
        assert!(Rename::new("", "a").is_none());
    }
}
