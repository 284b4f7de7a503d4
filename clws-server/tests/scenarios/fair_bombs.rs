//! 16 clients pipeline compression bombs. Other clients are answered meanwhile.
#![cfg(feature = "deflate")]

use std::io::{Read, Write};
use std::time::Duration;

use crate::common::Running;
use crate::common::flood::{Echo, Flood, Work, assert_answered_during, wait_for_backlog};
use crate::common::wire::{Wire, dial};
use clws_handshake::client::ClientRequest;
use clws_handshake::{HandshakeLimits, Status};
use clws_proto::{CodecPool, Sender};
use clws_server::{Config, DeflateConfig, DeflateParams, Origins, Server, Version};

in_both_modes_in_own_process!(answers_others_during_a_flood_of_bombs);

const CLIENTS: usize = 16;

/// The inflated size of a bomb.
const INFLATED: usize = 256 * 1024;

fn deflate() -> DeflateConfig {
    DeflateConfig::default().threshold(0)
}

/// A client that negotiated permessage-deflate without context takeover.
fn connect(server: &Running) -> (Wire, DeflateParams) {
    let url = format!("ws://{}/work", server.address());
    let deflate = deflate();
    let request = ClientRequest::new(Version::Rfc6455, &url).deflate(&deflate);
    let (request, mut pending) = request.build(&mut |random: &mut [u8]| random.fill(7)).unwrap();
    let mut socket = dial(&server.addresses[0]);
    socket.write_all(&request).unwrap();
    let mut received = Vec::new();
    loop {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
        if let Status::Complete(open) = pending.check(&received, &HandshakeLimits::default()).unwrap() {
            return (Wire { socket }, open.deflate.expect("deflate was not negotiated"));
        }
    }
}

/// A compressed message of zeros.
fn bomb(params: DeflateParams) -> Vec<u8> {
    let mut sender =
        Sender::client(Version::Rfc6455, || [1, 2, 3, 4]).deflate(params, &CodecPool::new(&deflate()));
    sender.binary(&vec![0; INFLATED], None).unwrap();
    let mut bomb = Vec::new();
    sender.write_to(&mut bomb).unwrap();
    assert!(bomb.len() < INFLATED / 500, "the bomb has {} bytes", bomb.len());
    bomb
}

fn answers_others_during_a_flood_of_bombs(config: Config) {
    let config = config.shards(1).close_timeout(Duration::from_millis(300)).deflate(Some(deflate()));
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (work, end_work) = Work::of(Duration::ZERO);
    server.resources().register("/work", Origins::any(), work.clone()).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    let server = Running::run(server);
    let mut neighbours = [Wire::connect(&server, "/echo")];
    let (clients, params): (Vec<_>, Vec<_>) = (0..CLIENTS).map(|_| connect(&server)).unzip();
    let bomb = bomb(params[0]);
    let floods: Vec<_> = clients.into_iter().map(|client| Flood::writing(client, bomb.repeat(100))).collect();
    let _end_work = end_work; // dropped before the floods
    wait_for_backlog(&floods, bomb.len(), &work);
    assert_answered_during(&mut neighbours, &floods, bomb.len(), &work);
}
