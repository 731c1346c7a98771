//! The tests of the package that need more than one of its rooms, in one binary.

mod http2;
