//! What `epp` answers over a real socket, against what gateways and the picker that Convoy replaces
//! have agreed on.

mod gateway;
mod inside;
mod messages;
mod picker;
mod raw;

mod headers;
mod requests;
mod responses;
mod watching;

mod modes;
mod order;

mod refusals;
mod subsets;

mod bounds;
mod copies;
mod index;
mod memory;
mod turns;

mod drain;

mod metrics_reference;
