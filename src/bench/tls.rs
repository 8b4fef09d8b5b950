//! Whom the generator trusts where it speaks TLS, and what it says when a handshake fails.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, RootCertStore,
    SignatureScheme,
};

use super::BenchError;
use super::options::Options;
use crate::fetch::tls;

/// What is kept to resume sessions with: eight tickets of each of so many servers' names. So among
/// many handshakes at once most are whole ones, as with clients that come for the first time.
const RESUMED_TICKETS_MAX: usize = 32;

/// How `wss://` and `https://` are spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Authorities in PEM that are trusted besides those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Whether every certificate is taken. Whoever stands between can be the server then: for
    /// servers under test only.
    pub is_insecure: bool,
}

impl TlsOptions {
    /// # Errors
    /// They contradict each other, or are for nothing.
    fn check(&self, is_spoken: bool) -> Result<(), BenchError> {
        let wrong = |text: &str| Err(BenchError::Options(text.to_owned()));
        match (self.ca_file.is_some(), self.is_insecure) {
            (true, true) => {
                wrong("--tls-insecure looks at no certificate, so --tls-ca is for nothing")
            }
            (true, _) | (_, true) if !is_spoken => wrong(
                "--tls-ca and --tls-insecure are for wss:// and https://, and neither is in a URL",
            ),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// The file of authorities is no good.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, BenchError> {
        let bad = |error: tls::TlsError| BenchError::Options(format!("--tls-ca: {error}"));
        let builder = tls::builder().map_err(bad)?;
        let mut config = if self.is_insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody))
        } else {
            let mut roots = RootCertStore::empty();
            tls::add_machine(&mut roots);
            self.ca_file
                .as_ref()
                .map_or(Ok(()), |path| tls::add_file(&mut roots, path))
                .map_err(bad)?;
            builder.with_root_certificates(roots)
        }
        .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(RESUMED_TICKETS_MAX);
        Ok(Arc::new(config))
    }
}

impl Options {
    /// # Errors
    /// What is said of TLS is for nothing.
    pub(super) fn check_tls(&self) -> Result<(), BenchError> {
        self.tls.check(is_wanted(&self.url) || self.publishes_over_tls())
    }

    /// Whether messages get to the server by TLS.
    pub(crate) fn publishes_over_tls(&self) -> bool {
        is_wanted(self.publish_url.as_ref().unwrap_or(&self.url))
    }
}

/// Whether a URL asks for it.
pub(crate) fn is_wanted(url: &str) -> bool {
    url.starts_with("wss://") || url.starts_with("https://")
}

/// What a server that speaks TLS answers to what is none: an alert (RFC 8446 section 5.1).
pub(crate) fn is_alert(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x15, 0x03])
}

/// What went wrong, and what helps where that is known.
pub(super) fn error_text(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => format!(
            "{error}; if the server is to be trusted, name its authority with --tls-ca; --tls-insecure \
             looks at no certificate"
        ),
        Error::InvalidCertificate(_) => format!("{error}; --tls-insecure looks at no certificate"),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS; write ws:// for wss://, http:// for https://".to_owned()
        }
        other => format!("TLS: {other}"),
    }
}

/// Takes every certificate. That the server has its key is not looked at either: it would prove
/// nothing about a certificate that anybody may have made.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_are_for_nothing_are_refused() {
        let ca = TlsOptions { ca_file: Some("ca.pem".into()), is_insecure: false };
        let any = TlsOptions { ca_file: None, is_insecure: true };
        let both = TlsOptions { is_insecure: true, ..ca.clone() };
        assert!(ca.check(true).is_ok() && any.check(true).is_ok());
        assert!(TlsOptions::default().check(false).is_ok());
        for (options, is_spoken) in [(&ca, false), (&any, false), (&both, true)] {
            assert!(options.check(is_spoken).unwrap_err().to_string().contains("--tls-ca"));
        }
    }

    #[test]
    fn a_file_of_authorities_that_is_none_is_named() {
        let options = TlsOptions { ca_file: Some("/nowhere/ca.pem".into()), is_insecure: false };
        let text = options.client().unwrap_err().to_string();
        assert!(text.contains("--tls-ca") && text.contains("/nowhere/ca.pem"), "{text}");
    }
}
