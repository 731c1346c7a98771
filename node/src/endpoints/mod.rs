//! Endpoints, their loads, and the view of both that picks read.

pub mod book;

mod gauges;
mod pool;
mod published;
mod roster;
mod slots;
mod vacancy;
mod view;

pub use gauges::Gauges;
pub use pool::Heard;
pub use published::PublishedView;
pub use roster::{Change, Roster};
pub use slots::Slots;
pub use view::{Endpoint, EndpointKey, InFlight, Load, LoraAdapters, Member, Sample, View};
