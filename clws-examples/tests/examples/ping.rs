//! The example `ping`, tested with the example `client`, which answers pings.

use crate::common::{connected, once, serve};

const PING: &str = env!("CARGO_BIN_EXE_ping");

#[test]
fn pings_clients_and_reports_their_latency() {
    let (server, url) = serve(PING, &["--every", "0.05"]);
    for version in ["7", "8", "13"] {
        let mut client = connected(&url, &["--version", version]);
        for number in 0..3 {
            client.until(&format!("< ping 1 {number}"));
            client.until(&format!("> pong 1 {number}"));
            server.until(" rtt ");
        }
        client.say("how is it?");
        let report = client.until("< text");
        assert!(
            report.contains(" rtt ") && report.contains(", least ") && report.contains(", mean "),
            "{report}"
        );
        assert!(client.finish().0.success());
        server.until(" left: rtt ");
    }
}

#[test]
fn ignores_unsolicited_pongs() {
    let (server, url) = serve(PING, &["--every", "1000"]);
    let mut client = connected(&url, &[]);
    server.until(" rtt ");
    for unsolicited in ["/pong", "/pong 0", "/pong 1"] {
        client.say(unsolicited);
    }
    client.say("how is it?");
    let report = client.until("< text");
    assert!(report.ends_with(" of 1"), "{report}");
}

#[test]
fn explains_that_draft_0_has_no_pings() {
    let (server, url) = serve(PING, &["--every", "0.05"]);
    let (good, said) = once(&url, "how is it?", &["--version", "0"]);
    assert!(good);
    assert_eq!(said, "draft 0 has no pings, so your latency is unknown");
    server.until(" cannot be pinged: the client's version of the protocol has only text messages");
}
