//! Everything about the replicated log that is proved from outside.

#[cfg(test)]
mod types;
