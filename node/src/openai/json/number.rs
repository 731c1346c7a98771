//! Numbers, and whether one is too large for an `f64`, told without keeping its digits.

use std::cmp::Ordering;

use super::{Kind, Lexer, Number, Span, State, SyntaxError, Token};

/// What the next byte of a number may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    /// After the sign.
    Signed,
    /// After a leading zero.
    Zero,
    Integer,
    /// After the decimal point.
    Point,
    Fraction,
    /// After the `e`.
    Exponent,
    /// After the exponent's sign.
    ExponentSign,
    InExponent,
}

impl Digits {
    /// The state after `byte`; `None` if the number ended before it.
    fn after(self, byte: u8) -> Result<Option<Self>, SyntaxError> {
        let next = match (self, byte) {
            (Self::Signed, b'0') => Self::Zero,
            (Self::Signed, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::InExponent, b'0'..=b'9') => {
                Self::InExponent
            }
            (Self::Zero | Self::Integer | Self::Fraction | Self::InExponent, _) => {
                return Ok(None);
            }
            (Self::Signed | Self::Point | Self::Exponent | Self::ExponentSign, _) => {
                return Err(SyntaxError::Invalid { byte, context: self.expects() });
            }
        };
        Ok(Some(next))
    }

    /// What Go says about a byte that does not fit here.
    fn expects(self) -> &'static str {
        match self {
            Self::Point => "after decimal point in numeric literal",
            Self::Exponent | Self::ExponentSign => "in exponent of numeric literal",
            Self::Signed | Self::Zero | Self::Integer | Self::Fraction | Self::InExponent => {
                "in numeric literal"
            }
        }
    }
}

impl Lexer {
    /// Starts a number at its sign or first digit.
    #[inline]
    pub(super) fn begin_number(
        &mut self,
        byte: u8,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Token>, SyntaxError> {
        self.start = self.offset(*at);
        if let Some((whole, digits)) = whole(chunk.get(*at..).unwrap_or_default()) {
            *at += digits;
            return Ok(Some(self.end_number(*at, Number::Whole(whole))));
        }
        self.cut.reset();
        self.magnitude = Magnitude::default();
        let digits = match byte {
            b'-' => Digits::Signed,
            b'0' => Digits::Zero,
            _ => Digits::Integer,
        };
        self.magnitude.note(digits, byte);
        *at += 1;
        self.number(digits, chunk, at)
    }

    pub(super) fn number(
        &mut self,
        mut digits: Digits,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Token>, SyntaxError> {
        while let Some(&byte) = chunk.get(*at) {
            let Some(next) = digits.after(byte)? else {
                if self.start < self.base {
                    self.cut.keep(chunk.get(..*at).unwrap_or_default(), self.start, self.base);
                }
                let is_too_large = self.magnitude.overflows();
                let number = if is_too_large { Number::TooLarge } else { Number::Other };
                return Ok(Some(self.end_number(*at, number)));
            };
            self.magnitude.note(next, byte);
            digits = next;
            *at += 1;
        }
        self.state = State::Number(digits);
        Ok(None)
    }

    /// Passes over plain whole numbers in the array in which one just ended, as far as the chunk
    /// goes: a prompt of token ids is read several times faster so.
    pub(in super::super) fn skip_wholes(&mut self, chunk: &[u8], at: &mut usize) {
        if self.open.innermost_is_object() {
            return;
        }
        while let Some(b',') = chunk.get(*at) {
            let mut next = *at + 1;
            while let Some(b' ' | b'\n' | b'\r' | b'\t') = chunk.get(next) {
                next += 1;
            }
            let Some((_, digits)) = whole(chunk.get(next..).unwrap_or_default()) else { break };
            *at = next + digits;
        }
    }

    fn end_number(&mut self, at: usize, number: Number) -> Token {
        self.state = self.after_value();
        let span = Span { start: self.start, end: self.offset(at) };
        Token { kind: Kind::Number(number), span }
    }
}

/// The number that `text` begins with and the count of its digits, if it is a plain one of at most
/// ten digits that ends within `text`, as token ids are.
#[inline]
pub(in super::super) fn whole(text: &[u8]) -> Option<(u32, usize)> {
    let mut number: u64 = 0;
    for (count, &byte) in text.iter().enumerate().take(11) {
        if byte.is_ascii_digit() {
            number = number * 10 + u64::from(byte - b'0');
            continue;
        }
        let is_plain = count == 1 || text.first() != Some(&b'0');
        let is_end = matches!(byte, b',' | b']' | b' ' | b'\n' | b'}');
        let number = u32::try_from(number).ok().filter(|_| 0 < count && is_plain && is_end)?;
        return Some((number, count));
    }
    None
}

/// The digits of 2^1024 - 2^970, the least integer that rounds to infinity.
static LARGEST: &[u8; 309] = b"\
    179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587\
    207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711\
    531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093\
    042880177904174497792";

/// The digits of [`LARGEST`], as a power of ten.
const LARGEST_SCALE: i64 = 309;

/// How large a number is, as far as its digits have come: `0.d1d2d3… * 10^scale`.
#[derive(Debug)]
pub(super) struct Magnitude {
    /// How the significant digits so far compare with those of [`LARGEST`].
    order: Ordering,
    /// Significant digits compared.
    compared: usize,
    scale: i64,
    exponent: i64,
    exponent_is_negative: bool,
}

impl Default for Magnitude {
    fn default() -> Self {
        Self {
            order: Ordering::Equal,
            compared: 0,
            scale: 0,
            exponent: 0,
            exponent_is_negative: false,
        }
    }
}

impl Magnitude {
    /// Takes one byte of the number; `digits` is the state after it.
    fn note(&mut self, digits: Digits, byte: u8) {
        match digits {
            Digits::Integer => {
                self.scale += 1;
                self.compare(byte);
            }
            Digits::Fraction => {
                if self.compared == 0 && byte == b'0' {
                    self.scale -= 1;
                } else {
                    self.compare(byte);
                }
            }
            Digits::ExponentSign => self.exponent_is_negative = byte == b'-',
            // Go's own limit; what it makes of absurd exponents is what clients of it have seen.
            Digits::InExponent if self.exponent < 10_000 => {
                self.exponent = self.exponent * 10 + i64::from(byte - b'0');
            }
            Digits::InExponent
            | Digits::Signed
            | Digits::Zero
            | Digits::Point
            | Digits::Exponent => {}
        }
    }

    fn compare(&mut self, digit: u8) {
        if let (Ordering::Equal, Some(other)) = (self.order, LARGEST.get(self.compared)) {
            self.order = digit.cmp(other);
        }
        self.compared += 1;
    }

    fn overflows(&self) -> bool {
        if self.compared == 0 {
            return false;
        }
        let exponent = if self.exponent_is_negative { -self.exponent } else { self.exponent };
        match (self.scale + exponent).cmp(&(LARGEST_SCALE)) {
            Ordering::Less => false,
            Ordering::Greater => true,
            // Digits that are missing are zeros, and the last of `LARGEST` is none.
            Ordering::Equal => match self.order {
                Ordering::Less => false,
                Ordering::Greater => true,
                Ordering::Equal => LARGEST.len() <= self.compared,
            },
        }
    }
}
