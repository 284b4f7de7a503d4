//! The stream to a server: TCP, or TLS on TCP with the feature `tls`.

use std::error::Error;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "tls")]
use crate::tls::TlsStream;

/// The certificates that the client trusts.
#[derive(clap::Args)]
pub(crate) struct Trust {
    /// For wss: trust the certificate authorities in this PEM file [default: those of the system]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// For wss: accept any certificate of the server
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// A stream that two threads share: one reads, and another one writes.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Connects to the server of this URL.
    pub(crate) fn connect(url: &str, patience: Duration, trust: &Trust) -> Result<Self, Box<dyn Error>> {
        let parts = url.split_once("://").filter(|(scheme, _)| ["ws", "wss"].contains(scheme));
        let (scheme, rest) = parts.ok_or_else(|| {
            format!("the URL `{url}` does not begin with ws:// or wss://, as ws://127.0.0.1:12345/echo does")
        })?;
        let is_secure = scheme == "wss";
        if is_secure && cfg!(not(feature = "tls")) {
            return Err("this client was built without TLS: add `--features tls` to the cargo command".into());
        }
        if !is_secure && (trust.insecure || trust.ca.is_some()) {
            return Err(format!("--ca and --insecure are for wss://, and the URL is `{url}`").into());
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.starts_with(':') {
            return Err(format!("the URL `{url}` has no host, as ws://127.0.0.1:12345/echo has").into());
        }
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let address = match port {
            Some(_) => authority.to_owned(),
            None => format!("{authority}:{}", if is_secure { 443 } else { 80 }),
        };
        let tcp = connect(&address, patience)?;
        #[cfg(feature = "tls")]
        if is_secure {
            let host = port.map_or(authority, |(host, _)| host);
            return Ok(Self::Tls(Box::new(TlsStream::shake_hands(tcp, host, patience, trust)?)));
        }
        Ok(Self::Tcp(tcp))
    }

    /// Sets the longest wait of a read.
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.set_read_timeout(timeout),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.set_read_timeout(timeout),
        }
    }

    /// Ends one side or both.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.shutdown(how),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.shutdown(how),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(tcp) => (&mut &*tcp).read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(tcp) => (&mut &*tcp).write_vectored(slices),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a write leaves nothing behind
    }
}

/// Connects to the first address that accepts.
fn connect(address: &str, patience: Duration) -> Result<TcpStream, Box<dyn Error>> {
    let mut result = Err(ErrorKind::NotFound.into());
    for each in
        address.to_socket_addrs().map_err(|error| format!("cannot find the address of {address}: {error}"))?
    {
        result = TcpStream::connect_timeout(&each, patience);
        if result.is_ok() {
            break;
        }
    }
    let tcp = result.map_err(|error| {
        let is_refused = error.kind() == ErrorKind::ConnectionRefused;
        let remedy = if is_refused { "; no server listens there: start it first" } else { "" };
        format!("cannot connect to {address}: {error}{remedy}")
    })?;
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(patience))?;
    Ok(tcp)
}
