//! Finds where a run of ordinary text ends: the inner loop of reading a body.

/// The index of the first byte at or after `from` that is a quote, a backslash or a control
/// character; the length of `text` if there is none.
pub(super) fn find(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let (blocks, tail) = rest.as_chunks::<32>();
    let mut at = from;
    for block in blocks {
        // Without a branch inside, so that the compiler looks at many bytes at once.
        let found = block.iter().fold(0, |found, &byte| found | u8::from(is_special(byte)));
        if found != 0 {
            return at + position(block);
        }
        at += block.len();
    }
    at + position(tail)
}

fn position(text: &[u8]) -> usize {
    text.iter().position(|&byte| is_special(byte)).unwrap_or(text.len())
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
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
