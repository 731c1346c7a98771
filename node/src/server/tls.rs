//! TLS for the ext_proc port: a certificate made at start, or one from files that may change.
//!
//! Under Istio, Envoy names the server after its own cluster, as in
//! `outbound|9002||epp.ns.svc.cluster.local`. That is no host name, and rustls before 0.24 refuses
//! whoever sends it; the names here matter to nobody, as there is one certificate for all. So the
//! port is served by rustls 0.24, and all else uses 0.23.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use rustls_ring::{ALL_TLS12_CIPHER_SUITES, ALL_TLS13_CIPHER_SUITES, DEFAULT_PROVIDER};
use rustls_server::{
    ServerConfig,
    crypto::{CipherSuite, Credentials, CryptoProvider, Identity, SelectedCredential},
    enums::ApplicationProtocol,
    error::PeerIncompatible,
    server::{ClientHello, InvalidSniPolicy, ServerCredentialResolver},
};

mod stream;

mod buffers;

pub(super) use stream::accept;

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// Made at start and kept in memory. Envoy is told not to verify it.
    SelfSigned,
    /// `tls.crt` and `tls.key` in this directory.
    Directory(PathBuf),
}

/// The oldest protocol version that is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldestVersion {
    #[default]
    Tls12,
    Tls13,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot make a self-signed certificate")]
    Make { source: rcgen::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: rustls_pki_types::pem::Error },
    #[error("{} holds no certificate; it must hold the server's chain as PEM, leaf first", path.display())]
    Empty { path: PathBuf },
    #[error("the key in {} does not fit the certificate beside it", path.display())]
    Mismatch { path: PathBuf, source: rustls_server::Error },
    #[error(
        "--tls-cipher-suites names {name:?}, which is not one of {}",
        supported_suites().join(", ")
    )]
    UnknownSuite { name: String },
    #[error("TLS cannot be set up")]
    Setup { source: rustls_server::Error },
}

/// The certificate in use, swapped when its files change.
#[derive(Debug)]
pub struct Certificate {
    source: CertificateSource,
    current: ArcSwap<Credentials>,
}

impl Certificate {
    pub fn load(source: CertificateSource) -> Result<Arc<Self>, TlsError> {
        let current = ArcSwap::from_pointee(read(&source)?);
        Ok(Arc::new(Self { source, current }))
    }

    /// Reads the files again. True when the certificate changed; on an error the last good one
    /// stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let CertificateSource::Directory(_) = &self.source else {
            return Ok(false);
        };
        let read = read(&self.source)?;
        if read.identity == self.current.load().identity {
            return Ok(false);
        }
        self.current.store(Arc::new(read));
        Ok(true)
    }
}

impl ServerCredentialResolver for Certificate {
    fn resolve(
        &self,
        client_hello: &ClientHello<'_>,
    ) -> Result<SelectedCredential, rustls_server::Error> {
        let nothing_in_common = PeerIncompatible::NoSignatureSchemesInCommon;
        self.current
            .load()
            .signer(client_hello.signature_schemes())
            .ok_or_else(|| nothing_in_common.into())
    }
}

/// TLS settings for HTTP/2 with `certificate`. `suites` are names as Go writes them; none means
/// all that are safe.
pub fn server_config(
    certificate: Arc<Certificate>,
    oldest: OldestVersion,
    suites: &[String],
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder(Arc::new(provider(oldest, suites)?))
        .with_no_client_auth()
        .with_server_credential_resolver(certificate)
        .map_err(|source| TlsError::Setup { source })?;
    config.alpn_protocols = vec![ApplicationProtocol::Http2];
    config.invalid_sni_policy = InvalidSniPolicy::IgnoreAll;
    Ok(Arc::new(config))
}

/// The suites decide the versions: one without suites is not spoken.
fn provider(oldest: OldestVersion, suites: &[String]) -> Result<CryptoProvider, TlsError> {
    let mut provider = DEFAULT_PROVIDER;
    if !suites.is_empty() {
        let supported = supported_suites();
        if let Some(name) = suites.iter().find(|&name| !supported.contains(name)) {
            return Err(TlsError::UnknownSuite { name: name.clone() });
        }
        let named = |suite| suites.contains(&go_name(suite));
        provider.tls12_cipher_suites.to_mut().retain(|suite| named(suite.common.suite));
        provider.tls13_cipher_suites.to_mut().retain(|suite| named(suite.common.suite));
    }
    match oldest {
        OldestVersion::Tls12 => {}
        OldestVersion::Tls13 => provider.tls12_cipher_suites.to_mut().clear(),
    }
    Ok(provider)
}

fn supported_suites() -> Vec<String> {
    let tls13 = ALL_TLS13_CIPHER_SUITES.iter().map(|suite| suite.common.suite);
    let tls12 = ALL_TLS12_CIPHER_SUITES.iter().map(|suite| suite.common.suite);
    tls13.chain(tls12).map(go_name).collect()
}

/// Go names TLS 1.3 suites `TLS_...`, and so does the registry; rustls writes `TLS13_...`.
fn go_name(suite: CipherSuite) -> String {
    format!("{suite:?}").replace("TLS13_", "TLS_")
}

fn read(source: &CertificateSource) -> Result<Credentials, TlsError> {
    let (chain, key, path) = match source {
        CertificateSource::SelfSigned => {
            let (chain, key) = self_signed()?;
            (chain, key, PathBuf::new())
        }
        CertificateSource::Directory(directory) => {
            let path = directory.join("tls.key");
            (read_chain(&directory.join("tls.crt"))?, read_key(&path)?, path)
        }
    };
    let identity = Identity::from_cert_chain(chain)
        .map_err(|source| TlsError::Setup { source: source.into() })?;
    Credentials::from_der(Arc::new(identity), key, &DEFAULT_PROVIDER)
        .map_err(|source| TlsError::Mismatch { path, source })
}

/// An ECDSA P-256 key is made in well under a millisecond; an RSA key of 4096 bits would hold up
/// the start by a good part of a second.
fn self_signed() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
        .map_err(|source| TlsError::Make { source })?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key)))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = |source| TlsError::Read { path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(refused)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(refused)?;
    if chain.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

impl TlsError {
    /// What the operator can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Make { .. } | Self::Setup { .. } => "this is a defect: please report it",
            Self::Read { .. } | Self::Empty { .. } | Self::Mismatch { .. } => {
                "put tls.crt (PEM chain, leaf first) and its tls.key into --cert-path, or leave \
                 --cert-path out for a self-signed certificate"
            }
            Self::UnknownSuite { .. } => "remove the name, or leave the flag out",
        }
    }
}

/// True when a handshake's failure says only that the peer went away, as a port probe does.
pub fn is_only_a_probe(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
mod tests;
