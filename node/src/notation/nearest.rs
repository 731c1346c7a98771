//! The known word that an unknown one was probably meant to be.

/// Finds the word closest to `written`, if it is close enough to be worth suggesting: at most a
/// third of the longer word differs, or one word begins with the other.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, word) = known
        .into_iter()
        .map(|word| (edits(written, word), word))
        .min_by_key(|&(edits, _)| edits)?;
    let longer = written.chars().count().max(word.chars().count());
    let shares_start =
        4 <= written.len() && (word.starts_with(written) || written.starts_with(word));
    (distance * 3 <= longer || shares_start).then_some(word)
}

/// Counts the insertions, deletions, substitutions and swaps of neighbours that turn `from` into
/// `into` (the restricted Damerau-Levenshtein distance), without regard to case.
fn edits(from: &str, into: &str) -> usize {
    let from: Vec<char> = from.to_lowercase().chars().take(LENGTH_MAX).collect();
    let into: Vec<char> = into.to_lowercase().chars().take(LENGTH_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=into.len()).collect();
    for (row, &wanted) in from.iter().enumerate() {
        let mut current = Vec::with_capacity(above.len());
        current.push(row + 1);
        for (column, &found) in into.iter().enumerate() {
            let at =
                |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX);
            let mut least = (at(&above, column) + usize::from(wanted != found))
                .min(at(&above, column + 1) + 1)
                .min(at(&current, column) + 1);
            let swapped = 0 < row
                && 0 < column
                && from.get(row - 1) == Some(&found)
                && into.get(column - 1) == Some(&wanted);
            if swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(0)
}

/// Words are compared up to this many characters, so that the work is bounded whatever is written.
const LENGTH_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::nearest;

    const KNOWN: [&str; 4] = ["pool-name", "pool-namespace", "metrics-port", "queue-scorer"];

    #[track_caller]
    fn check(written: &str, expected: Option<&str>) {
        assert_eq!(nearest(written, KNOWN), expected, "{written}");
    }

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        check("pool-nmae", Some("pool-name"));
        check("metric-port", Some("metrics-port"));
        check("Queue_Scorer", Some("queue-scorer"));
    }

    #[test]
    fn a_cut_word_is_understood() {
        check("queue", Some("queue-scorer"));
    }

    #[test]
    fn a_word_unlike_any_other_gets_no_suggestion() {
        check("zebra", None);
        check("", None);
    }
}
