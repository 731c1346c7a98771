//! Requests that travel through a real Envoy.

mod gateway;
mod scripted_picker;
mod upstream;
