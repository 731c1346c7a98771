//! Text from a seed: as long as asked, never the same for two seeds.

use std::fmt::Write;

/// A text that is written only when it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    pub seed: u64,
    pub bytes: usize,
}

const WORDS: [&str; 48] = [
    "request", "server", "cache", "prefix", "morning", "river", "letter", "garden", "window",
    "answer", "question", "number", "summer", "mountain", "paper", "engine", "table", "history",
    "language", "market", "music", "picture", "problem", "reason", "school", "science", "season",
    "station", "story", "street", "system", "teacher", "theory", "travel", "village", "water",
    "weather", "winter", "writer", "because", "before", "between", "every", "often", "people",
    "should", "through", "without",
];

impl Text {
    /// Draws a text of some length between `shortest` and `longest` bytes.
    pub(super) fn draw(random: &mut fastrand::Rng, (shortest, longest): (usize, usize)) -> Self {
        Self { seed: random.u64(..), bytes: random.usize(shortest..=longest.max(shortest)) }
    }

    /// The text: plain ASCII, nothing that JSON escapes.
    pub fn write(self) -> String {
        // The seed in front, so that no two texts share their beginning.
        let mut text = format!("[{:016x}]", self.seed);
        let mut random = fastrand::Rng::with_seed(self.seed);
        while text.len() < self.bytes {
            let word = WORDS.get(random.usize(..WORDS.len())).copied().unwrap_or_default();
            let end = if random.u8(..12) == 0 { "." } else { "" };
            write!(text, " {word}{end}").expect("a String takes all text");
        }
        text.truncate(self.bytes);
        text
    }
}
