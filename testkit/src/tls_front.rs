//! TLS before a server that does not speak it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{WantsServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::{ConfigBuilder, RootCertStore, ServerConfig, crypto};

use crate::certificates::{Certificates, Identity};
use crate::net::{Gate, Place};
use crate::proxy::{address, anywhere};

/// Speaks TLS in front of a server that does not.
pub struct TlsFront {
    gate: Gate,
    /// Those that it made itself, and the folder that holds them.
    own: Option<(Certificates, TempDir)>,
}

impl TlsFront {
    /// Listens on a free port of 127.0.0.1, before the server at that unix socket; it has certificates of
    /// its own, and asks every client for one of them.
    ///
    /// # Panics
    /// When its certificates cannot be made.
    pub async fn unix(upstream: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = Certificates::make(folder.path());
        let config = with_identity(clients_of(&certificates), &certificates.server);
        Self { gate: gate(Place::Unix(upstream.to_owned()), config).await, own: Some((certificates, folder)) }
    }

    /// Listens on a free port of 127.0.0.1, before the server there, with this certificate, for any
    /// client; it speaks this protocol (`h2`, `http/1.1`) with those that ask for one.
    ///
    /// # Panics
    /// When the certificate cannot be read.
    pub async fn tcp(upstream: SocketAddr, identity: &Identity, protocol: &str) -> Self {
        let mut config = with_identity(versions().with_no_client_auth(), identity);
        config.alpn_protocols = vec![protocol.into()];
        Self { gate: gate(Place::Tcp(upstream), config).await, own: None }
    }

    /// The address that it listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        address(&self.gate)
    }

    /// Its authority, and a certificate for a client.
    ///
    /// # Panics
    /// When it was given its certificate.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.own.as_ref().expect("certificates of its own").0
    }
}

async fn gate(upstream: Place, config: ServerConfig) -> Gate {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Gate::open(anywhere(), move |stream| {
        let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
        async move {
            if let (Ok(mut inner), Ok(mut outer)) = (acceptor.accept(stream).await, upstream.connect().await) {
                let _ = copy_bidirectional(&mut inner, &mut outer).await;
            }
        }
    })
    .await
}

fn versions() -> ConfigBuilder<ServerConfig, tokio_rustls::rustls::WantsVerifier> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions of TLS")
}

fn clients_of(certificates: &Certificates) -> ConfigBuilder<ServerConfig, WantsServerCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificates.ca).expect("an authority")).expect("an authority");
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    versions().with_client_cert_verifier(verifier.build().expect("an authority"))
}

fn with_identity(config: ConfigBuilder<ServerConfig, WantsServerCert>, identity: &Identity) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_file(&identity.certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
    config.with_single_cert(chain, key).expect("a certificate with its key")
}
