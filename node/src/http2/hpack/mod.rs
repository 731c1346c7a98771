//! HPACK (RFC 7541), the decoding half. What a gRPC server says in headers is so little that it is
//! written as literals and needs no encoder.
//!
//! Own code and not a crate: the decoders in use come inside of a whole HTTP/2 library, or allocate
//! a name and a value per field. Here a field is checked once, when it enters the table; each later
//! use by index counts a reference and nothing else, which is what the header blocks of a proxy
//! mostly are.

mod decoder;
mod field;
mod huffman;

pub(crate) use decoder::Decoder;
pub use decoder::HpackError;
pub use field::Field;
pub(crate) use field::Kind;
