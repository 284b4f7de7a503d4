//! Actions of other threads of the process. None runs on a shard's thread, so all use command
//! queues.

use crate::client::Client;
use crate::sim::act::{abort, answer, close, publish, send_to_group};
use crate::sim::app::{self, app};
use crate::sim::drain::{drain_again, drain_instead_of_stop};
use crate::sim::executor;
use crate::sim::resources::accept_by;
use crate::sim::script::Kind;
use crate::sim::socket::{SimStream, address};
use crate::sim::{Action, MILLI, SECOND, State, with};
use clws_handshake::Reject;

pub(super) fn run(action: Action) {
    match action {
        Action::Serve(conn) => serve(conn),
        Action::Decide(conn) => decide(conn),
        Action::Stop => stop(),
        Action::Drain => drain_again(),
        Action::Stall => with(State::stall),
        Action::Chaos => {
            let wild = with(|state| {
                let gap = 1 + state.rng.time(state.plan.chaos);
                if state.now < state.plan.active {
                    state.schedule_action(gap, Action::Chaos);
                }
                state.rng.percent(state.plan.wild)
            });
            if wild { disturb() } else { send_something() }
        }
    }
}

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

pub(super) fn stop() {
    let Some(server) = app(|app| app.server.clone()) else { return };
    with(|state| {
        state.trace(super::trace::NO_CONN, "stop", 0, 0);
        state.stopped_at.get_or_insert(state.now);
        state.note_activity();
    });
    if !drain_instead_of_stop(&server) {
        server.stop();
    }
}

/// A random connected client.
fn random_client() -> Option<Client> {
    let present = app::present();
    let index = with(|state| state.rng.below(present.len()));
    present.get(index).and_then(|conn| app::client(*conn))
}

/// Sends a message to a client, group or topic.
fn send_something() {
    let choice = with(|state| state.rng.next());
    let number = usize::try_from(choice % 97).unwrap_or(0);
    match choice % 6 {
        0 | 1 => {
            if let Some(client) = random_client() {
                answer(&client, number, false);
            }
        }
        2 => {
            if let Some(client) = random_client() {
                let _ = client.ping(b"are you there?");
            }
        }
        3 | 4 => send_to_group(number),
        _ => publish(number),
    }
}

/// Closes, aborts or breaks something.
fn disturb() {
    match with(|state| state.rng.below(40)) {
        0..6 => drop(random_client().map(|client| close(&client))),
        6..9 => drop(random_client().map(|client| abort(&client))),
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
        _ => send_something(),
    }
}

impl State {
    /// Suspends the process, as `SIGSTOP` does. The network and the clients continue.
    pub(super) fn stall(&mut self) {
        let time = MILLI + self.rng.time(3 * SECOND);
        self.trace(super::trace::NO_CONN, "stall", time, 0);
        self.pass(time);
    }

    /// Notes that the application takes no more messages of this kind of client.
    pub(super) fn silence(&mut self, kind: Kind, why: &'static str) {
        for log in &mut self.logs {
            if log.kind == Some(kind) {
                log.silenced.get_or_insert(why);
            }
        }
    }
}

/// Drops the task that serves a random stream.
fn cancel() {
    let streams = app(|app| app.streams.clone()).unwrap_or_default();
    let index = with(|state| state.rng.below(streams.len()));
    if let Some((conn, task)) = streams.into_iter().nth(index) {
        app(|app| app.streams.remove(&conn));
        with(|state| {
            state.trace(conn, "drops the stream's task", 0, 0);
            state.log(conn).cancelled = true;
        });
        executor::cancel(task);
    }
}

fn close_mailbox() {
    if let Some(mailbox) = app(|app| app.mailbox.clone()) {
        with(|state| {
            state.trace(super::trace::NO_CONN, "closes the mailbox", 0, 0);
            state.silence(Kind::Mailbox, "mailbox closed");
        });
        mailbox.close();
    }
}

fn kill_listener() {
    if let Some(listener) = app(|app| app.listener.clone()) {
        with(|state| {
            state.trace(super::trace::NO_CONN, "kills the listener", 0, 0);
            state.silence(Kind::Listener, "listener killed");
            state.listener_killed = true;
        });
        listener.kill();
    }
}

/// Unregisters a random resource. Its clients stay connected.
fn unregister() {
    let path = with(|state| state.rng.pick(&Kind::ALL)).path();
    if let Some(server) = app(|app| app.server.clone()) {
        server.resources().unregister(path);
    }
}
