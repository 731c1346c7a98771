//! JSON escapes, decoded as the text streams by.

use std::ops::ControlFlow;

use super::super::json::special;

/// Where in an escape the text was cut.
#[derive(Clone, Copy, Debug, Default)]
enum Escape {
    #[default]
    None,
    /// After a backslash.
    Slash,
    /// After `\u` and some of its digits.
    Hex { missing: u8, unit: u32 },
}

/// Decodes the inside of one string. Half a surrogate pair becomes U+FFFD, as in Go.
#[derive(Debug, Default)]
pub(in super::super) struct Unescaper {
    escape: Escape,
    /// The first half of a surrogate pair whose second half may follow.
    high: Option<u32>,
}

impl Unescaper {
    /// Takes the next bytes of a string that is known to be valid JSON.
    pub(in super::super) fn feed(
        &mut self,
        mut raw: &[u8],
        sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        while let Some((&first, rest)) = raw.split_first() {
            match self.escape {
                Escape::None => {
                    let length = special::find_backslash(raw);
                    let (run, after) = raw.split_at_checked(length).unwrap_or((raw, &[]));
                    if !run.is_empty() {
                        self.finish(sink)?;
                        sink(run)?;
                    }
                    match after {
                        [_, letter, after @ ..] if *letter != b'u' => {
                            self.finish(sink)?;
                            sink(&[plain(*letter)])?;
                            raw = after;
                        }
                        [_, after @ ..] => {
                            self.escape = Escape::Slash;
                            raw = after;
                        }
                        [] => raw = after,
                    }
                    continue;
                }
                Escape::Slash if first == b'u' => {
                    self.escape = Escape::Hex { missing: 4, unit: 0 };
                }
                Escape::Slash => {
                    self.escape = Escape::None;
                    self.finish(sink)?;
                    sink(&[plain(first)])?;
                }
                Escape::Hex { missing, unit } => {
                    let unit = unit << 4 | char::from(first).to_digit(16).unwrap_or_default();
                    self.escape = Escape::Hex { missing: missing - 1, unit };
                    if missing == 1 {
                        self.escape = Escape::None;
                        self.unit(unit, sink)?;
                    }
                }
            }
            raw = rest;
        }
        ControlFlow::Continue(())
    }

    /// Ends the string.
    pub(in super::super) fn finish(
        &mut self,
        sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.high.take().is_some() { sink(REPLACEMENT) } else { ControlFlow::Continue(()) }
    }

    fn unit(
        &mut self,
        unit: u32,
        sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let (Some(high), 0xdc00..0xe000) = (self.high, unit) {
            self.high = None;
            return character(0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00), sink);
        }
        self.finish(sink)?;
        if (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
            return ControlFlow::Continue(());
        }
        character(unit, sink)
    }
}

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

fn character(code: u32, sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    sink(character.encode_utf8(&mut [0; 4]).as_bytes())
}

/// What a backslash and `letter` stand for.
fn plain(letter: u8) -> u8 {
    match letter {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => letter,
    }
}
