//! The example `rooms_auth`, tested with the example `client`.

use crate::common::{Program, connected, once, serve};

const ROOMS_AUTH: &str = env!("CARGO_BIN_EXE_rooms_auth");

/// Connects a member of a room.
#[track_caller]
fn enter(url: &str, room: &str, session: &str, args: &[&str]) -> Program {
    let cookie = format!("session={session}");
    let fixed = ["--subprotocol", "rooms.v1", "--cookie", &cookie];
    connected(&format!("{url}/rooms/{room}"), &[&fixed, args].concat())
}

#[test]
fn members_receive_only_the_messages_of_their_room() {
    for version in ["0", "7", "8", "13"] {
        // One server per version: departures of the previous members may arrive late.
        let (_server, url) = serve(ROOMS_AUTH, &[]);
        let mut anna = enter(&url, "lobby", "anna-1", &["--version", version]);
        assert_eq!(anna.line(), "< text 12 anna is here");
        let elsewhere = enter(&url, "attic", "anna-1", &[]);
        assert_eq!(elsewhere.line(), "< text 12 anna is here");
        let mut ben = enter(&url, "lobby", "ben-2", &[]);
        assert_eq!(ben.line(), "< text 11 ben is here");
        assert_eq!(anna.line(), "< text 11 ben is here");

        anna.say("hello \u{1f600}");
        assert_eq!(ben.line(), "< text 16 anna: hello \u{1f600}");
        assert_eq!(anna.line(), "> text 10 hello \u{1f600}");
        assert_eq!(anna.line(), "< text 16 anna: hello \u{1f600}");
        ben.say("/close");
        assert_eq!(anna.line(), "< text 12 ben has left");

        let (status, lines) = elsewhere.finish();
        assert!(status.success());
        assert_eq!(lines, ["> close 1000", "< close 1000"], "the attic receives nothing from the lobby");
    }
}

#[test]
fn selects_the_subprotocol() {
    let (_server, url) = serve(ROOMS_AUTH, &[]);
    let client = crate::common::client(
        &format!("{url}/rooms/lobby"),
        &["--subprotocol", "other", "--subprotocol", "rooms.v1", "--header", "Authorization: Bearer ben-2"],
    );
    assert_eq!(client.line(), "connected, version 13, subprotocol rooms.v1");
}

#[test]
fn explains_why_a_client_is_rejected() {
    let (_server, url) = serve(ROOMS_AUTH, &[]);
    let protocol = ["--subprotocol", "rooms.v1"];
    let anna = ["--cookie", "session=anna-1"];
    let ben = ["--cookie", "other=1; session=ben-2"];
    let gone = ["--cookie", "session=anna-0"];
    let page = ["--origin", "http://evil.example"];
    for (room, args, error) in [
        ("lobby", [&anna[..], &[]], "400 Bad Request: offer the subprotocol rooms.v1"),
        ("", [&protocol, &anna], "400 Bad Request: a room's name is letters, digits and hyphens"),
        ("a/b", [&protocol, &anna], "400 Bad Request: a room's name is letters, digits and hyphens"),
        ("lobby", [&protocol, &[]], "401 Unauthorized: log in first: there is no cookie `session`"),
        ("lobby", [&protocol, &gone], "401 Unauthorized: this session is unknown or expired"),
        ("attic", [&protocol, &ben], "403 Forbidden: this room is not open to you"),
    ] {
        let (good, said) = once(&format!("{url}/rooms/{room}"), "x", &args.concat());
        assert!(!good);
        assert_eq!(said, format!("! client: the server answered {error}"));
    }
    let (good, said) = once(&format!("{url}/rooms/lobby"), "x", &[&protocol[..], &anna, &page].concat());
    assert!(!good && said.contains("403 Forbidden"), "a foreign page must not use anna's cookie: {said}");
    let (good, said) = once(&format!("{url}/"), "x", &[]);
    assert!(!good && said.contains("404 Not Found"), "{said}");
}
