//! One header field, checked when it is made, so that a field used again by its index costs no
//! second look.

use std::sync::LazyLock;

use bytes::Bytes;

/// A header field. Cloning counts a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name, then value.
    text: Bytes,
    name_bytes: usize,
    kind: Kind,
}

/// What a field is to a server of gRPC, told from its name, or what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Method,
    Scheme,
    Path,
    Authority,
    ContentType,
    ContentLength,
    GrpcTimeout,
    Te,
    /// Any other field.
    Plain,
    /// A pseudo-header that requests do not have.
    UnknownPseudo,
    /// Speaks of the connection, which HTTP/2 does not allow.
    ConnectionSpecific,
    /// Upper case or a character outside of a token.
    BadName,
    /// A character that no value may hold, or white space at an end.
    BadValue,
}

impl Field {
    /// Makes a field of `name` and `value`, each any bytes.
    pub(crate) fn new(name: &[u8], value: &[u8]) -> Self {
        let mut text = Vec::with_capacity(name.len() + value.len());
        text.extend_from_slice(name);
        text.extend_from_slice(value);
        Self { kind: classify(name, value), name_bytes: name.len(), text: text.into() }
    }

    pub fn name(&self) -> &[u8] {
        self.text.get(..self.name_bytes).unwrap_or_default()
    }

    pub fn value(&self) -> &[u8] {
        self.text.get(self.name_bytes..).unwrap_or_default()
    }

    /// The value, sharing the field's memory.
    pub(crate) fn value_bytes(&self) -> Bytes {
        self.text.slice(self.name_bytes..)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What the field counts for in a table or a list: 32 bytes and its text (RFC 7541 section
    /// 4.1).
    pub(crate) fn weight(&self) -> usize {
        self.text.len() + 32
    }
}

fn classify(name: &[u8], value: &[u8]) -> Kind {
    if !is_value(value) {
        return Kind::BadValue;
    }
    match name {
        b":method" => Kind::Method,
        b":scheme" => Kind::Scheme,
        b":path" => Kind::Path,
        b":authority" => Kind::Authority,
        b"content-type" => Kind::ContentType,
        b"content-length" => Kind::ContentLength,
        b"grpc-timeout" => Kind::GrpcTimeout,
        b"te" => Kind::Te,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Kind::ConnectionSpecific
        }
        [b':', ..] => Kind::UnknownPseudo,
        _ if is_name(name) => Kind::Plain,
        _ => Kind::BadName,
    }
}

/// A token (RFC 9110 section 5.6.2) in lower case.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| {
            matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'#' | b'$'
                | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~')
        })
}

/// RFC 9113 section 8.2.1.
fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(value.first())
        && !is_blank(value.last())
        && !value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
}

macro_rules! fields {
    ($($name:literal $value:literal,)*) => {
        vec![$(Field {
            text: Bytes::from_static(concat!($name, $value).as_bytes()),
            name_bytes: $name.len(),
            kind: classify($name.as_bytes(), $value.as_bytes()),
        },)*]
    };
}

/// The static table (RFC 7541 appendix A), its first entry at index 0 here and 1 on the wire.
pub(super) static STATIC: LazyLock<Vec<Field>> = LazyLock::new(|| {
    fields![
        ":authority" "",
        ":method" "GET",
        ":method" "POST",
        ":path" "/",
        ":path" "/index.html",
        ":scheme" "http",
        ":scheme" "https",
        ":status" "200",
        ":status" "204",
        ":status" "206",
        ":status" "304",
        ":status" "400",
        ":status" "404",
        ":status" "500",
        "accept-charset" "",
        "accept-encoding" "gzip, deflate",
        "accept-language" "",
        "accept-ranges" "",
        "accept" "",
        "access-control-allow-origin" "",
        "age" "",
        "allow" "",
        "authorization" "",
        "cache-control" "",
        "content-disposition" "",
        "content-encoding" "",
        "content-language" "",
        "content-length" "",
        "content-location" "",
        "content-range" "",
        "content-type" "",
        "cookie" "",
        "date" "",
        "etag" "",
        "expect" "",
        "expires" "",
        "from" "",
        "host" "",
        "if-match" "",
        "if-modified-since" "",
        "if-none-match" "",
        "if-range" "",
        "if-unmodified-since" "",
        "last-modified" "",
        "link" "",
        "location" "",
        "max-forwards" "",
        "proxy-authenticate" "",
        "proxy-authorization" "",
        "range" "",
        "referer" "",
        "refresh" "",
        "retry-after" "",
        "server" "",
        "set-cookie" "",
        "strict-transport-security" "",
        "transfer-encoding" "",
        "user-agent" "",
        "vary" "",
        "via" "",
        "www-authenticate" "",
    ]
});
