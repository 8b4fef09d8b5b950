//! The TLS of a listener: made of files, and made anew when they change.
//!
//! Versions 1.2 and 1.3 by rustls, HTTP/1.1 only (ALPN), no early data: what comes with it could be
//! played again by whoever recorded it. Sessions are resumed by tickets, which cost no memory here,
//! under keys that change every six hours and with every reload.
//!
//! A connection keeps the certificate that it began with. New ones get the new one as soon as it is
//! read; one that is no good is refused, and the old one stays.

mod not_after;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion,
};

use crate::base::clock::since_1970;
use crate::config::{TlsSettings, TlsVersion};
use crate::http::State;
use not_after::not_after_unix_s;

/// The largest file that is read, in bytes. A chain has a few KiB; a wrong path may be a device without
/// an end.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is wrong with the files of a listener's TLS: which, what, and what to do.
#[derive(Debug)]
pub struct TlsError {
    file: PathBuf,
    what: String,
}

impl TlsError {
    fn new(file: &Path, what: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into() }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what)
    }
}

impl std::error::Error for TlsError {}

/// The TLS of one listener as it is now.
pub(super) struct Certificates {
    settings: TlsSettings,
    /// The number of the listener.
    listener: usize,
    current: ArcSwap<Loaded>,
    /// How the files looked when they were read last.
    seen: Mutex<Vec<Option<Looks>>>,
}

/// Made of files.
struct Loaded {
    config: Arc<ServerConfig>,
    not_after_unix_s: i64,
}

/// What changes with a file: also where it is a link that is turned, as secrets that are mounted are.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Looks {
    place: (u64, u64),
    len: u64,
    modified: (i64, i64),
}

impl Certificates {
    /// For the listener of this number.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(super) fn load(settings: &TlsSettings, listener: usize) -> Result<Self, TlsError> {
        let seen = looks(settings);
        let loaded = load(settings)?;
        Ok(Self {
            settings: settings.clone(),
            listener,
            current: ArcSwap::from_pointee(loaded),
            seen: Mutex::new(seen),
        })
    }

    /// What new connections get.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// Sets the metric of how long it holds.
    pub(super) fn show(&self, state: &State) {
        let gauge = &state.tally().certificates_not_after[self.listener];
        gauge.set(self.current.load().not_after_unix_s);
    }

    /// Reads the files again if they have changed, or in any case.
    fn reload(&self, state: &State, in_any_case: bool) {
        let mut seen = self.seen.lock();
        // Before reading: a change that comes while the files are read is seen the next time.
        let now = looks(&self.settings);
        if !in_any_case && *seen == now {
            return;
        }
        *seen = now;
        let listener = self.listener;
        let [taken, failed] = &state.tally().tls_reloads;
        match load(&self.settings) {
            Ok(loaded) => {
                self.current.store(Arc::new(loaded));
                self.show(state);
                taken.add(1);
                tracing::info!(listener, "the certificate was read again");
            }
            Err(error) => {
                failed.add(1);
                tracing::error!(
                    listener,
                    "the new certificate is no good, the old one stays: {error}"
                );
            }
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Looks after the files for as long as it is polled: every `interval`, and when `asked` says so.
pub(super) async fn keep_fresh(
    all: Vec<Arc<Certificates>>,
    state: Arc<State>,
    interval: Duration,
    asked: Arc<Notify>,
) {
    loop {
        let is_asked = tokio::select! {
            () = asked.notified() => true,
            () = tokio::time::sleep(interval), if !all.is_empty() => false,
        };
        for certificates in &all {
            let (certificates, state) = (certificates.clone(), state.clone());
            // Files may be on a disk that does not answer.
            let reload = move || certificates.reload(&state, is_asked);
            let _ = tokio::task::spawn_blocking(reload).await;
        }
    }
}

fn looks(settings: &TlsSettings) -> Vec<Option<Looks>> {
    let look = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        let (place, modified) = ((found.dev(), found.ino()), (found.mtime(), found.mtime_nsec()));
        Some(Looks { place, len: found.len(), modified })
    };
    let TlsSettings { certificate_file, key_file, client_ca_file, .. } = settings;
    [Some(certificate_file), Some(key_file), client_ca_file.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| look(path))
        .collect()
}

fn load(settings: &TlsSettings) -> Result<Loaded, TlsError> {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    let TlsSettings { certificate_file, key_file, .. } = settings;
    let provider = Arc::new(ring::default_provider());
    let (key, not_after_unix_s) = certified_key(certificate_file, key_file, &provider)?;
    let versions = match settings.version_min {
        TlsVersion::V12 => &BOTH[..],
        TlsVersion::V13 => &BOTH[..1],
    };
    let cannot = |error: Error| TlsError::new(certificate_file, format!("cannot be used: {error}"));
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(cannot)?;
    let builder = match &settings.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(file)?), provider)
                    .build()
                    .map_err(|error| TlsError::new(file, format!("cannot be used: {error}")))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new().map_err(cannot)?;
    config.send_tls13_tickets = 1;
    Ok(Loaded { config: Arc::new(config), not_after_unix_s })
}

/// The certificate with its key, and until when it holds.
fn certified_key(
    certificate_file: &Path,
    key_file: &Path,
    provider: &CryptoProvider,
) -> Result<(CertifiedKey, i64), TlsError> {
    let chain = certificates(certificate_file)?;
    let not_after = not_after_unix_s(&chain[0]).ok_or_else(|| {
        TlsError::new(certificate_file, "the first certificate in it is malformed; replace it")
    })?;
    let now = since_1970(SystemTime::now()).as_secs();
    if not_after < i64::try_from(now).unwrap_or(i64::MAX) {
        let what = "the certificate is expired: no client would take it; renew it";
        return Err(TlsError::new(certificate_file, what));
    }
    let key = private_key(key_file)?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::new(
            key_file,
            format!(
                "the key does not belong to the first certificate in {}; put both from one pair",
                certificate_file.display()
            ),
        ),
        Error::InvalidCertificate(_) => {
            TlsError::new(certificate_file, format!("cannot be used: {error}; replace it"))
        }
        // rustls says what kind of key it is, and nothing of what is in it.
        error => TlsError::new(
            key_file,
            format!("the key cannot be used: {error}; use RSA, ECDSA P-256 or P-384, or Ed25519"),
        ),
    })?;
    Ok((certified, not_after))
}

fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| {
            TlsError::new(
                file,
                format!("a certificate in it is no authority's: {error}; remove it"),
            )
        })?;
    }
    Ok(roots)
}

/// All certificates of a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let certificates: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(TlsError::new(
            file,
            "there is no certificate in it; it needs a block BEGIN CERTIFICATE (PEM)",
        )),
        Err(_) => Err(TlsError::new(file, "a certificate in it is not PEM; write the file anew")),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(file)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let is_encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
        let what = match error {
            _ if is_encrypted => {
                "the key is encrypted; write it without a passphrase: openssl pkey -in FILE -out NEW"
            }
            pem::Error::NoItemsFound => {
                "there is no private key in it; it needs a block BEGIN PRIVATE KEY (PEM)"
            }
            // The error would show a part of the file.
            _ => "the key in it is not PEM; write the file anew",
        };
        TlsError::new(file, what)
    })
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > FILE_BYTES_MAX {
            true => Err(io::Error::other("it is larger than 1 MiB")),
            false => Ok(bytes),
        }
    };
    read().map_err(|error| {
        TlsError::new(file, format!("cannot be read: {error}; correct the path or the file"))
    })
}

#[cfg(test)]
mod tests;
