//! Why a body is not JSON, in the words of Go's decoder.

use std::fmt;

/// What is wrong with the text of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    Invalid { byte: u8, context: &'static str },
    UnexpectedEnd,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Invalid { byte, context } => {
                f.write_str("invalid character ")?;
                quote(byte, f)?;
                write!(f, " {context}")
            }
            Self::UnexpectedEnd => f.write_str("unexpected end of JSON input"),
        }
    }
}

impl std::error::Error for SyntaxError {}

/// Writes a byte as Go quotes the character of that number: bytes beyond ASCII come out as the
/// Latin-1 letters of their value, whatever the text's encoding.
fn quote(byte: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match byte {
        b'\'' => f.write_str(r"'\''"),
        b'\\' => f.write_str(r"'\\'"),
        0x07 => f.write_str(r"'\a'"),
        0x08 => f.write_str(r"'\b'"),
        0x0c => f.write_str(r"'\f'"),
        b'\n' => f.write_str(r"'\n'"),
        b'\r' => f.write_str(r"'\r'"),
        b'\t' => f.write_str(r"'\t'"),
        0x0b => f.write_str(r"'\v'"),
        0x00..=0x1f | 0x7f => write!(f, r"'\x{byte:02x}'"),
        // The control characters, the no-break space and the soft hyphen are not printable to Go.
        0x80..=0xa0 | 0xad => write!(f, r"'\u{byte:04x}'"),
        _ => write!(f, "'{}'", char::from(byte)),
    }
}
