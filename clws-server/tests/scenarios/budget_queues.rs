//! The memory limit covers messages that wait for a handler.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::memory::{LIMIT, MemoryWatch, UNUSED_CREDIT, assert_memory_is_free, with_memory_limit};
use crate::common::{Peer, Running};
use clws_server::{Config, Event, Origins, Server, Version, WebSocket, async_handler, mailbox};
use futures::StreamExt;

in_both_modes_in_own_process!(
    mailbox_messages_count_until_they_are_handled,
    a_dropped_mailbox_holds_nothing,
    clients_of_handlers_that_do_not_read_are_dropped,
);

/// Sends messages of 1 MiB while the server reads them. Returns the number of written messages.
fn flood(mut peer: Peer, messages: usize) -> thread::JoinHandle<(Peer, usize)> {
    thread::spawn(move || {
        peer.sender.binary(&vec![1; 1 << 20], None).unwrap();
        let mut wire = Vec::new();
        peer.sender.write_to(&mut wire).unwrap();
        let written = (0..messages).take_while(|_| peer.stream.write_all(&wire).is_ok()).count();
        (peer, written)
    })
}

fn mailbox_messages_count_until_they_are_handled(config: Config) {
    const CLIENTS: usize = 8;
    const MESSAGES: usize = 10;

    let server =
        Server::bind(with_memory_limit(config).max_handler_read_backlog(usize::MAX).listen("127.0.0.1:0"))
            .unwrap();
    let (resource, mut events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), resource).unwrap();
    let server = Running::run(server);
    let watch = MemoryWatch::new(&server.handle);
    let floods: Vec<_> =
        (0..CLIENTS).map(|_| flood(server.connect(Version::Rfc6455, "/"), MESSAGES)).collect();
    // Nothing reads the mailbox, so the server stops reading at the limit.
    common::eventually("the mailbox is full", || server.handle.buffered() > LIMIT / 4 * 3);
    thread::sleep(Duration::from_millis(500));
    assert!(watch.max() <= LIMIT + UNUSED_CREDIT, "{}", watch.max());

    let (done, all) = mpsc::channel();
    thread::spawn(move || {
        futures::executor::block_on(async {
            let mut messages = 0;
            while let Some(event) = events.next().await {
                match event {
                    Event::Binary(_, payload) => messages += usize::from(payload.len() == 1 << 20),
                    Event::Disconnected(..) => done.send(messages).unwrap(),
                    _ => {}
                }
            }
        });
    });
    let floods: Vec<_> = floods.into_iter().map(|flood| flood.join().unwrap()).collect();
    // A client may be dropped at the limit. The other clients lose nothing.
    let written: usize = floods.iter().map(|(_, written)| written).sum();
    let dropped = usize::try_from(server.handle.dropped_for_memory()).unwrap();
    assert!(dropped < CLIENTS / 2, "{dropped}");
    drop(floods);
    let handled = (0..CLIENTS).fold(0, |_, _| all.recv_timeout(common::TIMEOUT).unwrap());
    assert!(handled + dropped * MESSAGES >= written, "{handled} of {written}, {dropped} dropped");
    assert_memory_is_free(&server);
}

fn a_dropped_mailbox_holds_nothing(config: Config) {
    let server = Server::bind(with_memory_limit(config).listen("127.0.0.1:0")).unwrap();
    let (resource, events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), resource).unwrap();
    let server = Running::run(server);
    let floods: Vec<_> = (0..20).map(|_| flood(server.connect(Version::Rfc6455, "/"), 1)).collect();
    common::eventually("the mailbox holds a message of each client", || server.handle.buffered() >= 20 << 20);
    drop(events);
    common::eventually("all memory is free", || server.handle.buffered() <= UNUSED_CREDIT);
    floods.into_iter().for_each(|flood| drop(flood.join().unwrap()));
    assert_memory_is_free(&server);
}

fn clients_of_handlers_that_do_not_read_are_dropped(config: Config) {
    const CLIENTS: usize = 20;
    // Above three quarters of the limit the server reads in small steps. A limit of 8 MiB needs few
    // steps.
    const LIMIT: usize = 8 << 20;

    let config = config.max_buffered(LIMIT).max_handler_read_backlog(usize::MAX);
    let server = Server::bind(config.close_timeout(Duration::from_secs(1)).listen("127.0.0.1:0")).unwrap();
    let stuck = async_handler(|socket: WebSocket| async move {
        while socket.disconnect().is_none() {
            async_std::task::sleep(Duration::from_millis(10)).await;
        }
    });
    server.resources().register("/", Origins::any(), stuck).unwrap();
    let server = Running::run(server);
    let watch = MemoryWatch::new(&server.handle);
    let floods: Vec<_> = (0..CLIENTS).map(|_| flood(server.connect(Version::Rfc6455, "/"), 20)).collect();
    common::eventually("a client is dropped", || server.handle.dropped_for_memory() > 0);
    assert!(watch.max() <= LIMIT + UNUSED_CREDIT, "{}", watch.max());
    server.handle.stop(); // clients whose reading is paused do not delay the stop
    floods.into_iter().for_each(|flood| drop(flood.join().unwrap()));
    assert_memory_is_free(&server);
}
