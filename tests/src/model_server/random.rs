//! Runs a property on random input, and says how to run it again.

use std::fmt::Debug;
use std::hash::{BuildHasher as _, RandomState};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Tries `property`, which panics if it does not hold, on many values of `inputs`.
#[track_caller]
pub(super) fn check<S: Strategy<Value: Debug>>(inputs: &S, property: impl Fn(S::Value)) {
    let set = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = set("PROPTEST_RNG_SEED")
        .unwrap_or_else(|| RandomState::new().hash_one("a seed for this run"));
    let cases = set("PROPTEST_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(256);
    let rng_seed = RngSeed::Fixed(seed);
    let config = Config { cases, rng_seed, failure_persistence: None, ..Config::default() };
    let property = |input| {
        property(input);
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config).run(inputs, property) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("");
        panic!(
            "{failure}\nreplay: PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} \
             cargo test -p convoy-tests --lib -- --exact {name}"
        );
    }
}
