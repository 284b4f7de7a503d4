//! A client floods a group of 300 clients. Other clients of the same shards are answered meanwhile.

use std::io::Read;
use std::thread;
use std::time::Duration;

use crate::common::flood::{Echo, Flood, Work, assert_answered_during, executor_threads, wait_for_backlog};
use crate::common::wire::{TEXT, Wire, frame};
use crate::common::{Running, eventually};
use clws_server::{Client, Close, Config, Group, Origins, Resource, Server, Text};

in_both_modes_in_own_process!(answers_others_during_a_flood_of_broadcasts);

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

/// Reads and discards the messages of all members.
fn read(members: &mut [Wire], work: &Work) {
    let mut buffer = vec![0; 64 * 1024];
    while !work.is_over() {
        for member in &mut *members {
            let _ = member.socket.read(&mut buffer);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn answers_others_during_a_flood_of_broadcasts(config: Config) {
    let clients_that_flood = if config.task_per_client { 2 * executor_threads() } else { 1 };
    let config = config.close_timeout(Duration::from_millis(300));
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let ((work, end_work), group) = (Work::of(Duration::ZERO), Group::new());
    server
        .resources()
        .register("/broadcast", Origins::any(), Broadcast(group.clone(), work.clone()))
        .unwrap();
    server.resources().register("/member", Origins::any(), Member(group.clone())).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    let server = Running::run(server);
    // The connections are spread over both shards.
    let mut neighbours: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/echo")).collect();
    let mut members: Vec<_> = (0..MEMBERS).map(|_| Wire::connect(&server, "/member")).collect();
    members.iter().for_each(|member| member.socket.set_nonblocking(true).unwrap());
    eventually("all members have joined", || group.len() == MEMBERS);
    thread::scope(|scope| {
        scope.spawn(|| read(&mut members, &work));
        let message = frame(TEXT, b"x");
        let clients: Vec<_> = (0..clients_that_flood).map(|_| Wire::connect(&server, "/broadcast")).collect();
        let floods: Vec<_> =
            clients.into_iter().map(|client| Flood::writing(client, message.repeat(2_000))).collect();
        let _end_work = end_work; // dropped before the floods
        wait_for_backlog(&floods, message.len(), &work);
        assert_answered_during(&mut neighbours, &floods, message.len(), &work);
    });
}
