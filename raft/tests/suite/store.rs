//! The log on disk.

mod conformance;
mod operation;
mod tools;
