//! Endpoints listed in a file.
