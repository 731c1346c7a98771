//! A series on a metrics page, named as `name` or `name{label=value,other="value"}`.

use std::collections::BTreeMap;

/// A metric's name and the labels that a series must carry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricSpec {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

impl MetricSpec {
    /// A metric of any labels. The name is not checked.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), labels: BTreeMap::new() }
    }

    /// Reads a specification; `None` if it is none. Values may be quoted or not.
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let (name, labels) = match text.split_once('{') {
            Some((name, rest)) => (name.trim_end(), rest.strip_suffix('}')?),
            None => (text, ""),
        };
        if !is_name(name, true) || labels.contains(['{', '}']) {
            return None;
        }
        let mut spec = Self::named(name);
        if labels.trim().is_empty() {
            return Some(spec);
        }
        for pair in labels.split(',') {
            let (label, value) = pair.split_once('=')?;
            let (label, value) = (label.trim(), value.trim());
            let value = match value.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"')?,
                None if value.is_empty() || value.contains(char::is_whitespace) => return None,
                None => value,
            };
            if !is_name(label, false) || value.contains('"') {
                return None;
            }
            spec.labels.insert(label.to_owned(), value.to_owned());
        }
        Some(spec)
    }
}

/// Whether `text` can name a metric (where colons are allowed) or a label.
fn is_name(text: &str, colons: bool) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    text.starts_with(|c: char| legal(c) && !c.is_ascii_digit()) && text.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &[(&str, &str)])>) {
        let expected = expected.map(|(name, labels)| MetricSpec {
            name: name.to_owned(),
            labels: labels.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
        });
        assert_eq!(MetricSpec::from_text(text), expected, "{text}");
    }

    #[test]
    fn a_name_alone_is_a_specification() {
        check("vllm:num_requests_waiting", Some(("vllm:num_requests_waiting", &[])));
        check(" up {} ", Some(("up", &[])));
    }

    #[test]
    fn labels_may_be_quoted_or_not() {
        check("m{type=waiting}", Some(("m", &[("type", "waiting")])));
        check("m{ a = \"x y\" , b=z }", Some(("m", &[("a", "x y"), ("b", "z")])));
        check("m{a=\"\"}", Some(("m", &[("a", "")])));
    }

    #[test]
    fn what_is_no_specification_is_refused() {
        for text in [
            "", "1m", "a b", "m{", "m}", "m{a}", "m{a=}", "m{a=\"x}", "m{a:b=c}", "m{a=b}}", "m{,}",
        ] {
            check(text, None);
        }
    }
}
