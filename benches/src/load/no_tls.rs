//! `load` without the feature `tls`: there are no sessions.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::TcpStream;

use super::error::Error;
use super::link::Received;
use super::tls_args::TlsArgs;

/// Never made.
pub(super) struct Connector(Infallible);

impl Connector {
    /// Fails.
    pub(super) fn new(_: &TlsArgs, _: usize) -> Result<Self, Error> {
        Err(Error::Usage("--tls needs the feature `tls`: add `--features tls` to the cargo command".into()))
    }

    /// Never called.
    pub(super) fn session(&self, _: usize) -> Result<Session, Error> {
        match self.0 {}
    }
}

/// Never made.
#[derive(Debug)]
pub(super) struct Session(Infallible);

impl Session {
    /// Never called.
    pub(super) fn read(&mut self, _: &TcpStream, _: &mut [u8]) -> io::Result<Received> {
        match self.0 {}
    }

    /// Never called.
    pub(super) fn write(&mut self, _: &TcpStream, _: &[IoSlice<'_>], _: usize) -> io::Result<usize> {
        match self.0 {}
    }

    /// Never called.
    pub(super) fn flush(&mut self, _: &TcpStream) -> io::Result<()> {
        match self.0 {}
    }

    /// Never called.
    pub(super) fn end(&mut self, _: &TcpStream) {
        match self.0 {}
    }

    /// Never called.
    pub(super) fn wants_write(&self) -> bool {
        match self.0 {}
    }

    /// Never called.
    pub(super) fn separates_messages(&self) -> bool {
        match self.0 {}
    }

    /// Never called.
    pub(super) fn is_resumed(&self) -> bool {
        match self.0 {}
    }

    /// Never called.
    pub(super) fn describe(&self) -> String {
        match self.0 {}
    }
}
