//! What a request's header block says, and whether it may (RFC 9113 sections 8.2 and 8.3, and
//! gRPC's own rules).

use std::time::Duration;

use bytes::Bytes;

use super::error::StreamFault;
use super::grpc;
use super::hpack::{Field, Kind};

/// The head of a gRPC request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    path: Bytes,
    authority: Option<Bytes>,
    timeout: Option<Duration>,
    metadata: Vec<Field>,
}

impl RequestHead {
    /// `/package.Service/Method`.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.as_deref()
    }

    /// How long the client will wait, if it said so.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The first value of the header `name`, which is in lower case. Pseudo-headers, `te`,
    /// `content-type`, `content-length` and `grpc-timeout` are not metadata. A `-bin` value is as
    /// it was sent, in base64.
    pub fn metadata(&self, name: &str) -> Option<&[u8]> {
        self.metadata.iter().find(|field| field.name() == name.as_bytes()).map(Field::value)
    }

    /// All metadata, in the order sent.
    pub fn all_metadata(&self) -> &[Field] {
        &self.metadata
    }
}

/// Which of a stream's header blocks is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Request,
    Trailers,
}

/// Gathers a header block's fields and notes the first thing that is wrong with them.
#[derive(Debug)]
pub(crate) struct Collector {
    section: Section,
    bytes_max: u32,
    bytes: usize,
    fault: Option<StreamFault>,
    method: Option<Field>,
    scheme: Option<Field>,
    path: Option<Field>,
    authority: Option<Field>,
    content_type: Option<Field>,
    content_length: Option<u64>,
    timeout: Option<Duration>,
    plain_seen: bool,
    metadata: Vec<Field>,
}

impl Collector {
    pub(crate) fn new(section: Section, bytes_max: u32) -> Self {
        Self {
            section,
            bytes_max,
            bytes: 0,
            fault: None,
            method: None,
            scheme: None,
            path: None,
            authority: None,
            content_type: None,
            content_length: None,
            timeout: None,
            plain_seen: false,
            metadata: Vec::new(),
        }
    }

    /// Takes the next field. After a fault it only looks away, since decoding goes on for the
    /// table's sake.
    pub(crate) fn take(&mut self, field: &Field) {
        if self.fault.is_some() {
            return;
        }
        self.bytes += field.weight();
        if u64::from(self.bytes_max) < self.bytes as u64 {
            self.fault = Some(StreamFault::HeadersTooLong { bytes_max: self.bytes_max });
        } else if let Err(wrong) = self.place(field) {
            self.fault = Some(StreamFault::Headers(wrong));
        }
    }

    fn place(&mut self, field: &Field) -> Result<(), &'static str> {
        match field.kind() {
            Kind::Method => self.pseudo(field, |head| &mut head.method),
            Kind::Scheme => self.pseudo(field, |head| &mut head.scheme),
            Kind::Path => self.pseudo(field, |head| &mut head.path),
            Kind::Authority => self.pseudo(field, |head| &mut head.authority),
            Kind::UnknownPseudo => Err("a pseudo-header that requests do not have"),
            Kind::ConnectionSpecific => Err("a field that speaks of the connection"),
            Kind::BadName => Err("a name in upper case or with a character outside of a token"),
            Kind::BadValue => Err("a value with white space at an end, NUL, CR or LF"),
            Kind::Te if field.value() != b"trailers" => Err("te is not \"trailers\""),
            kind @ (Kind::Te
            | Kind::ContentType
            | Kind::ContentLength
            | Kind::GrpcTimeout
            | Kind::Plain) => {
                self.plain_seen = true;
                self.plain(kind, field)
            }
        }
    }

    fn pseudo(
        &mut self,
        field: &Field,
        place: impl FnOnce(&mut Self) -> &mut Option<Field>,
    ) -> Result<(), &'static str> {
        if self.section == Section::Trailers {
            return Err("a pseudo-header in trailers");
        }
        if self.plain_seen {
            return Err("a pseudo-header after another field");
        }
        match place(self).replace(field.clone()) {
            Some(_) => Err("a pseudo-header twice"),
            None => Ok(()),
        }
    }

    fn plain(&mut self, kind: Kind, field: &Field) -> Result<(), &'static str> {
        if self.section == Section::Trailers {
            return Ok(());
        }
        match kind {
            Kind::ContentType => self.content_type = Some(field.clone()),
            Kind::GrpcTimeout => match grpc::timeout(field.value()) {
                None => self.fault = Some(StreamFault::Timeout),
                timeout => self.timeout = timeout,
            },
            Kind::ContentLength => {
                let length = content_length(field.value()).ok_or("content-length is no number")?;
                if self.content_length.is_some_and(|before| before != length) {
                    return Err("two values of content-length");
                }
                self.content_length = Some(length);
            }
            Kind::Plain => {
                if self.metadata.capacity() == 0 {
                    self.metadata.reserve_exact(12);
                }
                self.metadata.push(field.clone());
            }
            Kind::Te
            | Kind::Method
            | Kind::Scheme
            | Kind::Path
            | Kind::Authority
            | Kind::UnknownPseudo
            | Kind::ConnectionSpecific
            | Kind::BadName
            | Kind::BadValue => {}
        }
        Ok(())
    }

    pub(crate) fn is_too_long(&self) -> bool {
        matches!(self.fault, Some(StreamFault::HeadersTooLong { .. }))
    }

    /// What was wrong, for trailers.
    pub(crate) fn into_fault(self) -> Option<StreamFault> {
        self.fault
    }

    /// The request's head and its `content-length`.
    pub(crate) fn into_head(self) -> Result<(RequestHead, Option<u64>), StreamFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let (Some(method), Some(_), Some(path)) = (self.method, self.scheme, self.path) else {
            return Err(StreamFault::Headers(":method, :scheme or :path is missing"));
        };
        if path.value().is_empty() {
            return Err(StreamFault::Headers(":path is empty"));
        }
        if method.value() != b"POST" {
            return Err(StreamFault::Method);
        }
        if !self.content_type.is_some_and(|field| is_grpc(field.value())) {
            return Err(StreamFault::ContentType);
        }
        let head = RequestHead {
            path: path.value_bytes(),
            authority: self.authority.map(|field| field.value_bytes()),
            timeout: self.timeout,
            metadata: self.metadata,
        };
        Ok((head, self.content_length))
    }
}

/// `application/grpc`, with or without a format or parameters.
fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn content_length(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
