//! The dynamic metadata of a message, decoded when asked for: Envoy may repeat it in every message of
//! a stream, and few of them need it.

use std::ops::Range;

use bytes::Bytes;
use prost::Message as _;
use prost_types::Struct;

use super::reader::{DecodeError, Reader};

/// The namespace in which the pick is told to Envoy, and by Envoy who served.
pub const LB_NAMESPACE: &str = "envoy.lb";

/// The namespace in which a request is confined to some of the endpoints.
pub const SUBSET_NAMESPACE: &str = "envoy.lb.subset_hint";

/// Bytes of one of these namespaces at most. It is room for 40,000 endpoints as text; decoded they take
/// many times as much.
pub const NAMESPACE_BYTES_MAX: usize = 1 << 20;

/// In `envoy.lb`: the pick, a string.
pub const DESTINATION: &str = "x-gateway-destination-endpoint";

/// In `envoy.lb`: the score of each endpoint, a struct of numbers.
pub const DESTINATION_SCORES: &str = "x-gateway-destination-endpoint-scores";

/// In `envoy.lb` on the way back: who served, a string.
pub const DESTINATION_SERVED: &str = "x-gateway-destination-endpoint-served";

/// In `envoy.lb.subset_hint`: the endpoints allowed, a list of strings.
pub const DESTINATION_SUBSET: &str = "x-gateway-destination-endpoint-subset";

/// An encoded `envoy.config.core.v3.Metadata`, not looked into so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataContext {
    encoded: Bytes,
}

/// The namespaces that concern routing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutingMetadata {
    /// `envoy.lb`
    pub lb: Option<Struct>,
    /// `envoy.lb.subset_hint`
    pub subset_hint: Option<Struct>,
}

/// Why metadata could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error("metadata_context is malformed")]
    Malformed {
        #[from]
        source: DecodeError,
    },
    #[error("metadata_context is malformed in namespace {namespace}")]
    Namespace { namespace: &'static str, source: prost::DecodeError },
    #[error(
        "namespace {namespace} of metadata_context has {bytes} bytes, more than \
         {NAMESPACE_BYTES_MAX}"
    )]
    TooLong { namespace: &'static str, bytes: usize },
}

impl MetadataContext {
    pub(super) fn new(encoded: Bytes) -> Self {
        Self { encoded }
    }

    /// True if the message brought no metadata at all.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// Decodes the namespaces that concern routing and passes over the others.
    pub fn read(&self) -> Result<RoutingMetadata, MetadataError> {
        let mut found = RoutingMetadata::default();
        let mut metadata = Reader::new(&self.encoded, "Metadata");
        while let Some(key) = metadata.key()? {
            match key.number {
                1 => self.read_entry(metadata.nested(key, "FilterMetadataEntry")?, &mut found)?,
                2 => {
                    metadata.bytes(key)?;
                }
                _ => metadata.skip(key)?,
            }
        }
        Ok(found)
    }

    /// One entry of the map. A later entry of a namespace replaces an earlier one.
    fn read_entry(
        &self,
        mut entry: Reader<'_>,
        found: &mut RoutingMetadata,
    ) -> Result<(), MetadataError> {
        let mut name = 0..0;
        let mut value = Vec::new();
        while let Some(key) = entry.key()? {
            match key.number {
                1 => name = entry.string(key)?,
                2 => value.push(entry.bytes(key)?),
                _ => entry.skip(key)?,
            }
        }
        let (namespace, slot) = match self.encoded.get(name) {
            Some(name) if name == LB_NAMESPACE.as_bytes() => (LB_NAMESPACE, &mut found.lb),
            Some(name) if name == SUBSET_NAMESPACE.as_bytes() => {
                (SUBSET_NAMESPACE, &mut found.subset_hint)
            }
            Some(_) | None => return Ok(()),
        };
        let bytes = value.iter().map(Range::len).sum();
        if NAMESPACE_BYTES_MAX < bytes {
            return Err(MetadataError::TooLong { namespace, bytes });
        }
        let decoded = self.decode_struct(&value);
        *slot = Some(decoded.map_err(|source| MetadataError::Namespace { namespace, source })?);
        Ok(())
    }

    /// The parts of a message that came in parts are merged.
    fn decode_struct(&self, parts: &[Range<usize>]) -> Result<Struct, prost::DecodeError> {
        let mut value = Struct::default();
        for part in parts {
            value.merge(self.encoded.get(part.clone()).unwrap_or_default())?;
        }
        Ok(value)
    }
}
