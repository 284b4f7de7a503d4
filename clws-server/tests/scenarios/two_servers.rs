//! Two servers in one process do not affect each other.

use crate::common::{Probe, Received, Running, config, text};
use clws_server::{Config, Origins, Version};

in_both_modes!(have_separate_resources_limits_and_ends);

fn have_separate_resources_limits_and_ends(config: Config) {
    let (probe, _recorder) = Probe::with(|client, _| {
        let _ = client.send_text("the first");
    });
    let first = Running::start(config.clone().max_clients(1), probe);
    let (probe, _recorder) = Probe::with(|client, _| {
        let _ = client.send_text("the second");
    });
    let second = Running::start(config, probe);
    // A path of one server is not a path of the other.
    let (probe, _recorder) = Probe::new();
    second.handle.resources().register_shared("/more", Origins::any(), probe).unwrap();
    assert_eq!(first.try_connect(Version::Rfc6455, "/more").map(drop), Err(404));
    first.wait_for_clients(0);

    // Clients of one server are not clients of the other.
    let mut one = first.connect(Version::Rfc6455, "/");
    let mut two = second.connect(Version::Rfc6455, "/");
    let mut more = second.connect(Version::Rfc6455, "/more");
    assert_eq!(first.try_connect(Version::Rfc6455, "/").map(drop), Err(503));
    assert_eq!((first.handle.clients(), second.handle.clients()), (1, 2));
    one.text("?");
    two.text("?");
    assert_eq!((one.next(), two.next()), (text("the first"), text("the second")));

    // The end of one server is not the end of the other.
    first.handle.stop();
    assert!(matches!(one.next(), Received::Close(Some((1001, _)))));
    one.finish();
    first.wait().unwrap();
    two.text("?");
    assert_eq!(two.next(), text("the second"));
    more.assert_echo("still here");
}

/// Memory held by one server's clients does not count for the other server.
#[test]
fn have_separate_memory_budgets() {
    let (probe, _recorder) = Probe::new();
    let small = Running::start(config().max_buffered(1 << 20), probe);
    let (probe, recorder) = Probe::new();
    let big = Running::start(config(), probe);
    let mut holder = big.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    // The client does not read, so data beyond the socket buffers stays in the outbox.
    for _ in 0..16 {
        client.send_binary(&vec![0; 1 << 20]).unwrap();
    }
    assert!(big.handle.buffered() > 4 << 20, "{}", big.handle.buffered());
    assert_eq!(small.handle.buffered(), 0);
    small.connect(Version::Rfc6455, "/").assert_echo("memory is free");
    assert_eq!(small.handle.dropped_for_memory(), 0);
    for _ in 0..16 {
        assert_eq!(holder.next(), Received::Binary(vec![0; 1 << 20]));
    }
}
