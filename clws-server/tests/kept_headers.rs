//! What is kept of a request's headers while its client is connected, and what `accept` sees of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::Arc;

use clws_handshake::client::ClientRequest;
use clws_server::{Accept, Client, Close, Config, Opening, Reject, Resource, Version};
use common::{Peer, Running, text};

in_both_modes!(a_long_one_is_not_kept, as_many_as_are_configured, decided_later);

/// Says what `accept` saw, and what the client has.
struct Shows {
    later: bool,
}

fn shown(cookie: Option<&str>, last: Option<&str>, origin: Option<&str>) -> String {
    format!("{:?} {last:?} {origin:?}", cookie.map(str::len))
}

impl Resource for Shows {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let last = opening.headers().get("X-Last");
        let accept = Accept::new().data(shown(opening.cookie("id"), last, opening.origin()));
        if !self.later {
            return Ok(accept);
        }
        let (waits, decision) = Accept::later();
        decision.decide(Ok(accept));
        Ok(waits)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        client.send_text(client.data::<String>().unwrap()).unwrap();
        let last = client.headers().get("X-Last");
        let kept = shown(client.cookie("id"), last, client.origin());
        client.send_text(&format!("{kept} {}", client.headers_truncated())).unwrap();
        Ok(())
    }
}

/// Connects with a cookie of that size: what `accept` saw, and what is kept.
#[track_caller]
fn expect(server: &Running, size: usize, accept: &str, kept: &str) {
    let cookie = format!("id={}", "c".repeat(size));
    let request = ClientRequest::new(Version::Rfc6455, "ws://localhost/").header("Cookie", &cookie);
    let request = request.header("X-Last", "last").origin("http://here.example");
    let mut peer = Peer::open(server.tcp(), Version::Rfc6455, request).unwrap();
    assert_eq!((peer.next(), peer.next()), (text(accept), text(kept)));
}

const ORIGIN: &str = "Some(\"http://here.example\")";
const LAST: &str = "Some(\"last\")";

fn a_long_one_is_not_kept(config: Config) {
    let server = Running::start(config, Arc::new(Shows { later: false }));
    expect(&server, 100, &format!("Some(100) {LAST} {ORIGIN}"), &format!("Some(100) {LAST} {ORIGIN} false"));
    expect(&server, 10_000, &format!("Some(10000) {LAST} {ORIGIN}"), &format!("None {LAST} {ORIGIN} true"));
}

fn as_many_as_are_configured(config: Config) {
    let server = Running::start(config.clone().max_kept_headers(16_384), Arc::new(Shows { later: false }));
    expect(
        &server,
        10_000,
        &format!("Some(10000) {LAST} {ORIGIN}"),
        &format!("Some(10000) {LAST} {ORIGIN} false"),
    );
    for none in [config.clone().max_kept_headers(0), config.keep_headers(false)] {
        let server = Running::start(none, Arc::new(Shows { later: false }));
        expect(&server, 10, &format!("Some(10) {LAST} {ORIGIN}"), "None None None true");
    }
}

fn decided_later(config: Config) {
    let server = Running::start(config, Arc::new(Shows { later: true }));
    expect(&server, 10_000, &format!("Some(10000) {LAST} {ORIGIN}"), &format!("None {LAST} {ORIGIN} true"));
}
