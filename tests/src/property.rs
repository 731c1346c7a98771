//! Properties: claims tried on random input, with a way to run the same input again.

use std::fmt::Debug;
use std::hash::{BuildHasher as _, RandomState};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseResult, TestRunner};

/// How many inputs a property is tried on, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 512;

/// Tries `property` on many values of `inputs`, from another seed each time. A failure panics with
/// the smallest input that fails and the command that finds it again.
///
/// Another seed and another number of values come from `PROPTEST_RNG_SEED` and `PROPTEST_CASES`.
#[track_caller]
#[expect(clippy::panic, reason = "it fails the test that calls it")]
pub fn check<S: Strategy<Value: Debug>>(inputs: &S, property: impl Fn(S::Value) -> TestCaseResult) {
    let from_environment = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = from_environment("PROPTEST_RNG_SEED")
        .unwrap_or_else(|| RandomState::new().hash_one("a seed for this run"));
    let cases = from_environment("PROPTEST_CASES")
        .and_then(|cases| u32::try_from(cases).ok())
        .unwrap_or(CASES);
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    if let Err(failure) = TestRunner::new(config).run(inputs, property) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("");
        // Cargo tells every test whose it is.
        let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
        panic!(
            "{failure}\nreplay: PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} \
             cargo test -p {package} -- --exact {name}"
        );
    }
}
