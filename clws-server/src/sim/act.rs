//! Handlers execute the command in each message.

use std::panic::resume_unwind;

use crate::client::Client;
use crate::client::delivery::Delivery;
use crate::client::group::Group;
use crate::client::outcome::Sent;
use crate::client::outgoing::SendOptions;
use crate::sim::app::{GROUPS, TOPICS, app};
use crate::sim::plan::Plan;
use crate::sim::slow::send_droppable;
use crate::sim::socket::conn_of;
use crate::sim::{MICRO, State, with};
use clws_proto::{CloseCode, SharedMessage};

/// The command in a message.
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

/// Panics on purpose, without calling the panic hook.
pub(super) fn panic_over(conn: u32) -> ! {
    with(|state| {
        state.log(conn).silenced = Some("panic");
        state.log(conn).panicked = true;
    });
    resume_unwind(Box::new("intended"))
}

/// Advances the time by the duration of an ordinary handler.
pub(super) fn take_time() {
    with(|state| {
        let time = state.rng.time(state.plan.handler_cost + 1);
        state.pass(time);
    });
}

/// Advances the time by the duration of a slow handler.
fn run_slowly(nanos: u64) {
    with(|state| {
        state.slow += nanos;
        state.pass(nanos);
    });
}

/// Executes the command of a message. `inline` means on the client's shard.
pub(super) fn act(client: &Client, request: Request, inline: bool) {
    let (conn, argument) = (conn_of(client), request.argument);
    match request.command {
        'a' => answer(client, argument, inline),
        's' => run_slowly(argument as u64 * MICRO),
        'p' => panic_over(conn),
        // Possibly longer than the client's close timeout.
        'c' if argument > 0 => {
            run_slowly(with(|state| state.rng.time(2 * Plan::nanos(state.plan.config.close_timeout))));
            close(client);
        }
        'c' => close(client),
        'x' => abort(client),
        'i' => drop(client.ping(b"?")),
        'j' => drop(group(argument).map(|group| group.join(client))),
        'l' => drop(group(argument).map(|group| group.leave(client))),
        'g' => send_to_group(argument),
        't' => publish(argument),
        'u' => subscribe(client, argument),
        _ => {}
    }
}

/// Sends a message of length `len` by a random method.
pub(super) fn answer(client: &Client, len: usize, inline: bool) {
    let conn = conn_of(client);
    let number = with(State::new_message);
    let text = text(number, len);
    let ways = if client.websocket_version().is_hixie() { 5 } else { 8 };
    let result = match with(|state| state.rng.below(ways)) {
        0 | 1 => client.send_text(&text),
        2 => client.send(text),
        3 => client.send(SharedMessage::text(text)),
        4 => {
            let sent = send_droppable(client, text);
            let Ok(Some(written)) = sent else {
                let Err(error) = sent else { return };
                return with(|state| state.sent(conn, number, Err(error), inline));
            };
            with(|state| state.log(conn).droppable.push((number, written)));
            Ok(Sent::Queued)
        }
        5 => client.send_binary(text.as_bytes()),
        6 => client.send(text.into_bytes()),
        _ => client.send_with(&text, SendOptions::new().frame_size(1 + len / 2)),
    };
    with(|state| state.sent(conn, number, result.map(drop), inline));
}

/// A message that begins with its number.
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
        state.log(conn).closed_by_app = true;
    });
}

pub(super) fn abort(client: &Client) {
    let conn = conn_of(client);
    client.abort();
    with(|state| {
        state.trace(conn, "abort by the application", 0, 0);
        state.log(conn).silenced = Some("abort");
        state.log(conn).closed_by_app = true;
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

pub(super) fn send_to_group(index: usize) {
    if let Some(group) = group(index) {
        send_to_members(&group, |message| group.send(message));
    }
}

pub(super) fn publish(index: usize) {
    let topic = TOPICS[index % TOPICS.len()];
    let Some(topics) = app(|app| app.topics.clone()) else { return };
    if let Some(group) = topics.group(topic) {
        send_to_members(&group, |message| topics.publish(topic, message));
    }
}

/// Sends a message to a group or topic. It is queued for each member that `Delivery` does not list
/// as failed.
fn send_to_members(group: &Group, send: impl FnOnce(&SharedMessage) -> Delivery) {
    let members = group.members();
    let number = with(State::new_message);
    let len = with(|state| {
        let max = state.plan.answer;
        state.rng.below(max + 1)
    });
    let delivery = send(&SharedMessage::text(text(number, len)));
    for member in &members {
        let failed = delivery.failed.iter().find(|(client, _)| client == member);
        let result = failed.map_or(Ok(()), |(_, error)| Err(*error));
        with(|state| state.sent(conn_of(member), number, result, false));
    }
}
