//! The example `with_hyper`, over HTTP/1.1. The browser checks of the gate test it over HTTP/2.

use crate::common::{Program, connected, once};

#[test]
fn echoes_in_the_versions_of_hybi() {
    let server = Program::start(env!("CARGO_BIN_EXE_with_hyper"), &["--listen", "127.0.0.1:0", "--http2"]);
    let line = server.until("listening on http://");
    let url = format!("{}echo", line.trim_start_matches("listening on ").replacen("http", "ws", 1));
    for version in ["7", "8", "13"] {
        assert_eq!(once(&url, "hello", &["--version", version]), (true, "hello".to_owned()), "{version}");
    }
    for (version, status) in [("75", "400"), ("0", "426")] {
        let (succeeded, text) = once(&url, "hello", &["--version", version]);
        assert!(!succeeded && text.contains(status), "{text}");
    }
    let mut client = connected(&url, &[]);
    client.say(&format!("/binary {}", "00 ff ".repeat(1000)));
    client.until("< binary 2000 ");
    client.say("/ping x");
    client.until("< pong 1 x");
    assert!(client.finish().0.success());
}
