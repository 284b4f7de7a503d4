//! A client whose flood goes to a group of 300. Clients of the same shards are answered meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::io::Read;
use std::thread;
use std::time::Duration;

use clws_server::{Client, Close, Config, Group, Origins, Resource, Server, Text};
use common::flood::{Echo, Flood, Work, ask_during, executor_threads, wait_for_backlog};
use common::wire::{TEXT, Wire, frame};
use common::{Running, eventually};

alone_in_both_modes!(beside_a_flood_of_broadcasts);

const MEMBERS: usize = 300;

/// Sends each text to all members.
struct Broadcast(Group, Work);

impl Resource for Broadcast {
    fn text(&self, _: &Client, text: Text<'_>) {
        self.1.work();
        if !self.1.is_over() {
            let _ = self.0.send_text(text.as_str());
        }
    }
}

struct Member(Group);

impl Resource for Member {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.0.join(client);
        Ok(())
    }
}

/// Reads what the members are sent, and drops it.
fn read(members: &mut [Wire], work: &Work) {
    let mut buffer = vec![0; 64 * 1024];
    while !work.is_over() {
        for member in &mut *members {
            let _ = member.socket.read(&mut buffer);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn beside_a_flood_of_broadcasts(config: Config) {
    let flooders = if config.task_per_client { 2 * executor_threads() } else { 1 };
    let config = config.close_timeout(Duration::from_millis(300));
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let ((work, ends_work), group) = (Work::of(Duration::ZERO), Group::new());
    server
        .resources()
        .register("/broadcast", Origins::any(), Broadcast(group.clone(), work.clone()))
        .unwrap();
    server.resources().register("/member", Origins::any(), Member(group.clone())).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    let server = Running::run(server);
    // They are spread over both shards.
    let mut neighbours: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/echo")).collect();
    let mut members: Vec<_> = (0..MEMBERS).map(|_| Wire::connect(&server, "/member")).collect();
    members.iter().for_each(|member| member.socket.set_nonblocking(true).unwrap());
    eventually("all are in", || group.len() == MEMBERS);
    thread::scope(|scope| {
        scope.spawn(|| read(&mut members, &work));
        let message = frame(TEXT, b"x");
        let clients: Vec<_> = (0..flooders).map(|_| Wire::connect(&server, "/broadcast")).collect();
        let floods: Vec<_> =
            clients.into_iter().map(|client| Flood::of(client, message.repeat(2_000))).collect();
        let _ends_work = ends_work; // before the floods are
        wait_for_backlog(&floods, message.len(), &work);
        ask_during(&mut neighbours, &floods, message.len(), &work);
    });
}
