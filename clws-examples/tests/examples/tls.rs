//! `echo` and `client` with TLS: certificates from files, self-signed ones, and their replacement.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::common::{Program, connected, once, serve};

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

/// A directory with the files of certificates. It is removed with its files.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("clws-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Makes an authority, which is in the file `NAME.pem`.
    fn authority(&self, name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(self.file(&format!("{name}.pem")), authority.pem()).unwrap();
        authority
    }

    /// Makes a certificate for loopback. Its files are `cert.pem` and `key.pem`.
    fn certificate(&self, authority: &CertifiedIssuer<'static, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        fs::write(self.file("cert.pem"), certificate.pem()).unwrap();
        fs::write(self.file("key.pem"), key.serialize_pem()).unwrap();
    }

    /// Starts `echo` with these files.
    fn serve(&self) -> (Program, String) {
        serve(ECHO, &["--tls-cert", &self.file("cert.pem"), "--tls-key", &self.file("key.pem")])
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_self_signed_certificate_serves_every_version() {
    let (server, url) = serve(ECHO, &["--tls-self-signed", "--hixie", "--hixie-75"]);
    assert!(url.starts_with("wss://127.0.0.1:"), "{url}");
    assert_eq!(server.until("open "), format!("open {}/ in a browser", url.replace("wss://", "https://")));
    for version in ["75", "0", "7", "8", "13"] {
        let mut client = connected(&format!("{url}/echo"), &["--insecure", "--version", version]);
        client.say("over TLS");
        assert_eq!([client.line(), client.line()], ["> text 8 over TLS", "< text 8 over TLS"], "{version}");
        let (status, lines) = client.finish();
        assert!(status.success(), "{version}: {lines:#?}");
    }
    // Several records in each direction. Linux limits an argument to 128 KiB.
    let long = "long ".repeat(20_000);
    assert_eq!(once(&url, &long, &["--insecure"]), (true, long));
}

#[test]
fn the_client_verifies_certificates() {
    let directory = Directory::new("verify");
    directory.certificate(&directory.authority("ca"));
    directory.authority("other");
    let (_server, url) = directory.serve();
    assert_eq!(once(&url, "hello", &["--ca", &directory.file("ca.pem")]), (true, "hello".to_owned()));
    let localhost = url.replace("127.0.0.1", "localhost");
    assert_eq!(once(&localhost, "hello", &["--ca", &directory.file("ca.pem")]), (true, "hello".to_owned()));
    for args in [&[][..], &["--ca", &directory.file("other.pem")]] {
        let (good, said) = once(&url, "hello", args);
        assert!(!good && said.contains("UnknownIssuer") && said.contains("--ca FILE"), "{said}");
    }
    for (file, error) in [("missing.pem", "missing.pem: "), ("key.pem", "the file has none in PEM")] {
        let (good, said) = once(&url, "hello", &["--ca", &directory.file(file)]);
        assert!(!good && said.contains(error), "{said}");
    }
}

#[test]
fn a_wrong_scheme_gets_a_clear_error() {
    let (_secure, url) = serve(ECHO, &["--tls-self-signed"]);
    let (good, said) = once(&url.replace("wss://", "ws://"), "hello", &[]);
    assert!(!good && said.contains("400"), "{said}");
    let (_plain, url) = serve(ECHO, &[]);
    let (good, said) = once(&url.replace("ws://", "wss://"), "hello", &["--insecure"]);
    assert!(!good && said.contains("a server without TLS has a URL with ws://"), "{said}");
    let (good, said) = once(&url, "hello", &["--insecure"]);
    assert!(!good && said.contains("are for wss://"), "{said}");
}

#[test]
fn wrong_files_are_errors_at_the_start() {
    let directory = Directory::new("files");
    let authority = directory.authority("ca");
    directory.certificate(&authority);
    fs::rename(directory.file("key.pem"), directory.file("other.key")).unwrap();
    directory.certificate(&authority);
    let (cert, missing) = (directory.file("cert.pem"), directory.file("missing.pem"));
    for (flags, error) in [
        (&["--tls-cert", &cert, "--tls-key", &missing][..], "missing.pem"),
        (&["--tls-cert", &cert, "--tls-key", &directory.file("other.key")], "cert.pem"),
        (&["--tls-cert", &cert], "--tls-key"),
        (&["--tls-cert", &cert, "--tls-key", &cert, "--tls-self-signed"], "--tls-self-signed"),
    ] {
        let (status, lines) = Program::start(ECHO, &[&["--listen", "127.0.0.1:0"], flags].concat()).finish();
        assert!(!status.success() && lines.iter().any(|line| line.contains(error)), "{lines:#?}");
    }
}

#[test]
#[cfg(unix)]
fn a_certificate_is_replaced_while_clients_stay() {
    use rustix::process::Signal;

    let directory = Directory::new("replace");
    directory.certificate(&directory.authority("first"));
    let (server, url) = directory.serve();
    let [first, second] = ["first.pem", "second.pem"].map(|name| directory.file(name));
    let mut early = connected(&url, &["--ca", &first]);
    let mut echoes = |text: &str| {
        early.say(text);
        early.until(&format!("< text {} {text}", text.len()));
    };

    fs::write(directory.file("cert.pem"), "no certificate").unwrap();
    server.signal(Signal::HUP);
    server.until("the earlier certificate stays");
    assert_eq!(once(&url, "hello", &["--ca", &first]), (true, "hello".to_owned()));

    directory.certificate(&directory.authority("second"));
    server.signal(Signal::HUP);
    server.until("the certificate was read again");
    assert_eq!(once(&url, "hello", &["--ca", &second]), (true, "hello".to_owned()));
    assert!(!once(&url, "hello", &["--ca", &first]).0);
    echoes("still here");
}
