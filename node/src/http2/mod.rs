//! HTTP/2, the server's side, without I/O; and gRPC's framing on it.
