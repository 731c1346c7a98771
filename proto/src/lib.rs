//! The wire types that Convoy speaks, and nothing else.
