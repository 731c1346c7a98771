//! Everything about the replicated log that is proved from outside.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]

#[cfg(test)]
mod store;

#[cfg(test)]
mod appliers;

#[cfg(test)]
mod audits;

#[cfg(test)]
mod batches;

#[cfg(test)]
mod clusters;

#[cfg(test)]
mod forming;

#[cfg(test)]
mod history;

#[cfg(test)]
mod machine_snapshots;

#[cfg(test)]
mod machines;

#[cfg(test)]
mod on_disk;

#[cfg(test)]
mod replay;

#[cfg(test)]
mod simulated;

#[cfg(test)]
mod snapshot_files;

#[cfg(test)]
mod trio;

#[cfg(test)]
mod types;

#[cfg(test)]
mod world;
