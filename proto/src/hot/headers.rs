//! Header lists, kept as slices of the message they came in.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

/// Headers in the order in which they came, pseudo-headers included.
///
/// Names and values are slices of one shared buffer; a list costs one allocation and 16 bytes for each
/// header, however many they are.
#[derive(Clone, Default)]
pub struct HeaderList {
    buffer: Bytes,
    headers: Vec<Header>,
}

/// Where a header lies in the buffer. Buffers are shorter than 4 GiB.
#[derive(Clone, Copy, Default)]
pub(super) struct Header {
    name: Span,
    value: Span,
}

#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    length: u32,
}

impl HeaderList {
    /// Headers that lie in `buffer`.
    pub(super) fn new(buffer: Bytes, headers: Vec<Header>) -> Self {
        Self { buffer, headers }
    }

    pub fn len(&self) -> usize {
        self.headers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Names and values in the order in which they came. Names are as they were written, and UTF-8;
    /// values may be any bytes.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + ExactSizeIterator + Clone {
        self.headers.iter().map(|header| (self.slice(header.name), self.slice(header.value)))
    }

    /// The value of the last header of that name; case does not matter.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let name = name.as_bytes();
        let found = self.headers.iter().rev().find(|header| {
            header.name.length as usize == name.len()
                && self.slice(header.name).eq_ignore_ascii_case(name)
        });
        found.map(|header| self.slice(header.value))
    }

    /// The same, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| str::from_utf8(value).ok())
    }

    fn slice(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.buffer.get(start..start + span.length as usize).unwrap_or_default()
    }
}

impl Header {
    pub(super) fn set_name(&mut self, range: &Range<usize>) {
        self.name = Span::from(range);
    }

    pub(super) fn set_value(&mut self, range: &Range<usize>) {
        self.value = Span::from(range);
    }
}

impl From<&Range<usize>> for Span {
    fn from(range: &Range<usize>) -> Self {
        let narrow = |offset| u32::try_from(offset).expect("buffers are shorter than 4 GiB");
        Self { start: narrow(range.start), length: narrow(range.len()) }
    }
}

/// Copies headers into a list, for those who have no message to decode. Panics beyond 4 GiB.
impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for HeaderList {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut buffer = Vec::new();
        let mut append = |bytes: &[u8]| {
            let start = buffer.len();
            buffer.extend_from_slice(bytes);
            Span::from(&(start..buffer.len()))
        };
        let headers = headers
            .into_iter()
            .map(|(name, value)| Header {
                name: append(name.as_ref().as_bytes()),
                value: append(value.as_ref()),
            })
            .collect();
        Self { buffer: Bytes::from(buffer), headers }
    }
}

impl PartialEq for HeaderList {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for HeaderList {}

/// Shows names and the lengths of values: values hold credentials.
impl fmt::Debug for HeaderList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(name, value)| (String::from_utf8_lossy(name), value.len()));
        out.debug_map().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests;
