//! The messages of an `ext_proc` stream, read and written by hand.
//!
//! A long answer is a thousand messages, each decoded and answered. These functions do that without
//! a tree of allocations: [`decode`] reads what a picker needs and keeps bodies and headers as slices
//! of the message; [`answer`] writes the bytes that go *before* a body, so that the body itself is
//! sent from where it lies. Everything else about the protocol is in the generated types, against
//! which both are tested.

pub mod answer;
mod headers;
mod metadata;
mod reader;
mod request;

pub use headers::HeaderList;
pub use metadata::{
    DESTINATION, DESTINATION_SCORES, DESTINATION_SERVED, DESTINATION_SUBSET, LB_NAMESPACE,
    MetadataContext, MetadataError, NAMESPACE_BYTES_MAX, RoutingMetadata, SUBSET_NAMESPACE,
};
pub use reader::{DecodeError, Fault, HEADERS_MAX};
pub use request::{Body, Headers, ProtocolConfig, Question, Request, decode};

/// One of the two halves of an HTTP exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Request,
    Response,
}
