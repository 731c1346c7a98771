//! Byte counts as Kubernetes writes quantities: `64Ki`, `10M`, `1e6`, with an optional `B`.

/// Suffixes and what one of them stands for.
const SUFFIXES: [(&str, u64); 12] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// Reads a byte count: a decimal number with a Kubernetes suffix or exponent, then perhaps `B`.
///
/// The count must be whole and not negative. `64K` with a capital `K`, which Kubernetes itself
/// refuses, is taken as 64,000, since nothing else can be meant.
pub fn bytes_from_text(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_suffix(['B', 'b']).unwrap_or(text);
    let (number, unit) = match SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix)) {
        Some(&(suffix, unit)) => (text.strip_suffix(suffix)?, unit),
        None => match text.strip_suffix('K') {
            Some(number) => (number, 1_000),
            None => return with_exponent(text),
        },
    };
    scaled(number, unit)
}

/// Reads `12`, `1.5e3` or `12E6`.
fn with_exponent(text: &str) -> Option<u64> {
    match text.split_once(['e', 'E']) {
        Some((number, exponent)) => {
            let exponent: u32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
            scaled(number, 10_u64.checked_pow(exponent)?)
        }
        None => scaled(text, 1),
    }
}

/// Multiplies the decimal `number` by `unit`, if the result is whole.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let numerator: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let product = numerator.checked_mul(u128::from(unit))?;
    if !product.is_multiple_of(divisor) {
        return None;
    }
    u64::try_from(product / divisor).ok()
}

/// Writes a byte count the way [`bytes_from_text`] reads it.
pub fn bytes_to_text(bytes: u64) -> String {
    for &(suffix, unit) in SUFFIXES.iter().take(6).rev() {
        if 0 < bytes && bytes.is_multiple_of(unit) {
            return format!("{}{suffix}", bytes / unit);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(bytes_from_text(text), expected, "{text}");
    }

    #[test]
    fn suffixes_multiply() {
        check("10MiB", Some(10 << 20));
        check("25MB", Some(25_000_000));
        check("64Ki", Some(65_536));
        check("1.5k", Some(1_500));
        check("4194304", Some(4_194_304));
        check("64KB", Some(64_000));
        check("0", Some(0));
    }

    #[test]
    fn exponents_multiply() {
        check("1e6", Some(1_000_000));
        check("1.25E+2", Some(125));
        check("2E", Some(2_000_000_000_000_000_000));
    }

    #[test]
    fn a_part_of_a_byte_is_refused() {
        check("1.5", None);
        check("100m", None);
        check("1.0001k", None);
        check("1.50000k", Some(1_500));
    }

    #[test]
    fn what_is_no_count_is_refused() {
        for text in ["", "-1", "Mi", "1 Mi", "ten", "1e", "99999999999Ei", "0x10", "B", "1e99"] {
            check(text, None);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for bytes in [0, 1, 1_000, 1_024, 64 << 20, u64::MAX] {
            assert_eq!(bytes_from_text(&bytes_to_text(bytes)), Some(bytes));
        }
    }
}
