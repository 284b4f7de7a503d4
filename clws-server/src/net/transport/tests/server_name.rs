//! The server name of a client, when code of the application panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{client, pair_with};
use crate::net::tls::handle::Tls;

/// The name that a client asked for is never taken for that of another client.
#[test]
fn a_resolver_that_panics_leaves_no_server_name() {
    #[derive(Debug)]
    struct Panics(AtomicBool, Arc<CertifiedKey>);
    impl ResolvesServerCert for Panics {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            assert!(self.0.swap(true, Ordering::Relaxed), "as this test wants");
            Some(Arc::clone(&self.1))
        }
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let key = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let resolver = Arc::new(Panics(AtomicBool::new(false), Arc::new(key)));
    let tls = Tls::from_rustls(Arc::new(builder.with_cert_resolver(resolver)));

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut config = client(roots, rustls::ALL_VERSIONS);
    let mut first = pair_with(&tls, config.clone());
    let hello = first.client_writes();
    assert!(catch_unwind(AssertUnwindSafe(|| first.server_reads(&hello))).is_err());
    config.enable_sni = false;
    let mut second = pair_with(&tls, config);
    second.piece = 100;
    second.exchange();
    assert_eq!(second.info.get().unwrap().server_name(), None);
}
