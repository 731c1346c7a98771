//! The ext_proc port: listener, TLS, one thread per core, one task per connection.

pub mod bounds;
pub mod tls;
