//! What a model server's answer says about the tokens it took.
//!
//! An answer is one JSON body or a stream of events; either may be cut anywhere. It is not parsed:
//! the key `"usage"` is searched for, and only the object after it is read. A key cannot hide in a
//! text, whose own quotes are escaped.

mod usage;

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::json::Lexer;
use usage::Reading;
pub use usage::Usage;

const KEY: &[u8] = b"\"usage\"";

/// Bytes kept of what has passed: enough for a key or an end-of-stream line that was cut.
const TAIL_BYTES: usize = 16;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));

#[derive(Debug, Default)]
enum State {
    #[default]
    Searching,
    /// After the key.
    Colon,
    /// After the colon.
    Value,
    Reading(Box<Object>),
}

/// A usage object being read.
#[derive(Debug)]
struct Object {
    lexer: Lexer,
    reading: Reading,
}

/// Reads one answer. Memory does not depend on its length.
#[derive(Debug, Default)]
pub struct Answer {
    state: State,
    tail: [u8; TAIL_BYTES],
    tail_length: usize,
    usage: Option<Usage>,
}

impl Answer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next chunk. Costs one search through it, and a look at its last bytes.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        if matches!(self.state, State::Searching) {
            rest = self.search_seam(chunk);
        }
        while !rest.is_empty() {
            rest = self.step(chunk, rest);
        }
        self.keep_tail(chunk);
    }

    /// The usage told so far: where several events tell one, the last word on each count.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Whether the last that came is the line that ends a stream of events.
    pub fn is_done(&self) -> bool {
        let tail = self.tail.get(..self.tail_length).unwrap_or_default().trim_ascii_end();
        tail.ends_with(b"data: [DONE]") || tail.ends_with(b"data:[DONE]")
    }

    fn step<'a>(&mut self, chunk: &'a [u8], rest: &'a [u8]) -> &'a [u8] {
        match &mut self.state {
            State::Searching => {
                let Some(found) = FINDER.find(rest) else { return &[] };
                let before = chunk.len() - rest.len() + found;
                let last = match before.checked_sub(1) {
                    Some(last) => chunk.get(last),
                    None => self.tail.get(..self.tail_length).and_then(<[u8]>::last),
                };
                // An escaped quote is the text's own; what it begins is no key.
                if last != Some(&b'\\') {
                    self.state = State::Colon;
                }
                rest.get(found + KEY.len()..).unwrap_or_default()
            }
            State::Colon | State::Value => {
                let rest = rest.trim_ascii_start();
                let Some((&first, after)) = rest.split_first() else { return &[] };
                match (&self.state, first) {
                    (State::Colon, b':') => self.state = State::Value,
                    (State::Value, b'{') => {
                        let object = Object { lexer: Lexer::new(), reading: Reading::default() };
                        self.state = State::Reading(Box::new(object));
                        return rest;
                    }
                    // A text that is the word, or a usage that is null.
                    _ => {
                        self.state = State::Searching;
                        return rest;
                    }
                }
                after
            }
            State::Reading(object) => {
                let (read, after) = object.read(rest);
                match read {
                    Progress::Partial => {}
                    Progress::Broken => self.state = State::Searching,
                    Progress::Complete(told) => {
                        self.state = State::Searching;
                        self.usage.get_or_insert_default().merge(told);
                    }
                }
                after
            }
        }
    }

    /// Looks for a key that the last chunk's end has cut, and answers where to go on.
    fn search_seam<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let tail = self.tail.get(..self.tail_length).unwrap_or_default();
        for begun in (1..KEY.len()).rev() {
            let (Some(head), Some(missing)) = (KEY.get(..begun), KEY.get(begun..)) else { break };
            let Some(before) = tail.strip_suffix(head) else { continue };
            if before.last() == Some(&b'\\') {
                continue;
            }
            if let Some(rest) = chunk.strip_prefix(missing) {
                self.state = State::Colon;
                return rest;
            }
        }
        chunk
    }

    fn keep_tail(&mut self, chunk: &[u8]) {
        let fresh = chunk.get(chunk.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
        let kept = self.tail_length.min(TAIL_BYTES - fresh.len());
        self.tail.copy_within(self.tail_length - kept..self.tail_length, 0);
        self.tail_length = kept + fresh.len();
        if let Some(free) = self.tail.get_mut(kept..self.tail_length) {
            free.copy_from_slice(fresh);
        }
    }
}

/// How far a usage object was read.
enum Progress {
    Partial,
    Complete(Usage),
    /// It is not JSON.
    Broken,
}

impl Object {
    fn read<'a>(&mut self, rest: &'a [u8]) -> (Progress, &'a [u8]) {
        let mut at = 0;
        loop {
            match self.lexer.next(rest, &mut at) {
                Ok(Some(token)) => self.reading.take(token, || self.lexer.short(rest, token)),
                Ok(None) => return (Progress::Partial, &[]),
                Err(_) => {
                    return (Progress::Broken, rest.get(at..).unwrap_or_default());
                }
            }
            if self.lexer.is_complete() {
                let after = rest.get(at..).unwrap_or_default();
                return (Progress::Complete(self.reading.usage()), after);
            }
        }
    }
}

#[cfg(test)]
mod tests;
