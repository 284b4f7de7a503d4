//! What handlers do when a message tells them to.

use std::panic::resume_unwind;

use crate::client::Client;
use crate::client::delivery::Delivery;
use crate::client::group::Group;
use crate::client::outgoing::SendOptions;
use crate::sim::app::{GROUPS, TOPICS, app};
use crate::sim::plan::Plan;
use crate::sim::socket::conn_of;
use crate::sim::{MICRO, State, with};
use crate::{CloseCode, SharedMessage};

/// What a message tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) number: u32,
    pub(super) command: char,
    pub(super) argument: usize,
}

impl Request {
    pub(super) fn parse(payload: &[u8]) -> Self {
        let text = str::from_utf8(payload).unwrap_or_default();
        let mut parts = text.split(':');
        let number = parts.next().and_then(|number| number.parse().ok());
        let command = parts.next().unwrap_or_default();
        let argument = command.get(1..).and_then(|argument| argument.parse().ok());
        Self {
            number: number.unwrap_or(u32::MAX),
            command: command.chars().next().unwrap_or('?'),
            argument: argument.unwrap_or(0),
        }
    }
}

/// A panic that is meant to be: it does not go through the hook.
pub(super) fn panic_over(conn: u32) -> ! {
    with(|state| {
        state.log(conn).silenced = Some("panic");
        state.log(conn).panicked = true;
    });
    resume_unwind(Box::new("as it was told to"))
}

/// What every handler takes.
pub(super) fn take_time() {
    with(|state| {
        let time = state.rng.time(state.plan.handler_cost + 1);
        state.pass(time);
    });
}

/// Takes that long, as it was told to.
fn be_slow(nanos: u64) {
    with(|state| {
        state.slow += nanos;
        state.pass(nanos);
    });
}

/// Does what a message tells, as a handler of that client; `inline` on its shard.
pub(super) fn act(client: &Client, request: Request, inline: bool) {
    let (conn, argument) = (conn_of(client), request.argument);
    match request.command {
        'a' => answer(client, argument, inline),
        's' => be_slow(argument as u64 * MICRO),
        'p' => panic_over(conn),
        // For longer than it has time to answer, maybe.
        'c' if argument > 0 => {
            be_slow(with(|state| state.rng.time(2 * Plan::nanos(state.plan.config.close_timeout))));
            close(client);
        }
        'c' => close(client),
        'x' => abort(client),
        'i' => drop(client.ping(b"?")),
        'j' => drop(group(argument).map(|group| group.join(client))),
        'l' => drop(group(argument).map(|group| group.leave(client))),
        'g' => say_to_group(argument),
        't' => publish(argument),
        'u' => subscribe(client, argument),
        _ => {}
    }
}

/// Sends a message of that length, in one of the ways that there are.
pub(super) fn answer(client: &Client, len: usize, inline: bool) {
    let conn = conn_of(client);
    let number = with(State::new_message);
    let text = text(number, len);
    let ways = if client.websocket_version().is_hixie() { 4 } else { 7 };
    let result = match with(|state| state.rng.below(ways)) {
        0 | 1 => client.send_text(&text),
        2 => client.send(text),
        3 => client.send(SharedMessage::text(text)),
        4 => client.send_binary(text.as_bytes()),
        5 => client.send(text.into_bytes()),
        _ => client.send_with(&text, SendOptions::new().frame_size(1 + len / 2)),
    };
    with(|state| state.sent(conn, number, result.map(drop), inline));
}

/// A message with that number.
pub(super) fn text(number: u32, len: usize) -> String {
    format!("{number}:{}", "y".repeat(len))
}

pub(super) fn close(client: &Client) {
    let conn = conn_of(client);
    let code = with(|state| state.rng.pick(&[1000, 1001, 4000]));
    let was_open = client.is_open();
    client.close((CloseCode::new(code), "enough"));
    assert!(!client.is_open());
    with(|state| {
        state.trace(conn, "close by the application", u64::from(was_open), 0);
        state.log(conn).silenced = Some("close");
        state.log(conn).hushed = true;
    });
}

pub(super) fn abort(client: &Client) {
    let conn = conn_of(client);
    client.abort();
    with(|state| {
        state.trace(conn, "abort by the application", 0, 0);
        state.log(conn).silenced = Some("abort");
        state.log(conn).hushed = true;
        state.log(conn).aborted = true;
    });
}

fn group(index: usize) -> Option<Group> {
    app(|app| app.groups[index % GROUPS].clone())
}

fn subscribe(client: &Client, index: usize) {
    let Some(topics) = app(|app| app.topics.clone()) else { return };
    let topic = TOPICS[index % TOPICS.len()];
    if !topics.subscribe(topic, client) {
        topics.unsubscribe(topic, client);
    }
}

pub(super) fn say_to_group(index: usize) {
    if let Some(group) = group(index) {
        say_to(&group, |message| group.send(message));
    }
}

pub(super) fn publish(index: usize) {
    let topic = TOPICS[index % TOPICS.len()];
    let Some(topics) = app(|app| app.topics.clone()) else { return };
    if let Some(group) = topics.group(topic) {
        say_to(&group, |message| topics.publish(topic, message));
    }
}

/// Sends a message to many: it is queued for all members that are not said to have failed.
fn say_to(group: &Group, send: impl FnOnce(&SharedMessage) -> Delivery) {
    let members = group.members();
    let number = with(State::new_message);
    let len = with(|state| {
        let most = state.plan.answer;
        state.rng.below(most + 1)
    });
    let delivery = send(&SharedMessage::text(text(number, len)));
    for member in &members {
        let failed = delivery.failed.iter().find(|(client, _)| client == member);
        let result = failed.map_or(Ok(()), |(_, error)| Err(*error));
        with(|state| state.sent(conn_of(member), number, result, false));
    }
}
