//! The header of the PROXY protocol, at the beginning of a connection of a trusted proxy.

use std::io;

use clws_handshake::{ProxyHeader, Status};

use crate::connection::context::Context;
use crate::driver::shard::flags::Flags;
use crate::driver::shard::slot::ConnectionSlot;
use crate::net::poll::system::KNOWS_HANGUP;
use crate::net::socket::Socket;

/// Reads the header if it has arrived, and no byte after it: a TLS handshake may follow.
///
/// The function peeks at the bytes in the socket's buffer, and reads them when the header is
/// complete. Until then they stay there. The poller reports further bytes as another edge.
#[cold]
pub(super) fn read_proxy_header(slot: &mut ConnectionSlot, context: &Context<'_>) {
    let ConnectionSlot { socket, connection, flags, .. } = slot;
    if !flags.has(Flags::READABLE) {
        return;
    }
    let mut buffer = [0; ProxyHeader::MAX_LEN];
    let received = loop {
        match socket.peek(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 0,
            Err(error) => {
                flags.set(Flags::READABLE, false);
                return connection.read_failed(error, context);
            }
            Ok(0) => {
                flags.set(Flags::READABLE, false);
                return connection.end_of_input(context);
            }
            Ok(count) => break count,
        }
    };
    match ProxyHeader::parse(buffer.get(..received).unwrap_or_default()) {
        // After a hangup, no more bytes come. Other pollers only guess: the deadline ends the connection.
        Ok(Status::Partial) if KNOWS_HANGUP && flags.has(Flags::HANGUP) => {
            flags.set(Flags::READABLE, false);
            connection.end_of_input(context);
        }
        Ok(Status::Partial) => flags.set(Flags::READABLE, false),
        Ok(Status::Complete(header)) => {
            flags.set(Flags::AWAITS_PROXY, false);
            match take(socket, header.len) {
                Ok(()) => connection.proxied(header.source, context),
                Err(error) => connection.read_failed(error, context),
            }
        }
        Err(error) => {
            flags.set(Flags::AWAITS_PROXY, false);
            connection.refuse_proxy_header(error, context);
        }
    }
}

/// Takes `len` bytes that have arrived from a socket.
fn take(socket: &Socket, len: usize) -> io::Result<()> {
    let mut buffer = [0; ProxyHeader::MAX_LEN];
    let mut rest = buffer.get_mut(..len).unwrap_or_default();
    while !rest.is_empty() {
        match socket.read(rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
