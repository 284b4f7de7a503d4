//! The example `ping`, talked to by the example `client`, which answers pings.

use common::{connected, once, serve};

mod common;

const PING: &str = env!("CARGO_BIN_EXE_ping");

#[test]
fn clients_are_pinged_and_told_their_latency() {
    let (server, url) = serve(PING, &["--every", "0.05"]);
    for version in ["7", "8", "13"] {
        let mut client = connected(&url, &["--version", version]);
        for number in 0..3 {
            client.until(&format!("< ping 1 {number}"));
            client.until(&format!("> pong 1 {number}"));
            server.until(" rtt ");
        }
        client.say("how is it?");
        let told = client.until("< text");
        assert!(told.contains(" rtt ") && told.contains(", least ") && told.contains(", mean "), "{told}");
        assert!(client.finish().0.success());
        server.until(" left: rtt ");
    }
}

#[test]
fn pongs_that_answer_nothing_count_for_nothing() {
    let (server, url) = serve(PING, &["--every", "1000"]);
    let mut client = connected(&url, &[]);
    server.until(" rtt ");
    for unasked in ["/pong", "/pong 0", "/pong 1"] {
        client.say(unasked);
    }
    client.say("how is it?");
    let told = client.until("< text");
    assert!(told.ends_with(" of 1"), "{told}");
}

#[test]
fn draft_0_is_told_why_not() {
    let (server, url) = serve(PING, &["--every", "0.05"]);
    let (good, said) = once(&url, "how is it?", &["--version", "0"]);
    assert!(good);
    assert_eq!(said, "draft 0 has no pings: your latency cannot be told");
    server.until(" cannot be pinged: the client's version of the protocol has only text messages");
}
