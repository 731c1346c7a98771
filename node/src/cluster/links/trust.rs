//! Whether a certificate is of the cluster's authority, and whether it carries a replica's name.

use std::sync::Arc;

use convoy_raft::identity::ReplicaName;
use rustls::{
    CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    server::{
        ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier,
    },
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// The cluster's authority.
///
/// As a verifier of servers it looks at the chain alone: a replica may be called that nobody knows the name of
/// yet. Its name is looked for in the certificate when it has said it.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    pub(super) fn new(roots: RootCertStore) -> Result<Self, VerifierBuilderError> {
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider);
        Ok(Self { roots, clients: clients.build()?, algorithms })
    }

    pub(super) fn clients(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.clients)
    }

    /// Whether who showed `chain` may call.
    pub(super) fn verify_caller(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let (own, rest) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        self.clients.verify_client_cert(own, rest, now).map(drop)
    }

    /// Whether who showed `chain` may be called.
    pub(super) fn verify_called(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let (own, rest) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let own = ParsedCertificate::try_from(own)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&own, &self.roots, rest, now, algorithms)
    }
}

/// Whether `certificate` carries `name`; if not, says what it carries.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls' own list is long, and grows")]
pub(super) fn carries(certificate: &CertificateDer<'_>, name: &ReplicaName) -> Result<(), String> {
    let Ok(wanted @ ServerName::DnsName(_)) = ServerName::try_from(name.as_str()) else {
        return Err("nothing that is like it, since it is no DNS name".to_owned());
    };
    let verified =
        ParsedCertificate::try_from(certificate).and_then(|own| verify_server_name(&own, &wanted));
    verified.map_err(|error| {
        use CertificateError::NotValidForNameContext as Other;
        match error {
            rustls::Error::InvalidCertificate(Other { presented, .. }) if !presented.is_empty() => {
                let bare = |name: &String| {
                    let name = name.strip_prefix("DnsName(\"").unwrap_or(name);
                    name.strip_suffix("\")").unwrap_or(name).to_owned()
                };
                presented.iter().map(bare).collect::<Vec<_>>().join(", ")
            }
            _ => "no name".to_owned(),
        }
    })
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let own = ParsedCertificate::try_from(end_entity)?;
        let (roots, algorithms) = (&self.roots, self.algorithms.all);
        verify_server_cert_signed_by_trust_anchor(&own, roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
