//! Endpoints, their loads, and the view of both that picks read.

mod view;

pub use view::{Endpoint, EndpointKey, InFlight, Load, LoraAdapters, Member, Sample, View};
