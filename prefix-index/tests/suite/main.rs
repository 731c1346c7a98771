//! Everything about the index that is proved from outside.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod history;

#[cfg(test)]
mod memory;

#[cfg(test)]
mod model;

#[cfg(test)]
mod readers;

#[cfg(test)]
mod replay;

#[cfg(test)]
mod model_snapshot;

#[cfg(test)]
mod same_as_model;

#[cfg(test)]
mod snapshots;

#[cfg(test)]
#[path = "../../workload/mod.rs"]
#[expect(dead_code, reason = "the benches use what the tests do not")]
mod workload;
