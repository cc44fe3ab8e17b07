use std::fs;
use std::sync::Arc;
use std::time::Duration;

use appliance::config::TlsFiles;
use appliance::serve::Limits;
use appliance::serve::listener::ALPN;
use appliance::tls::{Certificate, TlsError};
use axum::body::Body;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::programme::{begin, metric, segment, write};
use crate::server::{DEADLINE, Server};

const ID: &str = "20261121T031500.000Z";

/// Asks over HTTP/2 and gives version, status, a field and the body.
async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    path: &str,
) -> (u16, Option<String>, Vec<u8>) {
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    let driven = tokio::spawn(connection);
    let request = Request::get(format!("http://test{path}")).body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (status, length) = (response.status().as_u16(), response.headers().get("content-length").cloned());
    let body = axum::body::to_bytes(Body::new(response.into_body()), 1 << 20).await.unwrap();
    drop(sender);
    driven.abort();
    (status, length.map(|length| length.to_str().unwrap().to_owned()), body.to_vec())
}

#[tokio::test]
async fn http2_without_tls_is_known_by_its_preface() {
    let server = Server::start().await;
    let presentation = begin(&server.store, "studio-a", ID, Duration::from_secs(20));
    write(&presentation, 1..=2);
    let (status, length, body) =
        http2(server.connect().await, &format!("/live/studio-a/{ID}/360p/2.m4s")).await;
    assert_eq!((status, body), (200, segment(0, 2)));
    assert_eq!(length, Some(segment(0, 2).len().to_string()));
}

fn certificate(folder: &std::path::Path, name: &str) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files =
        TlsFiles { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
    fs::write(&files.certificate, made.cert.pem()).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

async fn connect(
    server: &Server,
    trusted: &TlsFiles,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&trusted.certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
}

#[tokio::test]
async fn tls_chooses_the_protocol_and_reloads_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path(), "server");
    let shown = Certificate::open(&files).unwrap();
    let server = Server::with(Limits::new(10), Some(shown.server_config(ALPN).unwrap())).await;

    let stream = connect(&server, &files, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (status, _, body) = http2(stream, "/healthz").await;
    assert_eq!((status, body), (200, b"ok\n".to_vec()));

    let mut kept = connect(&server, &files, &[b"http/1.1"]).await.unwrap();
    let get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    kept.write_all(get).await.unwrap();
    let mut answer = [0; 12];
    kept.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    // A certificate that does not fit its key changes nothing.
    let other = certificate(folder.path(), "other");
    let old = fs::read(&files.certificate).unwrap();
    fs::copy(&other.certificate, &files.certificate).unwrap();
    assert!(matches!(shown.reload(), Err(TlsError::Mismatch { .. })));
    let trusted = TlsFiles { certificate: folder.path().join("old.crt"), key: files.key.clone() };
    fs::write(&trusted.certificate, old).unwrap();
    connect(&server, &trusted, &[]).await.expect("the one in force stays");
    fs::copy(&other.key, &files.key).unwrap();
    shown.reload().unwrap();
    connect(&server, &other, &[]).await.expect("the new one is shown");
    assert!(connect(&server, &trusted, &[]).await.is_err());
    // Who was connected stays so.
    kept.write_all(get).await.unwrap();
    let mut more = Vec::new();
    while !more.windows(12).any(|twelve| twelve == b"HTTP/1.1 200") {
        assert_ne!(tokio::time::timeout(DEADLINE, kept.read_buf(&mut more)).await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn what_is_not_tls_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path(), "server");
    let limits = Limits { head_timeout: Duration::from_millis(300), ..Limits::new(10) };
    let tls = appliance::tls::load(&files, ALPN).unwrap();
    let server = Server::with(limits, Some(tls)).await;
    for bytes in [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), b"", b"\x16\x03\x01", &[0xff; 4096]] {
        let mut stream = server.connect().await;
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("it is closed");
        assert!(!answer.starts_with(b"HTTP"));
    }
    assert_eq!(metric(&server.registry, "rungd_http_tls_failures_total"), 4.0);
    // Nor may one be silent after its handshake, or in the middle of what HTTP/2 begins with.
    for bytes in [b"".as_slice(), b"PRI * HTTP"] {
        let mut stream = connect(&server, &files, &[]).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("it is closed");
    }
}

#[tokio::test]
async fn faulty_certificates_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path(), "server");
    let missing = TlsFiles { certificate: folder.path().join("none"), ..files.clone() };
    assert!(matches!(Certificate::open(&missing), Err(TlsError::Certificate { .. })));
    let empty = TlsFiles { certificate: files.key.clone(), ..files.clone() };
    assert!(matches!(Certificate::open(&empty), Err(TlsError::NoCertificate { .. })));
    let no_key = TlsFiles { key: files.certificate.clone(), ..files.clone() };
    let error = Certificate::open(&no_key).unwrap_err();
    assert!(matches!(error, TlsError::Key { .. }) && error.to_string().contains("server.crt"), "{error}");
}
