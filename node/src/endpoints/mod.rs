//! Endpoints, their loads, and the view of both that picks read.

mod published;
mod roster;
mod view;

pub use published::PublishedView;
pub use roster::{Change, Roster};
pub use view::{Endpoint, EndpointKey, InFlight, Load, LoraAdapters, Member, Sample, View};
