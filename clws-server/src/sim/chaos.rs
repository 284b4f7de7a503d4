//! What other threads of the process do. None of it runs on a shard's thread, so all of it goes through command queues.

use crate::Reject;
use crate::client::Client;
use crate::sim::act::{abort, answer, close, publish, say_to_group};
use crate::sim::app::{self, app};
use crate::sim::executor;
use crate::sim::resources::accept_by;
use crate::sim::script::Kind;
use crate::sim::socket::{SimStream, address};
use crate::sim::{Errand, MILLI, SECOND, State, with};

pub(super) fn run(errand: Errand) {
    match errand {
        Errand::Serve(conn) => serve(conn),
        Errand::Decide(conn) => decide(conn),
        Errand::Stop => stop(),
        Errand::Stall => with(State::stall),
        Errand::Chaos => {
            let wild = with(|state| {
                let gap = 1 + state.rng.time(state.plan.chaos);
                if state.now < state.plan.active {
                    state.errand(gap, Errand::Chaos);
                }
                state.rng.percent(state.plan.wild)
            });
            if wild { disturb() } else { chat() }
        }
    }
}

/// Hands a stream to the server.
fn serve(conn: u32) {
    if let Some(server) = app(|app| app.server.clone()) {
        let served =
            server.serve_stream(SimStream::new(conn), crate::config::address::Peer::Tcp(address(conn)));
        let task = executor::start(Box::pin(served));
        app(|app| app.streams.insert(conn, task));
    }
}

fn decide(conn: u32) {
    let Some(decision) = app::take_decision(conn) else { return };
    match with(|state| state.rng.below(10)) {
        0 => drop(decision),
        1 => decision.reject(Reject::forbidden("not you")),
        _ => accept_by(conn, decision),
    }
}

/// Stops the server.
pub(super) fn stop() {
    let Some(server) = app(|app| app.server.clone()) else { return };
    with(|state| {
        state.trace(super::trace::NOBODY, "stop", 0, 0);
        state.stopped_at.get_or_insert(state.now);
    });
    server.stop();
}

/// One of the clients that are there.
fn somebody() -> Option<Client> {
    let present = app::present();
    let index = with(|state| state.rng.below(present.len()));
    present.get(index).and_then(|conn| app::client(*conn))
}

/// What disturbs nobody: messages to clients, groups and topics.
fn chat() {
    let choice = with(|state| state.rng.next());
    let number = usize::try_from(choice % 97).unwrap_or(0);
    match choice % 6 {
        0 | 1 => {
            if let Some(client) = somebody() {
                answer(&client, number, false);
            }
        }
        2 => {
            if let Some(client) = somebody() {
                let _ = client.ping(b"are you there?");
            }
        }
        3 | 4 => say_to_group(number),
        _ => publish(number),
    }
}

/// What does.
fn disturb() {
    match with(|state| state.rng.below(40)) {
        0..6 => drop(somebody().map(|client| close(&client))),
        6..9 => drop(somebody().map(|client| abort(&client))),
        9..12 => cancel(),
        12 => close_mailbox(),
        13 => kill_listener(),
        14 => unregister(),
        15..18 => with(|state| {
            let until = state.now + state.rng.time(SECOND);
            let port = state.rng.below(state.ports.len());
            state.ports[port].fails_until = until;
        }),
        18..26 => {
            if let Some(listener) = app(|app| app.listener.clone()) {
                let _ = listener.send(with(|state| u32::from(state.rng.percent(50))));
                drop(listener.call(|_| ()));
            }
        }
        26..30 => {
            if let Some(mailbox) = app(|app| app.mailbox.clone()) {
                let _ = mailbox.send(1);
            }
        }
        _ => chat(),
    }
}

impl State {
    /// The process is stopped for some time, as by `SIGSTOP`: nothing of it runs, and the harness goes on.
    pub(super) fn stall(&mut self) {
        let time = MILLI + self.rng.time(3 * SECOND);
        self.trace(super::trace::NOBODY, "stall", time, 0);
        self.pass(time);
    }

    /// The application behind these clients' queues wants to hear no more.
    pub(super) fn silence(&mut self, kind: Kind, why: &'static str) {
        for log in &mut self.logs {
            if log.kind == Some(kind) {
                log.silenced.get_or_insert(why);
            }
        }
    }
}

/// Drops the task that serves a stream.
fn cancel() {
    let streams = app(|app| app.streams.clone()).unwrap_or_default();
    let index = with(|state| state.rng.below(streams.len()));
    if let Some((conn, task)) = streams.into_iter().nth(index) {
        app(|app| app.streams.remove(&conn));
        with(|state| {
            state.trace(conn, "the stream's task is dropped", 0, 0);
            state.log(conn).cancelled = true;
        });
        executor::cancel(task);
    }
}

fn close_mailbox() {
    if let Some(mailbox) = app(|app| app.mailbox.clone()) {
        with(|state| {
            state.trace(super::trace::NOBODY, "the mailbox is closed", 0, 0);
            state.silence(Kind::Mailbox, "mailbox closed");
        });
        mailbox.close();
    }
}

fn kill_listener() {
    if let Some(listener) = app(|app| app.listener.clone()) {
        with(|state| {
            state.trace(super::trace::NOBODY, "the listener is killed", 0, 0);
            state.silence(Kind::Listener, "listener killed");
            state.listener_killed = true;
        });
        listener.kill();
    }
}

/// Takes a resource from its path. Its clients stay.
fn unregister() {
    let path = with(|state| state.rng.pick(&Kind::ALL)).path();
    if let Some(server) = app(|app| app.server.clone()) {
        server.resources().unregister(path);
    }
}
