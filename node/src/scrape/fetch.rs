//! Fetching one endpoint's page, again and again, into one buffer.

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{
    link::{BodyError, Link, OpenError},
    target::Target,
    tls::{TlsError, client_config},
};
use crate::plugins::{MetricsSource, Scheme};

/// What is the same for the pages of all endpoints.
#[derive(Clone)]
pub struct Source {
    path: Uri,
    pub(super) port: Option<u16>,
    tls: Option<TlsConnector>,
    limits: Limits,
}

/// How long and how large a page may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For all of it: connecting, asking, reading.
    pub timeout: Duration,
    pub page_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(1), page_bytes_max: 4 * 1024 * 1024 }
    }
}

/// Why pages cannot be asked for as configured.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("path: {path:?} is not the path of a URL")]
    Path { path: String, source: http::uri::InvalidUri },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl SourceError {
    /// What helps.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Path { .. } => "write a path such as /metrics",
            Self::Tls(error) => error.remedy(),
        }
    }
}

impl Source {
    /// Checks the settings, and reads the files that they name.
    pub fn try_new(source: &MetricsSource, limits: Limits) -> Result<Self, SourceError> {
        let path = source.path.parse();
        let path = path
            .map_err(|invalid| SourceError::Path { path: source.path.clone(), source: invalid })?;
        let tls = match source.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(TlsConnector::from(client_config(source)?)),
        };
        Ok(Self { path, port: source.port, tls, limits })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, port, tls, limits } = self;
        f.debug_struct("Source")
            .field("path", path)
            .field("port", port)
            .field("has_tls", &tls.is_some())
            .field("limits", limits)
            .finish()
    }
}

/// Why a page was not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("the page is longer than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
    #[error("no page within {0:?}")]
    TimedOut(Duration),
}

impl FetchError {
    /// Every [`Self::reason`].
    pub(super) const REASONS: [&str; 6] =
        ["connect", "tls", "broken", "status", "too_long", "timeout"];

    /// The error's kind, as a metric's label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Broken(_) => "broken",
            Self::Status(_) => "status",
            Self::TooLong { .. } => "too_long",
            Self::TimedOut(_) => "timeout",
        }
    }
}

impl From<OpenError> for FetchError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Connect(source) => Self::Connect(source),
            OpenError::Tls(source) => Self::Tls(source),
            OpenError::Http(source) => Self::Broken(source),
        }
    }
}

impl From<BodyError> for FetchError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Broken(source) => Self::Broken(source),
            BodyError::TooLong { bytes_max } => Self::TooLong { bytes_max },
        }
    }
}

/// Fetches one endpoint's page. It keeps the connection and the buffer.
pub(super) struct Fetcher {
    source: Source,
    target: Target,
    link: Option<Link>,
    page: Vec<u8>,
}

/// What is asked for; an engine may know other forms.
const ACCEPT: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";

/// A buffer that one large page has grown is given back beyond this.
const KEPT_BYTES_MAX: usize = 256 * 1024;

impl Fetcher {
    pub(super) fn new(source: Source, target: Target) -> Self {
        Self { source, target, link: None, page: Vec::new() }
    }

    /// The page, within the time allowed. After an error the connection is made anew.
    pub(super) async fn fetch(&mut self) -> Result<&[u8], FetchError> {
        let allowed = self.source.limits.timeout;
        self.page.clear();
        self.page.shrink_to(KEPT_BYTES_MAX);
        // A link that is not put back is closed: its stream may stand anywhere.
        let kept = self.link.take();
        let link = timeout(allowed, self.fetch_over(kept))
            .await
            .unwrap_or(Err(FetchError::TimedOut(allowed)))?;
        self.link = Some(link);
        Ok(&self.page)
    }

    async fn fetch_over(&mut self, kept: Option<Link>) -> Result<Link, FetchError> {
        let (mut link, response) = self.ask(kept).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let bytes_max = self.source.limits.page_bytes_max;
        link.read_body(response.into_body(), &mut self.page, bytes_max).await?;
        Ok(link)
    }

    /// Asks over the kept connection, or over another if the server has closed it meanwhile.
    async fn ask(&mut self, kept: Option<Link>) -> Result<(Link, Response<Incoming>), FetchError> {
        if let Some(mut link) = kept
            && let Ok(response) = link.send(self.request()).await
        {
            return Ok((link, response));
        }
        let mut link = Link::open(&self.target, self.source.tls.as_ref()).await?;
        let response = link.send(self.request()).await.map_err(FetchError::Broken)?;
        Ok((link, response))
    }

    fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.source.path.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.target.host_header.clone());
        headers.insert(header::ACCEPT, header::HeaderValue::from_static(ACCEPT));
        request
    }
}

#[cfg(test)]
mod tests;
