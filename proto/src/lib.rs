//! The wire types that Convoy speaks, and nothing else.
//!
//! `schema/` restates the messages of Envoy's `ext_proc` protocol and of gRPC's health protocol, and
//! declares those that replicas exchange; the build compiles it to the types below, with a client and
//! a server for each service. Body fields are [`bytes::Bytes`]: decoding from a `Bytes` copies no body.

pub mod hot;

/// Everything that `schema/` declares, under its package names.
#[expect(
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code; what it should look like is decided by its generator"
)]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}

pub use wire::convoy::replica::v1 as replica;
pub use wire::envoy::config::core::v3 as base;
pub use wire::envoy::extensions::filters::http::ext_proc::v3 as filter;
pub use wire::envoy::service::ext_proc::v3 as ext_proc;
pub use wire::envoy::r#type::v3 as http_status;
pub use wire::grpc::health::v1 as health;

/// The descriptors of everything in `schema/` and what it imports: an encoded
/// `google.protobuf.FileDescriptorSet`, for gRPC reflection and for comparing with other
/// implementations.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
