//! The application's resources, one of each kind.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use clws_handshake::Reject;
use clws_proto::{Payload, Piece, Text};
use futures::StreamExt;

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::handler::mailbox::Mailbox;
use crate::handler::mailbox::event::Event;
use crate::handler::resource_listener::ResourceListener;
use crate::handler::websocket::WebSocket;
use crate::handler::websocket::message::Message;
use crate::resource::accept::Accept;
use crate::resource::decision::Decision;
use crate::resource::opening::Opening;
use crate::resource::{CloseTime, Resource};
use crate::sim::act::{Request, act, answer, panic_over, take_time, text};
use crate::sim::drain::check_turn;
use crate::sim::script::Kind;
use crate::sim::socket::conn_of;
use crate::sim::{Action, MILLI, State, app, executor, pieces, with};
use crate::time::now;
use bytes::Bytes;
use clws_proto::CloseCode;

/// Wraps a resource and records its calls.
pub(super) struct Recorded<R>(pub(super) R);

impl<R: Resource> Resource for Recorded<R> {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        self.0.accept(opening)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        let conn = conn_of(client);
        with(|state| state.opened(conn));
        // A panic in `connected` also refuses the client.
        with(|state| state.log(conn).rejected = true);
        self.0.connected(client)?;
        with(|state| state.log(conn).rejected = false);
        app::keep_client(conn, client);
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let request = Request::parse(text.as_bytes());
        measured(client, request, || self.0.text(client, text));
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let request = Request::parse(&payload);
        measured(client, request, || self.0.binary(client, payload));
    }

    fn piece(&self, client: &Client, piece: Piece<'_>) {
        self.0.piece(client, piece);
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        self.0.pong(client, payload);
    }

    fn drained(&self, client: &Client) {
        with(|state| state.trace(conn_of(client), "drained", 0, 0));
        self.0.drained(client);
    }

    fn draining(&self, client: &Client) -> CloseTime {
        check_turn(client);
        self.0.draining(client)
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        let conn = conn_of(client);
        with(|state| state.ended(conn, end));
        app::forget_client(conn);
        self.0.disconnected(client, end);
    }
}

/// Delivers a message to a resource and measures the time it takes.
fn measured(client: &Client, request: Request, deliver: impl FnOnce()) {
    let conn = conn_of(client);
    let begun = with(|state| {
        state.handed(conn, request.number);
        state.now - state.slow
    });
    deliver();
    with(|state| state.served(conn, begun));
}

/// A resource whose handlers run on the shard.
pub(super) struct Inline(pub(super) Kind);

impl Resource for Inline {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let conn = conn_of_opening(opening);
        if with(|state| state.rng.below(100) < state.plan.wild / 10) {
            panic_over(conn);
        }
        if self.0 == Kind::Inline {
            return Ok(Accept::new());
        }
        let (accept, decision) = Accept::later();
        match with(|state| state.rng.below(10)) {
            0 => accept_by(conn, decision),
            1 => drop(decision),
            _ => decide_later(conn, decision),
        }
        Ok(accept)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        match with(|state| state.rng.below(3000).checked_div(state.plan.wild + 1)) {
            Some(0) => Err(Close::new(CloseCode::POLICY, "not you")),
            Some(1) => panic_over(conn_of(client)),
            Some(2..20) => {
                answer(client, 10, true);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        handle(client, text.as_bytes(), true);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        handle(client, &payload, true);
    }

    fn piece(&self, client: &Client, piece: Piece<'_>) {
        if let Some(message) = pieces::join(conn_of(client), piece) {
            measured(client, Request::parse(&message), || handle(client, &message, true));
        }
    }

    fn drained(&self, client: &Client) {
        panic_sometimes(client);
        // The answer may exceed the high-water mark again.
        if with(|state| state.rng.percent(90)) {
            answer(client, with(|state| state.plan.config.write_high_water), true);
        }
    }

    fn draining(&self, client: &Client) -> CloseTime {
        panic_sometimes(client);
        answer(client, 10, true);
        take_time();
        CloseTime::Now
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        panic_sometimes(client);
    }
}

fn conn_of_opening(opening: &Opening) -> u32 {
    opening.query_string().and_then(|query| query.parse().ok()).unwrap_or_default()
}

/// Accepts a pending handshake.
pub(super) fn accept_by(conn: u32, decision: Decision) {
    if decision.is_waiting() {
        with(|state| state.decided(conn, true));
    }
    decision.accept(Accept::new());
}

fn decide_later(conn: u32, decision: Decision) {
    app::keep_decision(conn, decision);
    with(|state| {
        let time = super::plan::pause(&mut state.rng);
        state.schedule_action(time, Action::Decide(conn));
    });
}

fn panic_sometimes(client: &Client) {
    if with(|state| state.rng.below(200) < state.plan.wild / 10) {
        panic_over(conn_of(client));
    }
}

/// Handles a message in the application.
fn handle(client: &Client, payload: &[u8], inline: bool) {
    let request = Request::parse(payload);
    with(|state| state.handled(conn_of(client), request.number));
    take_time();
    act(client, request, inline);
}

/// Sleeps for a random time up to `max`.
async fn sleep(max: u64) {
    let time = with(|state| state.rng.time(max + 1));
    executor::sleep_until(now() + Duration::from_nanos(time)).await;
}

/// Sometimes sleeps, so that the task's clients get paused.
async fn sometimes_sleep(percent: usize, max: u64) {
    if with(|state| state.rng.percent(percent)) {
        sleep(max).await;
    }
}

/// The task that reads the mailbox.
pub(super) async fn read_mailbox(mut mailbox: Mailbox<u32>, percent: usize, max: u64) {
    while let Some(event) = mailbox.next().await {
        match event {
            Event::Opening(opening, decision) => match with(|state| state.rng.below(10)) {
                0 => drop(decision),
                1 => decide_later(conn_of_opening(&opening), decision),
                2 => decision.reject(Reject::forbidden("not you")),
                _ => accept_by(conn_of_opening(&opening), decision),
            },
            Event::Connected(client) => with(|state| state.app_opened(conn_of(&client))),
            Event::Text(client, text) => handle_in_task(&client, text.as_bytes()),
            Event::Binary(client, payload) => handle_in_task(&client, &payload),
            Event::Disconnected(client, _) => with(|state| state.app_ended(conn_of(&client))),
            Event::Draining(client) => answer(&client, 10, false),
            Event::Piece(..) | Event::Pong(..) | Event::Drained(_) | Event::Message(_) => {}
        }
        sometimes_sleep(percent, max).await;
    }
    with(|state| state.trace(super::trace::NO_CONN, "the mailbox ends", 0, 0));
}

/// Like [`handle`], but panics rarely: a panic would end the task and its mailbox.
fn handle_in_task(client: &Client, payload: &[u8]) {
    let request = Request::parse(payload);
    if request.command == 'p' && with(|state| state.rng.percent(80)) {
        return with(|state| state.handled(conn_of(client), request.number));
    }
    if request.command == 'p' {
        with(|state| state.silence(Kind::Mailbox, "the mailbox's task panicked"));
    }
    handle(client, payload, false);
}

/// The task that serves one `WebSocket`.
pub(super) async fn serve_websocket(mut socket: WebSocket) {
    let client = socket.client().clone();
    let conn = conn_of(&client);
    with(|state| state.app_opened(conn));
    sometimes_sleep(30, 60 * MILLI).await;
    while let Some(message) = socket.next().await {
        let request = Request::parse(match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Piece(piece) => piece.bytes(),
            Message::Binary(payload) | Message::Ping(payload) | Message::Pong(payload) => payload,
        });
        if matches!(message, Message::Pong(_)) {
            continue;
        }
        with(|state| state.handled(conn, request.number));
        take_time();
        match request.command {
            'a' => {
                let number = with(State::new_message);
                let result = socket.send(text(number, request.argument)).await;
                with(|state| state.sent(conn, number, result, false));
            }
            'r' => return with(|state| state.log(conn).silenced = Some("returned")),
            'd' => {
                with(|state| state.log(conn).silenced = Some("reader dropped"));
                let (reader, writer) = socket.split();
                drop(reader);
                sleep(20 * MILLI).await;
                drop(writer);
                return;
            }
            'w' => sleep(MILLI).await,
            _ => act(&client, request, false),
        }
        sometimes_sleep(5, 5 * MILLI).await;
    }
    with(|state| state.app_ended(conn));
}

/// The application's listener.
pub(super) struct AppListener;

impl ResourceListener for AppListener {
    type Message = u32;

    fn accept(&mut self, opening: &Opening) -> Result<Accept, Reject> {
        match with(|state| state.rng.below(3000).checked_div(state.plan.wild + 1)) {
            Some(0) => Err(Reject::forbidden("not you")),
            Some(1) => panic_over(conn_of_opening(opening)),
            _ => Ok(Accept::new()),
        }
    }

    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        with(|state| state.app_opened(conn_of(client)));
        if with(|state| state.rng.below(100) < state.plan.wild / 10) {
            with(|state| state.refused_by_listener(conn_of(client)));
            return Err(Close::default());
        }
        Ok(())
    }

    fn text(&mut self, client: &Client, text: ByteString) {
        handle(client, text.as_bytes(), false);
    }

    fn binary(&mut self, client: &Client, payload: Bytes) {
        handle(client, &payload, false);
    }

    fn draining(&mut self, client: &Client) {
        answer(client, 10, false);
    }

    fn disconnected(&mut self, client: &Client, _: &Disconnect) {
        with(|state| state.app_ended(conn_of(client)));
        panic_sometimes(client);
    }

    fn custom_message(&mut self, message: u32) {
        take_time();
        if message == 0 && with(|state| state.plan.wild > 0) {
            std::panic::resume_unwind(Box::new("intended"));
        }
    }
}

/// `ResourceListenerTask::resource` returns this type.
pub(super) type Shared = Arc<dyn Resource>;
