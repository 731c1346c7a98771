//! JSON without its layout.

use std::ops::ControlFlow;

/// Drops the space between the tokens of one valid JSON value.
#[derive(Debug, Default)]
pub(super) struct Compactor {
    in_text: bool,
    escaped: bool,
}

impl Compactor {
    pub(super) fn feed(
        &mut self,
        mut raw: &[u8],
        sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        while !raw.is_empty() {
            let kept = self.run(raw);
            let (run, rest) = raw.split_at_checked(kept).unwrap_or((raw, &[]));
            if !run.is_empty() {
                sink(run)?;
            }
            raw = rest.trim_ascii_start();
        }
        ControlFlow::Continue(())
    }

    /// How many bytes come before the next space between tokens.
    fn run(&mut self, raw: &[u8]) -> usize {
        let mut at = 0;
        while let Some(&byte) = raw.get(at) {
            if self.escaped {
                self.escaped = false;
            } else if self.in_text {
                let rest = raw.get(at..).unwrap_or_default();
                let Some(found) = memchr::memchr2(b'"', b'\\', rest) else { return raw.len() };
                at += found;
                self.escaped = raw.get(at) == Some(&b'\\');
                self.in_text = self.escaped;
            } else if byte == b'"' {
                self.in_text = true;
            } else if byte.is_ascii_whitespace() {
                return at;
            }
            at += 1;
        }
        at
    }
}
