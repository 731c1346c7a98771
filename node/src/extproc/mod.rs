//! The conversation with Envoy over ext_proc.
