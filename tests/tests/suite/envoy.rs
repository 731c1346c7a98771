//! Requests that travel through a real Envoy.

mod demo;
mod gateway;
mod load;
mod restarts;
mod route;
mod scripted_picker;
mod upstream;
mod whole_path;
