//! The request headers that `accept` sees, and the headers that are kept while the client is
//! connected.

use std::sync::Arc;

use crate::common::{Peer, Running, text};
use clws_handshake::client::ClientRequest;
use clws_server::{Accept, Client, Close, Config, Opening, Reject, Resource, Version};

in_both_modes!(long_headers_are_not_kept, the_kept_size_is_configurable, a_late_decision_sees_all_headers);

/// Sends the headers that `accept` saw and the kept headers.
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

/// Connects with a cookie of `size` bytes. Checks the headers that `accept` saw and the kept
/// headers.
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

fn long_headers_are_not_kept(config: Config) {
    let server = Running::start(config, Arc::new(Shows { later: false }));
    expect(&server, 100, &format!("Some(100) {LAST} {ORIGIN}"), &format!("Some(100) {LAST} {ORIGIN} false"));
    expect(&server, 10_000, &format!("Some(10000) {LAST} {ORIGIN}"), &format!("None {LAST} {ORIGIN} true"));
}

fn the_kept_size_is_configurable(config: Config) {
    let server = Running::start(config.clone().max_kept_headers(16_384), Arc::new(Shows { later: false }));
    expect(
        &server,
        10_000,
        &format!("Some(10000) {LAST} {ORIGIN}"),
        &format!("Some(10000) {LAST} {ORIGIN} false"),
    );
    for config in [config.clone().max_kept_headers(0), config.keep_headers(false)] {
        let server = Running::start(config, Arc::new(Shows { later: false }));
        expect(&server, 10, &format!("Some(10) {LAST} {ORIGIN}"), "None None None true");
    }
}

fn a_late_decision_sees_all_headers(config: Config) {
    let server = Running::start(config, Arc::new(Shows { later: true }));
    expect(&server, 10_000, &format!("Some(10000) {LAST} {ORIGIN}"), &format!("None {LAST} {ORIGIN} true"));
}
