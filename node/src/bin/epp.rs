//! `epp`: the endpoint picker.

fn main() {}
