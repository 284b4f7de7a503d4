//! The arguments of TLS.

use clap::{Args, ValueEnum};

/// TLS between the load generator and the server.
#[derive(Debug, Clone, Args)]
pub struct TlsArgs {
    /// Connect with TLS, with the key exchange X25519; the certificate of the server is not verified
    #[arg(long)]
    pub tls: bool,
    /// The TLS version
    #[arg(long, value_name = "VERSION", default_value = "1.3", requires = "tls")]
    pub tls_version: TlsVersion,
    /// The cipher
    #[arg(long, value_name = "NAME", default_value = "aes-128-gcm", requires = "tls")]
    pub cipher: Cipher,
    /// Fill the TLS records with messages; without it, each message has records of its own, as from
    /// clients that write each message separately
    #[arg(long, requires = "tls")]
    pub shared_records: bool,
}

/// The TLS versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[value(name = "1.3")]
    Tls13,
}

/// The ciphers of both TLS versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cipher {
    /// AES-128-GCM.
    #[value(name = "aes-128-gcm")]
    Aes128,
    /// AES-256-GCM.
    #[value(name = "aes-256-gcm")]
    Aes256,
    /// ChaCha20-Poly1305.
    #[value(name = "chacha20-poly1305")]
    ChaCha20,
}
