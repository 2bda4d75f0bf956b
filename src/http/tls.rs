//! TLS: the trusted authorities, and our own certificate.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::Fault;

/// The TLS settings for https URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities to trust, instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of our certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Accept any server certificate.
    pub skip_verify: bool,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A PEM file cannot be used.
    #[error("{what} cannot be read from {path}: {reason}")]
    Pem {
        /// What the file should hold.
        what: Pem,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The TLS settings do not match.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// What a PEM file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pem {
    /// The authorities to trust.
    Authorities,
    /// Our own certificate.
    Certificate,
    /// Its key.
    Key,
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authorities => "the authorities to trust",
            Self::Certificate => "our certificate",
            Self::Key => "the key of our certificate",
        })
    }
}

/// The TLS configuration, for protocols other than HTTP/1.
///
/// # Errors
/// When a PEM file is missing or invalid, or the certificate does not match the key.
pub fn tls_config(tls: &Tls) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let trusting = if tls.skip_verify {
        versions.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        match &tls.ca {
            Some(path) => versions.with_root_certificates(authorities(path)?),
            None => versions.dangerous().with_custom_certificate_verifier(Arc::new(SystemRoots::new(provider))),
        }
    };
    Ok(match &tls.identity {
        None => trusting.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(Pem::Certificate, certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(Pem::Key, key, &error))?;
            trusting.with_client_auth_cert(chain, key)?
        }
    })
}

/// Reads the authorities in a file.
fn authorities(path: &Path) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(Pem::Authorities, path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// Reads the certificates in a file; never none.
pub(super) fn certificates(what: Pem, path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(what, path, &error))?;
    if found.is_empty() { Err(unusable(what, path, &pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn unusable(what: Pem, path: &Path, error: &pem::Error) -> ClientError {
    let reason = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => match what {
            Pem::Authorities | Pem::Certificate => "it holds no certificate".to_owned(),
            Pem::Key => "it holds no private key".to_owned(),
        },
        error => error.to_string(),
    };
    ClientError::Pem { what, path: path.to_owned(), reason }
}

/// How long a probe of a server's TLS may take.
const PROBE: Duration = Duration::from_secs(1);

/// How long a server may take to reject our certificate, which it checks after our side of the handshake is done.
const AFTERTHOUGHT: Duration = Duration::from_millis(300);

/// Whether the server uses TLS; asked after a plain request got no answer. Its certificate does not matter.
pub async fn speaks_tls(host: &str, port: u16) -> bool {
    let any = Tls { skip_verify: true, ..Tls::default() };
    matches!(try_tls(host, port, &any).await, Some(Ok(()) | Err(Fault::Identity)))
}

/// What is wrong with the server's TLS, found with a separate connection without data; `None` if none can be made.
pub async fn try_tls(host: &str, port: u16, tls: &Tls) -> Option<Result<(), Fault>> {
    let config = tls_config(tls).ok()?;
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let handshake = async {
        let stream = TcpStream::connect((host, port)).await.ok()?;
        let mut stream = match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(stream) => stream,
            Err(error) => return Some(Err(Fault::of(&error))),
        };
        match timeout(AFTERTHOUGHT, stream.read(&mut [0])).await {
            Ok(Err(error)) => Some(Err(Fault::of(&error))),
            Ok(Ok(_)) | Err(_) => Some(Ok(())),
        }
    };
    timeout(PROBE, handshake).await.ok().flatten()
}

/// Trusts the system's authorities. They are read when the first server shows a certificate: most engines and
/// registries have none, and reading them takes longer than the rest of the start.
#[derive(Debug)]
struct SystemRoots {
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, rustls::Error>>,
}

impl SystemRoots {
    fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, verifier: OnceLock::new() }
    }

    fn verifier(&self) -> Result<&WebPkiServerVerifier, rustls::Error> {
        let verifier = self.verifier.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|_| rustls::Error::General("the system has no certificates of authorities".to_owned()))
        });
        verifier.as_deref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for SystemRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Trusts any server; only if the user asked for it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

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
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
