//! Seeds: which random cases run, and how to run one of them again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `case` for `count` seeds, or as many as `CONVOY_SEEDS` says, or for the one in `CONVOY_SEED`.
/// A failure says which it was and how to replay it.
pub(crate) fn for_seeds(test: &str, count: u64, case: impl Fn(u64)) {
    let asked = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = asked("CONVOY_SEEDS").unwrap_or(count);
    let seeds = asked("CONVOY_SEED").map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| case(seed))) {
            eprintln!(
                "seed {seed} failed; replay with: CONVOY_SEED={seed} cargo test -p convoy-raft \
                 --test suite {test}"
            );
            resume_unwind(cause);
        }
    }
}
