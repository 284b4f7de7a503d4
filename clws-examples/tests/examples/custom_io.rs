//! The example `custom_io`, tested with the example `client`.

use crate::common::{Program, connected, once};

#[test]
fn echoes_in_every_version() {
    let server = Program::start(env!("CARGO_BIN_EXE_custom_io"), &["127.0.0.1:0"]);
    let line = server.until("listening on ");
    let url = line.trim_start_matches("listening on ");
    for version in ["75", "0", "7", "8", "13"] {
        assert_eq!(once(url, "hello", &["--version", version]), (true, "hello".to_owned()), "{version}");
    }
    let mut client = connected(url, &[]);
    client.say("/binary 00 ff");
    client.until("< binary 2 00 ff");
    client.say("/ping x"); // a pong may overtake messages, so none is in flight
    client.until("< pong 1 x");
    let (status, lines) = client.finish();
    assert!(status.success() && lines.last().is_some_and(|line| line == "< close 1000"), "{lines:?}");
}
