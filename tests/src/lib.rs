//! Real parts for tests: Envoy, a simulated model server, and what starts them.
