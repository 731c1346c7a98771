//! TLS towards model servers: by default any certificate is taken, as in the picker replaced.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

use crate::plugins::MetricsSource;

/// Why metrics pages cannot be asked for over TLS as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{key}: cannot read {}", path.display())]
    Read { key: &'static str, path: PathBuf, source: rustls_pki_types::pem::Error },
    #[error("{key}: {} holds no certificate", path.display())]
    Empty { key: &'static str, path: PathBuf },
    #[error("caCertPath: a certificate in {} is not one of an authority", path.display())]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("clientKeyPath: {} does not hold the key of the client's certificate", path.display())]
    ClientKey { path: PathBuf, source: rustls::Error },
    #[error("insecureSkipVerify is false and the system has no list of authorities")]
    NoAuthorities,
    #[error("TLS cannot be set up")]
    Setup { source: rustls::Error },
}

impl TlsError {
    /// What helps.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Empty { .. } => "put a readable PEM file there",
            Self::Authority { .. } => "put the certificates of authorities there, as PEM",
            Self::ClientKey { .. } => "let clientKeyPath and clientCertPath name one pair",
            Self::NoAuthorities => "set caCertPath to the authorities' certificates",
            Self::Setup { .. } => "report this; it depends on no setting",
        }
    }
}

/// TLS settings for asking model servers as `source` says.
pub(super) fn client_config(source: &MetricsSource) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Setup { source })?;
    let builder = if source.insecure_skip_verify {
        let verifier = Arc::new(AnyCertificate { provider });
        builder.dangerous().with_custom_certificate_verifier(verifier)
    } else {
        builder.with_root_certificates(authorities(source.ca_path.as_deref())?)
    };
    let Some(client) = &source.client_certificate else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = certificates("clientCertPath", &client.certificate_path)?;
    let key_path = &client.key_path;
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|source| TlsError::Read {
        key: "clientKeyPath",
        path: key_path.clone(),
        source,
    })?;
    let config = builder
        .with_client_auth_cert(chain, key)
        .map_err(|source| TlsError::ClientKey { path: key_path.clone(), source })?;
    Ok(Arc::new(config))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Read { key, path: path.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if found.is_empty() {
        return Err(TlsError::Empty { key, path: path.to_owned() });
    }
    Ok(found)
}

/// Where distributions keep the certificates of authorities.
const SYSTEM_AUTHORITIES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn authorities(configured: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    if let Some(path) = configured {
        for certificate in certificates("caCertPath", path)? {
            store
                .add(certificate)
                .map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
        }
        return Ok(store);
    }
    let found = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.is_file());
    let path = found.ok_or(TlsError::NoAuthorities)?;
    // Systems ship some certificates that rustls does not take; the others serve.
    store.add_parsable_certificates(certificates("caCertPath", path)?);
    Ok(store)
}

/// Takes any certificate, but has the server show that it holds the certificate's key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
