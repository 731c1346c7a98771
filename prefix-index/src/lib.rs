//! Which endpoint holds which prompt prefix: a pure, deterministic, bounded index.
