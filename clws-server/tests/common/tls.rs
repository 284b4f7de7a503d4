//! Certificates, and a blocking client with TLS.

use std::net::TcpStream;
use std::sync::Arc;

use clws_handshake::client::ClientRequest;
use clws_server::{Config, Resource, Server, Tls, Version};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{Peer, Stream};
use super::server::Running;

/// A certificate that signs itself, and its key.
#[derive(Clone)]
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: Vec<u8>,
    pub chain_pem: String,
    pub key_pem: String,
}

impl Identity {
    pub fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
            chain_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        }
    }

    pub fn tls(&self) -> Tls {
        Tls::from_pem(&self.chain_pem, &self.key_pem).unwrap()
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// A client that trusts only this certificate.
    pub fn client(&self) -> ClientConfig {
        self.client_builder(rustls::DEFAULT_VERSIONS).with_no_client_auth()
    }

    pub fn client_builder(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots)
    }
}

pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

impl Stream for TlsStream {
    fn end(&mut self) {
        self.conn.send_close_notify();
        let _ = self.conn.complete_io(&mut self.sock);
        Stream::end(&mut self.sock);
    }
}

/// A client's session over a new connection. Nothing is written yet.
pub fn connect(server: &Running, config: impl Into<Arc<ClientConfig>>, name: &str) -> TlsStream {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(config.into(), name).unwrap(), server.tcp())
}

/// A client of the resource at `/`.
pub fn open(server: &Running, config: impl Into<Arc<ClientConfig>>, version: Version) -> Peer {
    let stream = connect(server, config, "localhost");
    let request = ClientRequest::new(version, "wss://localhost/").origin("http://here.example");
    Peer::open(stream, version, request).unwrap_or_else(|status| panic!("refused with {status}"))
}

/// Serves `resource` at `/` with TLS, on a free loopback port.
pub fn start(config: Config, tls: &Tls, resource: Arc<dyn Resource>) -> Running {
    let config = config.listen("127.0.0.1:0");
    let server = Server::builder(config).tls(tls.clone()).bind().unwrap();
    server.resources().register_shared("/", clws_server::Origins::any(), resource).unwrap();
    Running::run(server)
}
