//! Certificates of servers and clients, their change while the server runs, and sessions that are
//! resumed.

use std::io::{self, Write};
use std::sync::{Arc, mpsc};

use clws_server::{Accept, Opening, Reject, Resource, Tls, TlsInfo, TlsVersion, Version};
use rustls::{ClientConfig, HandshakeKind};

use crate::common::tls::{Identity, TlsStream, connect, open, start};
use crate::common::{Probe, Running, config};

/// Reports what a resource sees of TLS.
struct Sees(mpsc::Sender<TlsInfo>);

impl Resource for Sees {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let _ = self.0.send(opening.tls().unwrap().clone());
        Ok(Accept::new())
    }
}

fn serve(tls: &Tls) -> (Running, mpsc::Receiver<TlsInfo>) {
    let (seen, sees) = mpsc::channel();
    (start(config(), tls, Arc::new(Sees(seen))), sees)
}

/// Completes the handshake, and reads the ticket.
fn handshake(server: &Running, client: &Arc<ClientConfig>, name: &str) -> io::Result<TlsStream> {
    let mut stream = connect(server, Arc::clone(client), name);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    io::Read::read_to_end(&mut stream, &mut Vec::new())?;
    Ok(stream)
}

fn kind(server: &Running, client: &Arc<ClientConfig>) -> Option<HandshakeKind> {
    handshake(server, client, "localhost").unwrap().conn.handshake_kind()
}

fn files(name: &str, identity: &Identity) -> (std::path::PathBuf, std::path::PathBuf) {
    let directory = std::env::temp_dir();
    let path = |what: &str| directory.join(format!("clws-tls-{name}-{what}-{}.pem", std::process::id()));
    let (chain, key) = (path("chain"), path("key"));
    std::fs::write(&chain, &identity.chain_pem).unwrap();
    std::fs::write(&key, &identity.key_pem).unwrap();
    (chain, key)
}

#[test]
fn the_server_name_chooses_the_certificate() {
    let [first, second, wild] = ["first.example", "second.example", "*.wild.example"].map(Identity::new);
    let builder = [&first, &second, &wild].into_iter().fold(Tls::builder(), |builder, identity| {
        builder.certificate(&identity.chain_pem, &identity.key_pem)
    });
    let (server, _) = serve(&builder.build().unwrap());
    for (identity, name) in
        [(&first, "first.example"), (&second, "SECOND.example"), (&wild, "a.wild.example")]
    {
        handshake(&server, &Arc::new(identity.client()), name).unwrap();
    }
    // The client refuses the first certificate, because it has another name.
    for name in ["other.example", "a.b.wild.example", "wild.example"] {
        for identity in [&first, &wild] {
            let error = handshake(&server, &Arc::new(identity.client()), name).map(drop).unwrap_err();
            assert!(error.to_string().contains("certificate"), "{name}: {error}");
        }
    }
}

#[test]
fn a_reload_changes_the_certificate_and_keeps_clients_and_tickets() {
    let (old, new) = (Identity::new("localhost"), Identity::new("localhost"));
    let (chain, key) = files("reload", &old);
    let tls = Tls::from_files(&chain, &key).unwrap();
    let (probe, _) = Probe::new();
    let server = start(config(), &tls, probe);
    let mut peer = open(&server, old.client(), Version::Rfc6455);
    let trusts_old = Arc::new(old.client());
    assert_eq!(kind(&server, &trusts_old), Some(HandshakeKind::Full));

    std::fs::write(&chain, &new.chain_pem).unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("chain") && error.to_lowercase().contains("key"), "{error}");
    let other = Arc::new(old.client());
    assert_eq!(kind(&server, &other), Some(HandshakeKind::Full), "a faulty reload changes nothing");

    std::fs::write(&key, &new.key_pem).unwrap();
    tls.reload().unwrap();
    peer.assert_echo("the client stays");
    assert_eq!(kind(&server, &trusts_old), Some(HandshakeKind::Resumed), "a ticket from before is valid");
    assert_eq!(kind(&server, &Arc::new(new.client())), Some(HandshakeKind::Full));
    assert!(handshake(&server, &Arc::new(old.client()), "localhost").is_err());
    std::fs::remove_file(chain).unwrap();
    std::fs::remove_file(key).unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("clws-tls-reload"));
}

#[test]
fn another_handle_replaces_the_certificate() {
    let (old, new) = (Identity::new("localhost"), Identity::new("localhost"));
    let tls = old.tls();
    let (server, _) = serve(&tls);
    let trusts_old = Arc::new(old.client());
    assert_eq!(kind(&server, &trusts_old), Some(HandshakeKind::Full));
    tls.replace(&new.tls());
    assert_eq!(kind(&server, &trusts_old), Some(HandshakeKind::Resumed));
    assert_eq!(kind(&server, &Arc::new(new.client())), Some(HandshakeKind::Full));
    assert!(tls.reload().unwrap_err().to_string().contains("files"));
}

#[test]
fn sessions_are_resumed_in_both_versions_with_one_ticket() {
    let identity = Identity::new("localhost");
    let (server, _) = serve(&identity.tls());
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let client = Arc::new(identity.client_builder(versions).with_no_client_auth());
        let mut first = handshake(&server, &client, "localhost").unwrap();
        assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
        let tickets = first.conn.tls13_tickets_received();
        assert!(tickets <= 1, "{tickets}");
        assert_eq!(kind(&server, &client), Some(HandshakeKind::Resumed));
        first.sock.flush().unwrap();
    }
    let tls = Tls::builder().certificate(&identity.chain_pem, &identity.key_pem).resumption(false);
    let (server, _) = serve(&tls.build().unwrap());
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let client = Arc::new(identity.client_builder(versions).with_no_client_auth());
        for _ in 0..2 {
            assert_eq!(kind(&server, &client), Some(HandshakeKind::Full));
        }
    }
}

#[test]
fn an_old_version_can_be_refused() {
    let identity = Identity::new("localhost");
    let tls = Tls::builder().certificate(&identity.chain_pem, &identity.key_pem);
    let (server, _) = serve(&tls.min_version(TlsVersion::Tls13).build().unwrap());
    let old = identity.client_builder(&[&rustls::version::TLS12]).with_no_client_auth();
    let error = handshake(&server, &Arc::new(old), "localhost").map(drop).unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    handshake(&server, &Arc::new(identity.client()), "localhost").unwrap();
}

#[test]
fn client_certificates_are_verified_and_visible() {
    let (identity, device, stranger) =
        (Identity::new("localhost"), Identity::new("device"), Identity::new("stranger"));
    let builder = Tls::builder()
        .certificate(&identity.chain_pem, &identity.key_pem)
        .client_certificates(&device.chain_pem);
    let with = |who: &Identity| {
        let builder = identity.client_builder(rustls::DEFAULT_VERSIONS);
        Arc::new(builder.with_client_auth_cert(vec![who.certificate.clone()], who.key_der()).unwrap())
    };
    let optional = builder.clone().build().unwrap();
    let (server, sees) = serve(&optional);
    let trusted = with(&device);
    for resumed in [false, true] {
        open(&server, Arc::clone(&trusted), Version::Rfc6455);
        let info = sees.recv().unwrap();
        assert_eq!(info.resumed(), resumed, "the certificate of the first session stays");
        assert_eq!(info.client_certificates().collect::<Vec<_>>(), [device.certificate.as_ref()]);
    }
    open(&server, identity.client(), Version::Rfc6455);
    assert_eq!(sees.recv().unwrap().client_certificates().count(), 0);
    assert!(handshake(&server, &with(&stranger), "localhost").is_err());

    // A session without a certificate must not be resumed where one is required.
    let anonymous = Arc::new(identity.client());
    assert_eq!(kind(&server, &anonymous), Some(HandshakeKind::Full));
    assert_eq!(kind(&server, &anonymous), Some(HandshakeKind::Resumed));
    optional.replace(&builder.clone().require_client_certificates().build().unwrap());
    let error = handshake(&server, &anonymous, "localhost").map(drop).unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    open(&server, trusted, Version::Rfc6455);

    let no_roots = Tls::builder().certificate(&identity.chain_pem, &identity.key_pem);
    let error = no_roots.require_client_certificates().build().unwrap_err();
    assert!(error.to_string().contains("client_certificates"), "{error}");
}

#[test]
fn a_config_of_rustls_is_used() {
    let identity = Identity::new("localhost");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let config = builder.with_single_cert(vec![identity.certificate.clone()], identity.key_der()).unwrap();
    let (server, sees) = serve(&Tls::from_rustls(Arc::new(config)));
    open(&server, identity.client(), Version::Rfc6455);
    assert_eq!(sees.recv().unwrap().server_name(), Some("localhost"));
}

/// A resolver of the application that panics costs only the connection.
#[test]
fn a_panic_in_a_config_of_rustls_costs_one_connection() {
    #[derive(Debug)]
    struct Panics(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Panics {
        fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
            assert_ne!(hello.server_name(), Some("panic.example"), "as this test wants");
            Some(Arc::clone(&self.0))
        }
    }
    let identity = Identity::new("localhost");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = rustls::sign::CertifiedKey::from_der(
        vec![identity.certificate.clone()],
        identity.key_der(),
        &provider,
    );
    let builder = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let tls =
        Tls::from_rustls(Arc::new(builder.with_cert_resolver(Arc::new(Panics(Arc::new(key.unwrap()))))));
    let (server, _) = serve(&tls);
    for _ in 0..2 {
        assert!(handshake(&server, &Arc::new(identity.client()), "panic.example").is_err());
        handshake(&server, &Arc::new(identity.client()), "localhost").unwrap();
    }
}

#[test]
fn faulty_certificates_are_explained() {
    let (identity, other) = (Identity::new("localhost"), Identity::new("localhost"));
    for (chain, key, expected) in [
        ("", identity.key_pem.as_str(), "certificate 1: it has no PEM section `CERTIFICATE`"),
        (identity.chain_pem.as_str(), "", "key 1: it has no PEM section `PRIVATE KEY`"),
        (identity.chain_pem.as_str(), other.key_pem.as_str(), "certificate 1: "),
        (
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            identity.key_pem.as_str(),
            "certificate 1: ",
        ),
    ] {
        let error = Tls::from_pem(chain, key).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = Tls::from_files("/nowhere/chain.pem", "/nowhere/key.pem").unwrap_err().to_string();
    assert!(error.starts_with("certificate 1, file `/nowhere/chain.pem`: "), "{error}");
    assert!(Tls::builder().build().unwrap_err().to_string().contains("at least one certificate"));
}
