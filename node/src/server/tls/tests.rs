//! Handshakes with clients that want one thing or another.

use rcgen::{CertifiedKey, KeyPair};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ProtocolVersion, RootCertStore,
    SupportedProtocolVersion,
    crypto::ring,
    version::{TLS12, TLS13},
};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client};

use super::{stream::Stream, *};

/// What Envoy sends under Istio.
const CLUSTER_NAME: &str = "outbound|9002||epp.ns.svc.cluster.local";

const TLS12_ALONE: &[&SupportedProtocolVersion] = &[&TLS12];
const TLS13_ALONE: &[&SupportedProtocolVersion] = &[&TLS13];

/// Who takes the port's certificate, and in what words.
pub(super) struct Client {
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: &'static [&'static str],
}

impl Default for Client {
    fn default() -> Self {
        Self { versions: rustls::ALL_VERSIONS, protocols: &["h2"] }
    }
}

impl Client {
    fn config(&self, trusted: CertificateDer<'static>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().into()).collect();
        Arc::new(config)
    }

    /// Connects over a pipe that holds `pipe_bytes` in each direction. Both ends, as they see it.
    pub(super) async fn meet(
        &self,
        certificate: &Arc<Certificate>,
        config: &Arc<ServerConfig>,
        pipe_bytes: usize,
    ) -> (io::Result<client::TlsStream<DuplexStream>>, io::Result<Stream<DuplexStream>>) {
        let (ours, theirs) = duplex(pipe_bytes);
        let connector = TlsConnector::from(self.config(leaf(certificate)));
        let name = ServerName::try_from("localhost").unwrap();
        tokio::join!(
            async { connector.connect(name, theirs).await },
            accept(ours, Arc::clone(config))
        )
    }
}

pub(super) fn self_signed_certificate() -> Arc<Certificate> {
    Certificate::load(CertificateSource::SelfSigned).unwrap()
}

pub(super) fn every_version(certificate: &Arc<Certificate>) -> Arc<ServerConfig> {
    server_config(Arc::clone(certificate), OldestVersion::Tls12, &[]).unwrap()
}

fn leaf(certificate: &Certificate) -> CertificateDer<'static> {
    let current = certificate.current.load();
    let Identity::X509(identity) = &*current.identity else { panic!("a certificate") };
    identity.end_entity.clone()
}

fn write_pair(directory: &TempDir, certificate: &rcgen::Certificate, key: &KeyPair) {
    std::fs::write(directory.path().join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(directory.path().join("tls.key"), key.serialize_pem()).unwrap();
}

fn made() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

fn directory_with_a_pair() -> TempDir {
    let directory = TempDir::new().unwrap();
    let CertifiedKey { cert, signing_key } = made();
    write_pair(&directory, &cert, &signing_key);
    directory
}

fn load(directory: &TempDir) -> Result<Arc<Certificate>, TlsError> {
    Certificate::load(CertificateSource::Directory(directory.path().to_owned()))
}

fn refusal(error: &io::Error) -> AlertDescription {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        other => panic!("{other:?} is not an alert"),
    }
}

/// A hello that asks for `name`. No client of ours can send a name that is none, so it is sent
/// one of letters, as long, and the letters are changed under way.
fn hello_asking_for(name: &str, certificate: &Certificate) -> Vec<u8> {
    let letters = "x".repeat(name.len());
    let asked = ServerName::try_from(letters.clone()).unwrap();
    let config = Client::default().config(leaf(certificate));
    let mut client = ClientConnection::new(config, asked).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let at = hello.windows(name.len()).position(|window| window == letters.as_bytes()).unwrap();
    hello[at..at + name.len()].copy_from_slice(name.as_bytes());
    hello
}

#[tokio::test]
async fn a_name_that_is_no_host_name_is_served() {
    for name in [CLUSTER_NAME, "a..b", "1.2.3.4", "\u{1}\u{2}\u{3}", "-.-"] {
        let certificate = self_signed_certificate();
        let (ours, mut theirs) = duplex(1 << 16);
        theirs.write_all(&hello_asking_for(name, &certificate)).await.unwrap();
        let answered = async {
            let mut start = [0; 6];
            theirs.read_exact(&mut start).await.unwrap();
            start
        };
        let start = tokio::select! {
            start = answered => start,
            _ended = accept(ours, every_version(&certificate)) => panic!("{name} is refused"),
        };

        // A record of the handshake, holding the server's hello.
        assert_eq!((start[0], start[5]), (22, 2), "{name} is not answered");
    }
}

#[tokio::test]
async fn http2_is_agreed_upon() {
    let certificate = self_signed_certificate();
    let config = every_version(&certificate);

    let (theirs, ours) = Client::default().meet(&certificate, &config, 4096).await;

    assert!(ours.is_ok());
    assert_eq!(theirs.unwrap().get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn a_client_that_offers_no_protocol_is_taken_at_its_word() {
    let certificate = self_signed_certificate();
    let config = every_version(&certificate);

    let client = Client { protocols: &[], ..Client::default() };
    let (theirs, ours) = client.meet(&certificate, &config, 4096).await;

    assert!(theirs.is_ok() && ours.is_ok());
}

#[tokio::test]
async fn a_client_that_offers_only_other_protocols_is_told_so() {
    let certificate = self_signed_certificate();
    let config = every_version(&certificate);

    let client = Client { protocols: &["http/1.1"], ..Client::default() };
    let (theirs, ours) = client.meet(&certificate, &config, 4096).await;

    let error = theirs.err().unwrap();
    assert_eq!(refusal(&error), AlertDescription::NoApplicationProtocol);
    assert!(!is_only_a_probe(&ours.err().unwrap()));
}

#[tokio::test]
async fn each_version_is_spoken() {
    let certificate = self_signed_certificate();
    let config = every_version(&certificate);
    let versions =
        [(TLS12_ALONE, ProtocolVersion::TLSv1_2), (TLS13_ALONE, ProtocolVersion::TLSv1_3)];
    for (versions, expected) in versions {
        let client = Client { versions, ..Client::default() };
        let (theirs, ours) = client.meet(&certificate, &config, 4096).await;

        assert!(ours.is_ok());
        assert_eq!(theirs.unwrap().get_ref().1.protocol_version(), Some(expected));
    }
}

#[tokio::test]
async fn a_version_older_than_the_oldest_is_refused() {
    let certificate = self_signed_certificate();
    let config = server_config(Arc::clone(&certificate), OldestVersion::Tls13, &[]).unwrap();

    let client = Client { versions: TLS12_ALONE, ..Client::default() };
    let (theirs, _ours) = client.meet(&certificate, &config, 4096).await;

    assert_eq!(refusal(&theirs.err().unwrap()), AlertDescription::ProtocolVersion);
}

#[tokio::test]
async fn a_suite_that_is_named_is_the_one_used() {
    let certificate = self_signed_certificate();
    for name in ["TLS_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"] {
        let suites = [name.to_owned()];
        let config =
            server_config(Arc::clone(&certificate), OldestVersion::Tls12, &suites).unwrap();

        let (theirs, _ours) = Client::default().meet(&certificate, &config, 4096).await;

        let theirs = theirs.unwrap();
        let used = theirs.get_ref().1.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(format!("{used:?}").replace("TLS13_", "TLS_"), name);
    }
}

#[test]
fn a_suite_that_is_not_known_is_named_beside_those_that_are() {
    let suites = ["TLS_RSA_WITH_RC4_128_SHA".to_owned()];
    let error = server_config(self_signed_certificate(), OldestVersion::Tls12, &suites);

    let error = error.unwrap_err().to_string();
    assert!(error.contains("TLS_RSA_WITH_RC4_128_SHA"), "{error}");
    assert!(error.contains("TLS_AES_128_GCM_SHA256"), "{error}");
    assert!(error.contains("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), "{error}");
}

#[tokio::test]
async fn a_certificate_read_again_is_shown_to_new_clients() {
    let directory = directory_with_a_pair();
    let certificate = load(&directory).unwrap();
    let config = every_version(&certificate);
    let first = leaf(&certificate);
    assert!(!certificate.reload().unwrap());

    let CertifiedKey { cert, signing_key } = made();
    write_pair(&directory, &cert, &signing_key);
    assert!(certificate.reload().unwrap());

    let (theirs, _ours) = Client::default().meet(&certificate, &config, 4096).await;
    let theirs = theirs.unwrap();
    let shown = theirs.get_ref().1.peer_certificates().unwrap();
    assert_eq!(shown, [cert.der().clone()]);
    assert_ne!(shown, [first]);
}

#[test]
fn the_last_good_certificate_outlives_files_that_do_not_fit() {
    let directory = directory_with_a_pair();
    let certificate = load(&directory).unwrap();
    let good = leaf(&certificate);

    std::fs::write(directory.path().join("tls.key"), made().signing_key.serialize_pem()).unwrap();

    assert!(matches!(certificate.reload(), Err(TlsError::Mismatch { .. })));
    assert_eq!(leaf(&certificate), good);
}

#[test]
fn files_that_hold_no_certificate_or_no_key_are_named() {
    let directory = directory_with_a_pair();
    let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));

    std::fs::write(&certificate, "").unwrap();
    assert!(matches!(load(&directory), Err(TlsError::Empty { path }) if path == certificate));
    std::fs::remove_file(&certificate).unwrap();
    assert!(matches!(load(&directory), Err(TlsError::Read { path, .. }) if path == certificate));
    std::fs::write(&certificate, made().cert.pem()).unwrap();
    std::fs::write(&key, "no key").unwrap();
    assert!(matches!(load(&directory), Err(TlsError::Read { path, .. }) if path == key));
}

#[tokio::test]
async fn a_client_that_leaves_before_its_hello_is_only_a_probe() {
    let certificate = self_signed_certificate();
    let (ours, theirs) = duplex(4096);
    drop(theirs);

    let error = accept(ours, every_version(&certificate)).await.err().unwrap();

    assert!(is_only_a_probe(&error));
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_refused() {
    let certificate = self_signed_certificate();
    let (ours, mut theirs) = duplex(4096);
    theirs.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();

    let error = accept(ours, every_version(&certificate)).await.err().unwrap();

    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(!is_only_a_probe(&error));
}
