//! Pages fetched from servers that behave, and that do not.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// What a server does with a request.
#[derive(Clone)]
enum Answer {
    /// Sends this and listens on.
    Bytes(Vec<u8>),
    /// Sends this and closes.
    Last(Vec<u8>),
    Silence,
}

/// A server that gives its answers in turn, whatever the connection, and the last one for ever.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start(answers: Vec<Answer>) -> Self {
        Self::start_with(answers, None).await
    }

    async fn start_with(answers: Vec<Answer>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let given = Arc::new(AtomicUsize::new(0));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut each = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (answers, given, tls) = (answers.clone(), Arc::clone(&given), tls.clone());
                each.spawn(async move {
                    match tls {
                        None => serve(socket, &answers, &given).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                serve(socket, &answers, &given).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, connections, _serving: serving }
    }

    fn fetcher(&self, source: &MetricsSource, limits: Limits) -> Fetcher {
        let target = Target::parse(&self.address.to_string(), None).unwrap();
        Fetcher::new(Source::try_new(source, limits).unwrap(), target)
    }

    fn plain(&self) -> Fetcher {
        self.fetcher(&MetricsSource::default(), Limits::default())
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    answers: &[Answer],
    given: &AtomicUsize,
) {
    let mut request = Vec::new();
    while socket.read_buf(&mut request).await.is_ok_and(|bytes| 0 < bytes) {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
        assert!(text.starts_with("GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:"), "{text}");
        let turn = given.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        match &answers[turn] {
            Answer::Bytes(bytes) => socket.write_all(bytes).await.unwrap(),
            Answer::Last(bytes) => {
                socket.write_all(bytes).await.unwrap();
                return;
            }
            Answer::Silence => std::future::pending().await,
        }
    }
}

fn sized(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn chunked(chunks: &[&str]) -> Vec<u8> {
    let mut bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for chunk in chunks {
        write!(bytes, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    (bytes + "0\r\n\r\n").into_bytes()
}

async fn reason(fetcher: &mut Fetcher) -> &'static str {
    fetcher.fetch().await.unwrap_err().reason()
}

#[tokio::test]
async fn pages_come_over_one_kept_connection() {
    let server = Server::start(vec![
        Answer::Bytes(sized("one")),
        Answer::Bytes(chunked(&["t", "wo"])),
        Answer::Bytes(sized("")),
        Answer::Bytes(sized(&"x".repeat(1_000_000))),
        Answer::Bytes(sized("last")),
    ])
    .await;
    let mut fetcher = server.plain();
    assert_eq!(fetcher.fetch().await.unwrap(), b"one");
    assert_eq!(fetcher.fetch().await.unwrap(), b"two");
    assert_eq!(fetcher.fetch().await.unwrap(), b"");
    assert_eq!(fetcher.fetch().await.unwrap().len(), 1_000_000);
    assert_eq!(fetcher.fetch().await.unwrap(), b"last");
    assert!(fetcher.page.capacity() <= KEPT_BYTES_MAX);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_closed_between_pages_is_no_error() {
    let until_close = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end".to_vec();
    let server = Server::start(vec![
        Answer::Last(sized("one")),
        Answer::Last(until_close),
        Answer::Bytes(sized("three")),
    ])
    .await;
    let mut fetcher = server.plain();
    assert_eq!(fetcher.fetch().await.unwrap(), b"one");
    assert_eq!(fetcher.fetch().await.unwrap(), b"to the end");
    assert_eq!(fetcher.fetch().await.unwrap(), b"three");
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_page_longer_than_allowed_is_refused_however_it_comes() {
    let server = Server::start(vec![
        Answer::Bytes(sized(&"x".repeat(1001))),
        Answer::Bytes(chunked(&[&"x".repeat(600), &"x".repeat(401)])),
        Answer::Bytes(sized(&"x".repeat(1000))),
    ])
    .await;
    let limits = Limits { page_bytes_max: 1000, ..Limits::default() };
    let mut fetcher = server.fetcher(&MetricsSource::default(), limits);
    assert_eq!(reason(&mut fetcher).await, "too_long");
    assert_eq!(reason(&mut fetcher).await, "too_long");
    assert_eq!(fetcher.fetch().await.unwrap().len(), 1000);
}

#[tokio::test]
async fn each_kind_of_failure_has_its_reason_and_is_followed_by_success() {
    let server = Server::start(vec![
        Answer::Bytes(b"HTTP/1.1 503 Busy\r\ncontent-length: 1\r\n\r\nx".to_vec()),
        Answer::Last(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec()),
        Answer::Last(b"SSH-2.0-OpenSSH_9\r\n".to_vec()),
        Answer::Silence,
        Answer::Bytes(sized("well")),
    ])
    .await;
    let limits = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
    let mut fetcher = server.fetcher(&MetricsSource::default(), limits);
    assert_eq!(reason(&mut fetcher).await, "status");
    assert_eq!(reason(&mut fetcher).await, "broken");
    assert_eq!(reason(&mut fetcher).await, "broken");
    assert_eq!(reason(&mut fetcher).await, "timeout");
    assert_eq!(fetcher.fetch().await.unwrap(), b"well");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target = Target::parse(&address.to_string(), None).unwrap();
    let source = Source::try_new(&MetricsSource::default(), Limits::default()).unwrap();
    assert_eq!(reason(&mut Fetcher::new(source, target)).await, "connect");
}

/// A server's settings, and the file that holds its certificate, which is its own authority.
fn tls(name: &str) -> (TlsAcceptor, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    (TlsAcceptor::from(Arc::new(config)), file)
}

#[tokio::test]
async fn over_tls_any_certificate_is_taken_unless_it_is_to_be_verified() {
    let (acceptor, authority) = tls("127.0.0.1");
    let (_, other) = tls("127.0.0.1");
    let server = Server::start_with(vec![Answer::Bytes(sized("page"))], Some(acceptor)).await;
    let https = MetricsSource { scheme: Scheme::Https, ..MetricsSource::default() };
    let verified_by = |file: &tempfile::NamedTempFile| MetricsSource {
        insecure_skip_verify: false,
        ca_path: Some(file.path().to_owned()),
        ..https.clone()
    };
    for source in [https.clone(), verified_by(&authority)] {
        let mut fetcher = server.fetcher(&source, Limits::default());
        assert_eq!(fetcher.fetch().await.unwrap(), b"page");
        assert_eq!(fetcher.fetch().await.unwrap(), b"page");
    }
    assert_eq!(server.connections(), 2);
    let mut distrusting = server.fetcher(&verified_by(&other), Limits::default());
    assert_eq!(reason(&mut distrusting).await, "tls");
}

#[test]
fn settings_that_cannot_be_used_name_key_and_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let https = MetricsSource {
        scheme: Scheme::Https,
        insecure_skip_verify: false,
        ca_path: Some(path.clone()),
        ..MetricsSource::default()
    };
    let refused = |source: &MetricsSource| {
        Source::try_new(source, Limits::default()).unwrap_err().to_string()
    };
    let (name, missing) = (path.display(), refused(&https));
    assert_eq!(missing, format!("caCertPath: cannot read {name}"));
    std::fs::write(&path, "").unwrap();
    assert_eq!(refused(&https), format!("caCertPath: {name} holds no certificate"));
    let odd = MetricsSource { path: "/a b".to_owned(), ..MetricsSource::default() };
    assert!(refused(&odd).contains("/a b"));
}
