//! Which sample of a metrics page is meant: a family's name and labels it must carry.

/// A family and the labels that its sample must carry, written `name` or `name{label=value,...}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
}

/// Why a selector cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("{text:?} does not begin with a metric name: letters, digits, '_' and ':'")]
    Name { text: String },
    #[error("{text:?} opens '{{' and does not end with '}}'")]
    Braces { text: String },
    #[error("{pair:?} in {text:?} is not label=value or label=\"value\"")]
    Label { text: String, pair: String },
}

impl Selector {
    /// Reads `name`, `name{label=value}` or `name{label="value",...}`. Blanks around each part are
    /// ignored; a value holds neither commas nor quotes.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let trimmed = text.trim();
        let (name, block) = match trimmed.split_once('{') {
            None => (trimmed, ""),
            Some((name, rest)) => {
                let Some(block) = rest.strip_suffix('}') else {
                    return Err(SelectorError::Braces { text: text.to_owned() });
                };
                (name.trim_end(), block.trim())
            }
        };
        if !is_name(name, true) {
            return Err(SelectorError::Name { text: text.to_owned() });
        }
        let mut labels = Vec::new();
        if !block.is_empty() {
            for pair in block.split(',') {
                let label = parse_label(pair).ok_or_else(|| SelectorError::Label {
                    text: text.to_owned(),
                    pair: pair.to_owned(),
                })?;
                labels.push(label);
            }
        }
        Ok(Self { name: name.to_owned(), labels })
    }
}

fn parse_label(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let value = match value.strip_prefix('"') {
        Some(opened) => opened.strip_suffix('"')?,
        None if value.is_empty() => return None,
        None => value,
    };
    let plain = !value.contains(['"', '{', '}']);
    (is_name(name, false) && plain).then(|| (name.to_owned(), value.to_owned()))
}

/// Prometheus's classic names: metrics may hold ':', labels may not.
fn is_name(name: &str, colons: bool) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
    let mut bytes = name.bytes();
    bytes.next().is_some_and(legal) && bytes.all(|byte| legal(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Selector, SelectorError};

    fn selector(name: &str, labels: &[(&str, &str)]) -> Selector {
        let labels = labels.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        Selector { name: name.to_owned(), labels }
    }

    #[test]
    fn reads_every_written_form() {
        let rows = [
            ("vllm:num_requests_waiting", selector("vllm:num_requests_waiting", &[])),
            ("  up  ", selector("up", &[])),
            ("up{}", selector("up", &[])),
            ("m{a=b}", selector("m", &[("a", "b")])),
            ("m {a = b}", selector("m", &[("a", "b")])),
            ("m{a=\"b c\"}", selector("m", &[("a", "b c")])),
            ("m{a=\"\"}", selector("m", &[("a", "")])),
            ("m{a=b, c=\"d\"}", selector("m", &[("a", "b"), ("c", "d")])),
        ];
        for (text, expected) in rows {
            assert_eq!(Selector::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_names_no_sample() {
        for text in ["", "  ", "1up", "a b", "{a=b}", "a-b"] {
            assert!(matches!(Selector::parse(text), Err(SelectorError::Name { .. })), "{text}");
        }
        for text in ["m{", "m{a=b", "m{a=b} x"] {
            assert!(matches!(Selector::parse(text), Err(SelectorError::Braces { .. })), "{text}");
        }
        for text in ["m{a}", "m{a=}", "m{=b}", "m{a=b,}", "m{a=\"b}", "m{a:b=c}", "m{a=b\"}"] {
            assert!(matches!(Selector::parse(text), Err(SelectorError::Label { .. })), "{text}");
        }
    }
}
