//! A client that keeps its TCP window closed gets the whole `write_timeout`. The shorter keepalive
//! limit does not apply to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Probe, Received, Running};
use clws_server::{Config, Version};

in_both_modes!(a_client_with_a_closed_window_gets_the_write_timeout);

/// The server notices a vanished client after 5 seconds: one of silence and four probes.
const KEEPALIVE: Duration = Duration::from_secs(1);
const WRITE_TIMEOUT: Duration = Duration::from_secs(9);

fn a_client_with_a_closed_window_gets_the_write_timeout(config: Config) {
    let config = config.tcp_keepalive(Some(KEEPALIVE)).write_timeout(WRITE_TIMEOUT);
    let (probe, recorder) = Probe::with(|client, text| {
        let message = vec![b'x'; text.parse().unwrap()];
        for _ in 0..50 {
            client.send_binary(&message).unwrap();
        }
    });
    let server = Running::start(config, probe);
    let reading = Arc::new(AtomicBool::new(true));
    let slow = thread::spawn({
        let mut peer = server.connect(Version::Rfc6455, "/");
        let reading = Arc::clone(&reading);
        move || {
            peer.text("1000000");
            for _ in 0..50 {
                assert!(matches!(peer.next(), Received::Binary(_)));
                if reading.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_secs(1));
                }
            }
        }
    });
    let mut silent = server.connect(Version::Rfc6455, "/");
    let started = Instant::now();
    silent.text("1000000");
    let (code, _, cause) = recorder.disconnected();
    // The socket buffer may have taken some data while the window was closed. Then the system times
    // out first.
    let causes = ["did not read what was sent", "failed: Connection timed out (os error 110)"];
    assert!(code == 1006 && causes.contains(&&*cause), "{code} {cause}");
    assert!(started.elapsed() >= WRITE_TIMEOUT, "{:?}", started.elapsed());

    // A client that reads slowly stays connected and gets everything.
    reading.store(false, Ordering::Relaxed);
    slow.join().unwrap();
}
