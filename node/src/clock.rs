//! The one place that reads a clock. Everything else takes `now` as an argument.

use std::time::{Instant, SystemTime};

/// Monotonic time, for ages, timeouts and durations.
#[expect(clippy::disallowed_methods, reason = "this is the clock that the ban points to")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time, for log lines and certificates only.
#[expect(clippy::disallowed_methods, reason = "this is the clock that the ban points to")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
