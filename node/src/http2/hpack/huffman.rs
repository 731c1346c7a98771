//! The Huffman code of header strings (RFC 7541 section 5.2 and appendix B), decoding only.
//!
//! The code is canonical: within a length the codes count upwards in the order of their symbols,
//! and a longer code begins where the shorter ones end. So the lengths alone say everything, and
//! the tables are worked out from them at compile time. Codes of up to ten bits, which hold every
//! letter and digit, take one look-up; longer ones are found by their length.

/// Length in bits of each byte's code; the last is the end-of-string symbol, which must not occur.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 16
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 32
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 48
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 64
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 80
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 96
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 112
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 128
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 144
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 160
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 176
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 192
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 208
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 224
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 240
    30, // end of string
];

const END_OF_STRING: u16 = 256;
const LONGEST_BITS: usize = 30;
const SHORT_BITS: u32 = 10;

/// By the next ten bits: symbol in the low byte, code length above it; zero where the code is
/// longer.
static SHORT: [u16; 1 << SHORT_BITS] = short_codes();
static LONG: LongCodes = long_codes();

/// Codes by length, for those longer than [`SHORT_BITS`].
struct LongCodes {
    /// First code of each length, moved to the top of 32 bits.
    first: [u32; LONGEST_BITS + 1],
    /// How many codes of each length there are.
    count: [u32; LONGEST_BITS + 1],
    /// Where the symbols of each length begin in `symbols`.
    start: [u32; LONGEST_BITS + 1],
    /// All symbols, by length and then by value.
    symbols: [u16; 257],
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler; symbols are at most 256"
)]
const fn long_codes() -> LongCodes {
    let mut codes = LongCodes {
        first: [0; LONGEST_BITS + 1],
        count: [0; LONGEST_BITS + 1],
        start: [0; LONGEST_BITS + 1],
        symbols: [0; 257],
    };
    let (mut bits, mut code, mut placed) = (1, 0u32, 0);
    while bits <= LONGEST_BITS {
        code <<= 1;
        codes.first[bits] = code << (32 - bits);
        codes.start[bits] = placed;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == bits {
                codes.symbols[placed as usize] = symbol as u16;
                codes.count[bits] += 1;
                placed += 1;
                code += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    codes
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler; a short code's length is at most ten"
)]
const fn short_codes() -> [u16; 1 << SHORT_BITS] {
    let mut table = [0; 1 << SHORT_BITS];
    let codes = long_codes();
    let mut bits = 1;
    while bits <= SHORT_BITS as usize {
        let mut nth = 0;
        while nth < codes.count[bits] {
            let symbol = codes.symbols[(codes.start[bits] + nth) as usize];
            let first =
                (codes.first[bits] >> (32 - SHORT_BITS)) + (nth << (SHORT_BITS as usize - bits));
            let mut filled = 0;
            while filled < 1 << (SHORT_BITS as usize - bits) {
                table[(first + filled) as usize] = symbol | (bits as u16) << 8;
                filled += 1;
            }
            nth += 1;
        }
        bits += 1;
    }
    table
}

/// Appends the text of `encoded` to `out`; `None` if it is not a Huffman string.
///
/// The text is at most 8/5 as long as `encoded`.
pub(super) fn decode(encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.reserve(encoded.len() * 8 / 5 + 1);
    // The bits not yet decoded, at the top; below them zeros.
    let (mut window, mut held) = (0u64, 0u32);
    let mut rest = encoded.iter();
    loop {
        while held <= 56 {
            let Some(&byte) = rest.next() else { break };
            window |= u64::from(byte) << (56 - held);
            held += 8;
        }
        let (symbol, bits) = next_symbol(window)?;
        if held < bits {
            break;
        }
        out.push(u8::try_from(symbol).ok()?);
        window <<= bits;
        held -= bits;
    }
    is_padding(window, held).then_some(())
}

/// The symbol at the top of `window` and the length of its code; `None` at the end-of-string
/// symbol.
fn next_symbol(window: u64) -> Option<(u16, u32)> {
    let top = usize::try_from(window >> (64 - SHORT_BITS)).ok()?;
    let entry = *SHORT.get(top)?;
    if entry != 0 {
        return Some((entry & 0xff, u32::from(entry >> 8)));
    }
    let code = u32::try_from(window >> 32).ok()?;
    let lengths = LONG.first.iter().zip(&LONG.count).zip(&LONG.start);
    for (bits, ((&first, &count), &start)) in (0..).zip(lengths).skip(SHORT_BITS as usize + 1) {
        let nth = code.checked_sub(first).map(|above| above >> (32 - bits));
        if let Some(nth) = nth.filter(|&nth| nth < count) {
            let symbol = *LONG.symbols.get((start + nth) as usize)?;
            return (symbol != END_OF_STRING).then_some((symbol, bits));
        }
    }
    None
}

/// True if the last `held` bits are what may follow the last symbol: fewer than eight, all ones.
fn is_padding(window: u64, held: u32) -> bool {
    held < 8 && (held == 0 || window >> (64 - held) == (1 << held) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoded: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        decode(encoded, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    /// The inverse, bit by bit, straight from the lengths.
    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for &byte in text {
            let length = LENGTHS[byte as usize] as usize;
            let place = LONG.symbols.iter().position(|&symbol| symbol == u16::from(byte)).unwrap();
            let nth = u32::try_from(place).unwrap() - LONG.start[length];
            let code = (LONG.first[length] >> (32 - length)) + nth;
            bits.extend((0..length).rev().map(|bit| if code >> bit & 1 == 1 { '1' } else { '0' }));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
            .collect()
    }

    #[test]
    fn the_strings_of_rfc_7541_appendix_c_decode() {
        let rows: &[(&[u8], &str)] = &[
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
        ];
        for (bytes, text) in rows {
            assert_eq!(decoded(bytes).as_deref(), Some(*text));
            assert_eq!(encoded(text.as_bytes()), *bytes);
        }
    }

    #[test]
    fn every_byte_survives_in_every_company() {
        let all: Vec<u8> = (0..=255).collect();
        for split in 0..all.len() {
            let mut text = all.clone();
            text.rotate_left(split);
            let mut out = Vec::new();
            assert_eq!(decode(&encoded(&text), &mut out), Some(()));
            assert_eq!(out, text);
        }
    }

    #[test]
    fn the_code_uses_every_pattern_once() {
        let sum: u64 = LENGTHS.iter().map(|&length| 1 << (LONGEST_BITS - length as usize)).sum();
        assert_eq!(sum, 1 << LONGEST_BITS);
    }

    #[test]
    fn padding_is_shorter_than_a_byte_and_all_ones() {
        assert_eq!(decoded(&[]).as_deref(), Some(""));
        assert_eq!(decoded(&[0x1f]).as_deref(), Some("a"));
        assert_eq!(decoded(&[0x18]), None, "zeros");
        assert_eq!(decoded(&[0x1f, 0xff]), None, "a whole byte of padding");
        assert_eq!(decoded(&[0xff]), None, "nothing but padding");
    }

    #[test]
    fn the_end_of_string_symbol_is_refused() {
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(decoded(&[0x1f, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
