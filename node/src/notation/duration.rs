//! Durations as Go writes them: `50ms`, `1m30s`, `1.5h`.

use std::time::Duration;

/// Units by name, in nanoseconds. Go takes both the micro sign and the Greek letter.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration in Go's notation: numbers with units, added up, or a bare `0`.
///
/// None of the settings has a use for a negative duration, so a minus sign is refused. The longest
/// duration is Go's: a little over 292 years.
pub fn duration_from_text(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanoseconds: u64 = 0;
    while !rest.is_empty() {
        let (part, after) = leading_part(rest)?;
        nanoseconds = nanoseconds.checked_add(part)?;
        rest = after;
    }
    (nanoseconds <= i64::MAX.unsigned_abs()).then(|| Duration::from_nanos(nanoseconds))
}

/// Reads one number with its unit; answers with its nanoseconds and what follows.
fn leading_part(text: &str) -> Option<(u64, &str)> {
    let (whole, after_whole) = split_digits(text);
    let (fraction, after) = match after_whole.strip_prefix('.') {
        Some(fraction) => split_digits(fraction),
        None => ("", after_whole),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
    let (unit, rest) = after.split_at_checked(unit_end)?;
    let &(_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some((whole.checked_mul(unit_ns)?.checked_add(fraction_of(fraction, unit_ns))?, rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The nanoseconds of `0.digits` units, cut to whole ones.
fn fraction_of(digits: &str, unit_ns: u64) -> u64 {
    // Keeps tenths of tenths exact for six digits more than the unit itself has.
    const SCALE: u128 = 1_000_000;
    let mut place = u128::from(unit_ns) * SCALE;
    let mut sum = 0;
    for digit in digits.bytes() {
        place /= 10;
        sum += place * u128::from(digit - b'0');
    }
    u64::try_from(sum / SCALE).unwrap_or(u64::MAX)
}

/// Writes a duration the way [`duration_from_text`] reads it, in the largest units that fit.
pub fn duration_to_text(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (unit, unit_ns) in [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ] {
        let count = rest / unit_ns;
        if 0 < count {
            text.push_str(&count.to_string());
            text.push_str(unit);
            rest -= count * unit_ns;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected_ns: Option<u64>) {
        assert_eq!(duration_from_text(text), expected_ns.map(Duration::from_nanos), "{text}");
    }

    #[test]
    fn parts_add_up() {
        check("50ms", Some(50_000_000));
        check("1m30s", Some(90_000_000_000));
        check("1h0m0.5s", Some(3_600_500_000_000));
        check("2h45m", Some(9_900_000_000_000));
        check("1\u{b5}s1us1ns", Some(2_001));
    }

    #[test]
    fn fractions_count_in_their_unit() {
        check("1.5s", Some(1_500_000_000));
        check(".5s", Some(500_000_000));
        check("1.s", Some(1_000_000_000));
        check("0.3333333333333333333h", Some(1_200_000_000_000 - 1));
        check("0.100000000000000000000h", Some(360_000_000_000));
    }

    #[test]
    fn zero_needs_no_unit() {
        check("0", Some(0));
        check("+0", Some(0));
        check("0s", Some(0));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in
            ["", "+", "3", ".", "s", ".s", "1 s", "5x", "1m-5s", "-1s", "3000000h", "1.5.5s"]
        {
            check(text, None);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for ns in [0, 1, 999, 50_000_000, 90_000_000_001, 3_600_000_000_000] {
            let duration = Duration::from_nanos(ns);
            assert_eq!(duration_from_text(&duration_to_text(duration)), Some(duration));
        }
    }
}
