//! One sample line of the Prometheus text format: labels, value, timestamp.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// Drops blanks, which stand between any two parts of a line.
pub(super) fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// One label as it stands on the line, escapes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label<'a> {
    pub(super) name: &'a [u8],
    raw: &'a [u8],
}

impl<'a> Label<'a> {
    /// The value without escapes; `None` if it is not UTF-8.
    pub(super) fn value(&self) -> Option<Cow<'a, str>> {
        let text = std::str::from_utf8(self.raw).ok()?;
        if memchr(b'\\', self.raw).is_none() {
            return Some(Cow::Borrowed(text));
        }
        let mut value = String::with_capacity(text.len());
        let mut rest = text.chars();
        while let Some(letter) = rest.next() {
            if letter != '\\' {
                value.push(letter);
                continue;
            }
            match rest.next() {
                Some('n') => value.push('\n'),
                Some(escaped @ ('\\' | '"')) => value.push(escaped),
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            }
        }
        Some(Cow::Owned(value))
    }
}

/// The labels of a line, read from just behind `{` and yielded in order.
///
/// A label that cannot be read ends the walk; [`Labels::end`] then says so.
#[derive(Clone, Debug)]
pub(super) struct Labels<'a> {
    rest: &'a [u8],
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A label or `}` comes next.
    Open,
    /// A comma or `}` comes next.
    AfterLabel,
    Closed,
    Broken,
}

impl<'a> Labels<'a> {
    /// `rest` begins behind the family's name, at `{` if the line carries labels.
    pub(super) fn new(rest: &'a [u8]) -> Self {
        match skip_blanks(rest) {
            [b'{', inside @ ..] => Self { rest: inside, state: State::Open },
            bare => Self { rest: bare, state: State::Closed },
        }
    }

    /// What stands behind the labels; `None` if they are broken.
    pub(super) fn end(&self) -> Option<&'a [u8]> {
        let mut walk = self.clone();
        while walk.next().is_some() {}
        (walk.state == State::Closed).then_some(walk.rest)
    }

    /// The value of the label `name`; `None` if it is not there or not UTF-8.
    pub(super) fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.clone().find(|label| label.name == name.as_bytes())?.value()
    }

    fn step(&mut self) -> Option<Label<'a>> {
        let mut rest = skip_blanks(self.rest);
        if self.state == State::AfterLabel {
            match rest {
                [b',', behind @ ..] => rest = skip_blanks(behind),
                [b'}', ..] => {}
                _ => return None,
            }
        }
        if let [b'}', behind @ ..] = rest {
            self.rest = behind;
            self.state = State::Closed;
            return None;
        }
        let equals = memchr(b'=', rest)?;
        let (name, behind) = rest.split_at(equals);
        let name = name.trim_ascii_end();
        if name.is_empty() || !name.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        let [b'"', quoted @ ..] = skip_blanks(behind.get(1..)?) else {
            return None;
        };
        let close = closing_quote(quoted)?;
        self.rest = quoted.get(close + 1..)?;
        self.state = State::AfterLabel;
        Some(Label { name, raw: quoted.get(..close)? })
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = Label<'a>;

    fn next(&mut self) -> Option<Label<'a>> {
        if matches!(self.state, State::Closed | State::Broken) {
            return None;
        }
        let label = self.step();
        if label.is_none() && self.state != State::Closed {
            self.state = State::Broken;
        }
        label
    }
}

/// Where the quote stands that ends `quoted`; a backslash hides the byte behind it.
fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', quoted.get(at..)?)?;
        if quoted.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// A sample's number and the time it was made at, by the page's own clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) value: f64,
    /// Zero where the line gives none.
    pub(super) timestamp: f64,
}

/// Reads what stands behind a line's labels: a value, perhaps a timestamp, perhaps an exemplar.
pub(super) fn read_point(behind_labels: &[u8]) -> Option<Point> {
    let (value, rest) = read_number(behind_labels)?;
    let timestamp = match skip_blanks(rest) {
        [] | [b'#', ..] => 0.0,
        more => {
            let (timestamp, rest) = read_number(more)?;
            if timestamp.is_nan() || !matches!(skip_blanks(rest), [] | [b'#', ..]) {
                return None;
            }
            timestamp
        }
    };
    Some(Point { value, timestamp })
}

fn read_number(text: &[u8]) -> Option<(f64, &[u8])> {
    let text = skip_blanks(text);
    let end = memchr2(b' ', b'\t', text).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}
