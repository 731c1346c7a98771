//! The tree as a whole: rules of CONTRIBUTING.md that no compiler and no lint looks at.
//!
//! Each rule that knows exceptions has a list of them, with reasons; an exception that nothing needs
//! any more is a fault too.

mod dependencies;
mod documents;
mod source;
mod tree;

/// Fails with all `faults`, one a line.
#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
