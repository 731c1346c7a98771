//! Model servers' metrics pages, fetched over one kept connection and read into samples.
