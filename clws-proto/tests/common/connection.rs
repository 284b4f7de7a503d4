//! Helpers for the tests of `Connection`.

use clws_proto::{Connection, Event, Limits, Role, Sender, Version};

use super::{Got, KEY, events};

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// Every version in both roles.
pub(crate) fn all() -> impl Iterator<Item = (Version, Role)> {
    Version::ALL.into_iter().flat_map(|version| ROLES.map(|role| (version, role)))
}

pub(crate) const fn peer_of(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

pub(crate) fn connection(version: Version, role: Role) -> Connection {
    connection_with(version, role, Limits::default())
}

pub(crate) fn connection_with(version: Version, role: Role, limits: Limits) -> Connection {
    match role {
        Role::Server => Connection::server(version, limits),
        Role::Client => Connection::client(version, limits, || KEY),
    }
}

/// A sender with that role.
pub(crate) fn sender(version: Version, role: Role) -> Sender {
    match role {
        Role::Server => Sender::server(version),
        Role::Client => Sender::client(version, || KEY),
    }
}

/// The bytes that a peer of `role` sends.
pub(crate) fn from_peer(version: Version, role: Role, queue: impl FnOnce(&mut Sender)) -> Vec<u8> {
    let mut sender = sender(version, peer_of(role));
    queue(&mut sender);
    let mut wire = Vec::new();
    sender.write_to(&mut wire).unwrap();
    wire
}

pub(crate) fn owned(event: Event<'_>) -> Got {
    match event {
        Event::Text(text) => Got::Text(text.into_string()),
        Event::Binary(payload) => Got::Binary(payload.into_vec()),
        Event::Ping(payload) => Got::Ping(payload.into_vec()),
        Event::Pong(payload) => Got::Pong(payload.into_vec()),
        Event::Close(frame) => Got::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned()))),
        other => panic!("an event that these tests do not know: {other:?}"),
    }
}

/// Feeds one read and pulls all of its events.
pub(crate) fn receive(ws: &mut Connection, bytes: &[u8]) -> Vec<Got> {
    let mut bytes = bytes.to_vec();
    let mut events = ws.receive(&mut bytes);
    std::iter::from_fn(|| events.next().map(|(event, _)| owned(event))).collect()
}

/// Writes all that is queued, and returns the bytes.
pub(crate) fn transmit(ws: &mut Connection) -> Vec<u8> {
    let mut wire = Vec::new();
    assert!(ws.transmit(|slices| std::io::Write::write_vectored(&mut wire, slices)).unwrap());
    wire
}

/// Writes all queued data and returns the bytes that the peer receives.
pub(crate) fn sent(ws: &mut Connection) -> Vec<Got> {
    let wire = transmit(ws);
    events(ws.version(), peer_of(ws.role()), &wire)
}
