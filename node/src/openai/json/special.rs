//! Finds where a run of ordinary text ends: the inner loop of reading a body.

/// One in every byte of a word.
const ONES: u64 = u64::MAX / 0xff;

/// The index of the first byte at or after `from` that is a quote, a backslash or a control
/// character; the length of `text` if there is none.
#[inline]
pub(super) fn find(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let plain = plain_bytes(rest, |byte| {
        u8::from(byte == b'"') | u8::from(byte == b'\\') | u8::from(byte < 0x20)
    });
    let (words, tail) = rest.get(plain..).unwrap_or_default().as_chunks::<8>();
    let mut at = from + plain;
    for word in words {
        let specials = specials(u64::from_le_bytes(*word));
        if specials != 0 {
            return at + (specials.trailing_zeros() / 8) as usize;
        }
        at += word.len();
    }
    let is_special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    at + tail.iter().position(is_special).unwrap_or(tail.len())
}

/// The index of the first backslash in `text`; its length if there is none.
///
/// Escapes stand close together where there are any, and a general search starts slower.
#[inline]
pub(in super::super) fn find_backslash(text: &[u8]) -> usize {
    let plain = plain_bytes(text, |byte| u8::from(byte == b'\\'));
    let (words, tail) = text.get(plain..).unwrap_or_default().as_chunks::<8>();
    let mut at = plain;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let found = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES) & !word & (ONES << 7);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail.iter().position(|&byte| byte == b'\\').unwrap_or(tail.len())
}

/// Bytes at the start of `text`, in whole strides, of which none is special.
///
/// Flags are bytes and not truth values, and none is looked at before its stride ends: so the
/// compiler compares a stride with a few vector instructions.
#[inline]
fn plain_bytes(text: &[u8], flag: impl Fn(u8) -> u8) -> usize {
    const STRIDE: usize = 16;
    let (strides, _) = text.as_chunks::<STRIDE>();
    let has_special =
        |stride: &[u8; STRIDE]| stride.iter().fold(0, |flags, &byte| flags | flag(byte)) != 0;
    strides.iter().position(has_special).unwrap_or(strides.len()) * STRIDE
}

/// A word whose lowest set bit is the highest of the first special byte; zero if none is special.
///
/// Subtracting from each byte what it must be below borrows into its highest bit. The borrow may
/// run on into bytes after a special one, which does not matter, and bytes that had the bit to
/// begin with are no ASCII, so not special.
fn specials(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (control | quote | backslash) & !word & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for length in 0..100 {
            let mut text = vec![b'a'; length];
            assert_eq!(find(&text, 0), length);
            for at in 0..length {
                for special in [b'"', b'\\', 0, 0x1f] {
                    text[at] = special;
                    for from in 0..=length {
                        let expected = if from <= at { at } else { length };
                        assert_eq!(find(&text, from), expected);
                    }
                }
                text[at] = b'a';
            }
        }
    }

    #[test]
    fn no_other_byte_is_special() {
        for byte in 0..=u8::MAX {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            assert_eq!(find(&[byte; 40], 0) == 0, special, "{byte:#x}");
        }
    }
}
