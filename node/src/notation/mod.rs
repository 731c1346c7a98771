//! How the picker's flags and files write what has no syntax of its own: durations, quantities,
//! and what was probably meant by a word that is not known.

mod duration;
mod nearest;
mod quantity;

pub use duration::{duration_from_text, duration_to_text};
pub use nearest::nearest;
pub use quantity::{bytes_from_text, bytes_to_text};
