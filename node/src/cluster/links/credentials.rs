//! What this replica shows to others, and whom it believes: a certificate, its key, and the authority of the
//! cluster, read again when the files change.
//!
//! Every connection has both sides show a certificate of the cluster's own authority. Sessions are never
//! resumed, since that would skip the look at a certificate that may have expired meanwhile.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use convoy_raft::identity::ReplicaName;
use rustls::{
    CertificateError, ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::ring,
    server::{NoServerSessionStorage, VerifierBuilderError},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use tokio::sync::watch;

use super::trust::{Trust, carries};
use crate::logging::chain;

/// The protocol that is agreed on in the handshake, so that nothing else is spoken to by mistake.
const PROTOCOL: &[u8] = b"convoy-replica";

/// Where the PEM files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// `--cluster-cert`
    pub certificate: PathBuf,
    /// `--cluster-key`
    pub key: PathBuf,
    /// `--cluster-ca`
    pub authority: PathBuf,
}

/// Credentials in use, swapped when their files change.
#[derive(Debug)]
pub struct Credentials {
    files: Files,
    name: ReplicaName,
    current: ArcSwap<Current>,
    read: Mutex<Read>,
    /// Counts the changes.
    version: watch::Sender<u64>,
}

#[derive(Debug)]
struct Current {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    trust: Trust,
}

/// The files' contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Read {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Vec<u8>,
}

/// Why there are no credentials in the files.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("--{flag}: cannot read {}", path.display())]
    Read { flag: &'static str, path: PathBuf, source: io::Error },
    #[error("--{flag}: {} is not PEM", path.display())]
    Pem { flag: &'static str, path: PathBuf, source: rustls_pki_types::pem::Error },
    #[error("--{flag}: {} holds no certificate", path.display())]
    Empty { flag: &'static str, path: PathBuf },
    #[error("--cluster-ca: a certificate in {} is not one of an authority", path.display())]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("--cluster-ca: {} cannot be used", path.display())]
    Authorities { path: PathBuf, source: VerifierBuilderError },
    #[error("--cluster-key: {} is not the key of the certificate in {}", key.display(), certificate.display())]
    Key { key: PathBuf, certificate: PathBuf, source: rustls::Error },
    #[error("--cluster-cert: {} is not of the authority in --cluster-ca", path.display())]
    OtherAuthority { path: PathBuf },
    #[error("--cluster-cert: {} has expired, or is not valid yet", path.display())]
    Expired { path: PathBuf, source: rustls::Error },
    #[error("--cluster-cert: {} cannot be used between replicas", path.display())]
    Certificate { path: PathBuf, source: rustls::Error },
    #[error("--cluster-cert: {} does not carry the name {name}, but {carried}", path.display())]
    Name { path: PathBuf, name: ReplicaName, carried: String },
    #[error("TLS cannot be set up")]
    Setup { source: rustls::Error },
}

impl CredentialsError {
    /// What helps.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Pem { .. } | Self::Empty { .. } => {
                "put a readable PEM file there; of a chain, the replica's own certificate comes first"
            }
            Self::Authority { .. } | Self::Authorities { .. } => {
                "put the certificate of the cluster's own authority there, as PEM"
            }
            Self::Key { .. } => "let --cluster-key and --cluster-cert name one pair",
            Self::OtherAuthority { .. } => {
                "let --cluster-ca name the authority that issued --cluster-cert, and put what is between \
                 the two into --cluster-cert, after the replica's own"
            }
            Self::Expired { .. } => "renew it; compare the machine's clock",
            Self::Certificate { .. } => {
                "issue it for clients and servers (extended key usage), or for any use"
            }
            Self::Name { .. } => {
                "issue it with the replica's name as a DNS name (subjectAltName), or give the replica the \
                 certificate's name with --replica-name"
            }
            Self::Setup { .. } => "report this; it depends on no setting",
        }
    }
}

impl Credentials {
    /// Reads the files. A certificate that has expired is said and taken: this replica then picks on, and the
    /// others refuse it until it is renewed.
    pub fn load(files: Files, name: ReplicaName, now: UnixTime) -> Result<Self, CredentialsError> {
        let read = read(&files)?;
        let current = match Current::new(&files, &read, &name, now) {
            Err(expired @ CredentialsError::Expired { .. }) => {
                let (error, remedy) = (chain(&expired), expired.remedy());
                tracing::error!(error, remedy, "the other replicas will refuse this one");
                Current::unchecked(&files, &read)?
            }
            checked => checked?,
        };
        let (current, read) = (ArcSwap::from_pointee(current), Mutex::new(read));
        Ok(Self { files, name, current, read, version: watch::Sender::new(0) })
    }

    /// Reads the files again. True if they changed; on an error the last good ones stay in use.
    pub fn reload(&self, now: UnixTime) -> Result<bool, CredentialsError> {
        let read = read(&self.files)?;
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == read {
            return Ok(false);
        }
        self.current.store(Arc::new(Current::new(&self.files, &read, &self.name, now)?));
        *known = read;
        self.version.send_modify(|version| *version += 1);
        Ok(true)
    }

    /// Changes when credentials were taken up.
    pub(super) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().server)
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current.load().client)
    }

    pub(super) fn trust(&self) -> Trust {
        self.current.load().trust.clone()
    }
}

impl Current {
    fn new(
        files: &Files,
        read: &Read,
        name: &ReplicaName,
        now: UnixTime,
    ) -> Result<Self, CredentialsError> {
        let current = Self::unchecked(files, read)?;
        let shown = certificates("cluster-cert", &files.certificate, &read.certificate)?;
        check_own(&files.certificate, &shown, &current.trust, name, now)?;
        Ok(current)
    }

    fn unchecked(files: &Files, read: &Read) -> Result<Self, CredentialsError> {
        let Files { certificate, key, authority } = files;
        let shown = certificates("cluster-cert", certificate, &read.certificate)?;
        let roots = roots(authority, &read.authority)?;
        let private = PrivateKeyDer::from_pem_slice(&read.key).map_err(|source| {
            CredentialsError::Pem { flag: "cluster-key", path: key.clone(), source }
        })?;
        let trust = Trust::new(roots)
            .map_err(|source| CredentialsError::Authorities { path: authority.clone(), source })?;

        let provider = Arc::new(ring::default_provider());
        let setup = |source| CredentialsError::Setup { source };
        let mismatch = |source| CredentialsError::Key {
            key: key.clone(),
            certificate: certificate.clone(),
            source,
        };
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(setup)?
            .with_client_cert_verifier(trust.clients())
            .with_single_cert(shown.clone(), private.clone_key())
            .map_err(mismatch)?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust.clone()))
            .with_client_auth_cert(shown, private)
            .map_err(mismatch)?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = Resumption::disabled();
        // A server's name is what it says of itself, which is looked for in its certificate then.
        client.enable_sni = false;
        Ok(Self { server: Arc::new(server), client: Arc::new(client), trust })
    }
}

/// Looks at this replica's certificate as the others will.
fn check_own(
    path: &Path,
    shown: &[CertificateDer<'static>],
    trust: &Trust,
    name: &ReplicaName,
    now: UnixTime,
) -> Result<(), CredentialsError> {
    use CertificateError as E;
    let path = path.to_owned();
    let refused = trust.verify_caller(shown, now).and_then(|()| trust.verify_called(shown, now));
    if let Err(source) = refused {
        let why =
            if let rustls::Error::InvalidCertificate(why) = &source { Some(why) } else { None };
        return Err(match why {
            Some(E::UnknownIssuer | E::BadSignature) => CredentialsError::OtherAuthority { path },
            Some(
                E::Expired
                | E::ExpiredContext { .. }
                | E::NotValidYet
                | E::NotValidYetContext { .. },
            ) => CredentialsError::Expired { path, source },
            Some(_) | None => CredentialsError::Certificate { path, source },
        });
    }
    let own = shown
        .first()
        .ok_or(CredentialsError::Empty { flag: "cluster-cert", path: path.clone() })?;
    carries(own, name).map_err(|carried| {
        let name = name.clone();
        CredentialsError::Name { path, name, carried }
    })
}

fn read(files: &Files) -> Result<Read, CredentialsError> {
    let read = |flag, path: &PathBuf| {
        fs::read(path).map_err(|source| CredentialsError::Read { flag, path: path.clone(), source })
    };
    Ok(Read {
        certificate: read("cluster-cert", &files.certificate)?,
        key: read("cluster-key", &files.key)?,
        authority: read("cluster-ca", &files.authority)?,
    })
}

fn certificates(
    flag: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| CredentialsError::Pem { flag, path: path.to_owned(), source })?;
    if found.is_empty() {
        return Err(CredentialsError::Empty { flag, path: path.to_owned() });
    }
    Ok(found)
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, CredentialsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates("cluster-ca", path, pem)? {
        let added = store.add(certificate);
        added.map_err(|source| CredentialsError::Authority { path: path.to_owned(), source })?;
    }
    Ok(store)
}

#[cfg(test)]
impl Credentials {
    /// Takes the files as they are, as if they had been good at the start.
    pub(super) fn unchecked(files: Files) -> Self {
        let read = read(&files).unwrap();
        let current = Current::unchecked(&files, &read).unwrap();
        let name = ReplicaName::new("unchecked").unwrap();
        let (current, read) = (ArcSwap::from_pointee(current), Mutex::new(read));
        Self { files, name, current, read, version: watch::Sender::new(0) }
    }
}
