//! `eppctl`: the operator's tool.

fn main() {}
