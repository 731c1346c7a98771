//! Token ids, from digits to little-endian bytes.

use std::ops::ControlFlow;

use super::super::json::{SHORT_BYTES_MAX, whole};

/// The id that a JSON number stands for: a whole number that fits a `u32`, however it is written.
pub(in super::super) fn token_id(literal: &[u8]) -> Option<u32> {
    if literal.len() <= 10 && literal.iter().all(u8::is_ascii_digit) {
        let id = literal.iter().fold(0, |id, digit| id * 10 + u64::from(digit - b'0'));
        return u32::try_from(id).ok();
    }
    let number: f64 = str::from_utf8(literal).ok()?.parse().ok()?;
    if number.fract() != 0.0 || !(0.0..=f64::from(u32::MAX)).contains(&number) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number within the bounds of a u32"
    )]
    Some(number as u32)
}

/// Reads the inside of an array of token ids.
#[derive(Debug)]
pub(super) struct Ids {
    literal: [u8; SHORT_BYTES_MAX],
    literal_length: usize,
    out: [u8; 256],
    out_length: usize,
}

impl Default for Ids {
    fn default() -> Self {
        Self { literal: [0; SHORT_BYTES_MAX], literal_length: 0, out: [0; 256], out_length: 0 }
    }
}

impl Ids {
    pub(super) fn feed(
        &mut self,
        raw: &[u8],
        sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut rest = raw;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if matches!(byte, b',' | b' ' | b'\t' | b'\r' | b'\n') {
                if 0 < self.literal_length {
                    self.id(sink)?;
                }
                if let Some((id, digits)) = whole(rest) {
                    rest = rest.get(digits..).unwrap_or_default();
                    self.put(id, sink)?;
                }
            } else if let Some(free) = self.literal.get_mut(self.literal_length) {
                *free = byte;
                self.literal_length += 1;
            }
        }
        ControlFlow::Continue(())
    }

    pub(super) fn finish(
        &mut self,
        sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.id(sink)?;
        let out = self.out.get(..self.out_length).unwrap_or_default();
        if out.is_empty() { ControlFlow::Continue(()) } else { sink(out) }
    }

    fn id(&mut self, sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        let literal = self.literal.get(..self.literal_length).unwrap_or_default();
        self.literal_length = 0;
        match token_id(literal) {
            Some(id) if !literal.is_empty() => self.put(id, sink),
            _ => ControlFlow::Continue(()),
        }
    }

    fn put(&mut self, id: u32, sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        if let Some(free) = self.out.get_mut(self.out_length..self.out_length + 4) {
            free.copy_from_slice(&id.to_le_bytes());
            self.out_length += 4;
        }
        if self.out_length < self.out.len() {
            return ControlFlow::Continue(());
        }
        self.out_length = 0;
        sink(&self.out)
    }
}
