//! Whom a client trusts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, Error, RootCertStore, WantsVerifier};

/// The configuration of a client that trusts the authorities of this file, or those of the machine.
/// If that has none, nothing is reached by https, and the error of the request says so.
pub(super) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => add_file(&mut roots, path)?,
        None => add_machine(&mut roots),
    }
    Ok(builder()?.with_root_certificates(roots).with_no_client_auth())
}

/// TLS 1.2 and 1.3, and nobody trusted yet.
pub(crate) fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)
}

/// Adds the authorities of a file in PEM, of which it has to have one.
pub(crate) fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let bad = |why: String| TlsError::CaFile { path: path.into(), why };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))?;
    let before = roots.len();
    for certificate in read {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    match roots.len() > before {
        true => Ok(()),
        false => Err(bad("there is no certificate in it".into())),
    }
}

/// Adds the authorities of the machine.
pub(crate) fn add_machine(roots: &mut RootCertStore) {
    // Machines have some that are of no use to anybody; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
}

/// Why there is no client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of authorities is no good.
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The library supports no version of TLS.
    Versions(Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaFile { path, why } => {
                write!(f, "the authorities in {} cannot be used: {why}", path.display())
            }
            Self::Versions(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TlsError {}
