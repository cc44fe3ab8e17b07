//! Certificates, for ingest and for HTTP alike: loaded from PEM, checked to fit their key, and replaced without
//! dropping a connection.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::TlsFiles;

/// What may go wrong with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The chain's file cannot be read, or is not PEM.
    #[error("certificate {} cannot be read", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The chain's file holds no certificate.
    #[error("certificate {} holds no CERTIFICATE section", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key's file cannot be read, or is not PEM.
    #[error("private key {} cannot be read", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The key is of a kind that is not supported, or does not belong to the certificate.
    #[error("private key {} does not fit certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The library refuses its own defaults; not reachable with the provider that is built in.
    #[error("TLS versions are not supported by the cryptography provider")]
    Versions {
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate and key that every new connection gets, and that [`Self::reload`] replaces. Connections that stand
/// keep what they began with.
pub struct Certificate {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads `files`.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or the key is not the certificate's.
    pub fn open(files: &TlsFiles) -> Result<Arc<Self>, TlsError> {
        let current = ArcSwap::from_pointee(read(files)?);
        Ok(Arc::new(Self { files: files.clone(), current }))
    }

    /// Reads the files again.
    ///
    /// # Errors
    ///
    /// As [`Self::open`]; what was in force then stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    /// The chain's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.files.certificate
    }

    /// A server of TLS 1.2 and 1.3 that shows this certificate and offers `alpn`, best first.
    ///
    /// # Errors
    ///
    /// Not with the cryptography provider that is built in.
    pub fn server_config(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Versions { source })?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

/// [`Certificate::open`] and [`Certificate::server_config`] in one, where nobody means to reload.
///
/// # Errors
///
/// As [`Certificate::open`].
pub fn load(files: &TlsFiles, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    Certificate::open(files)?.server_config(alpn)
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let certificate_error = |source| TlsError::Certificate { path: files.certificate.clone(), source };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .map_err(certificate_error)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(certificate_error)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: files.certificate.clone() });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|source| TlsError::Key { path: files.key.clone(), source })?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| TlsError::Mismatch {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })
}
