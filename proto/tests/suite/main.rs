//! Holds the wire types against an independent implementation of the same messages, and the
//! hand-written codec against the generated one.

#![cfg(test)]

mod answers;
mod decoding;
mod descriptors;
mod fields;
mod health;
mod messages;
mod wire;
