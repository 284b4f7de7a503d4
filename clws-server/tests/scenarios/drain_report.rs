//! The report of a drain: its numbers add up, whatever the clients and their drivers do.

use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use crate::common::wire::Wire;
use crate::common::{self, Peer, Probe, Running, TIMEOUT};
use clws_handshake::client::ClientRequest;
use clws_server::{CloseCode, Config, Drain, Peer as Address, Server, Version};
use futures::FutureExt;

in_both_modes!(each_client_is_counted_once);

const SHORT: Duration = Duration::from_millis(300);

/// Nothing polls the driver of the stream any more, for instance because its executor is busy.
#[cfg(unix)]
#[test]
fn a_client_whose_driver_has_not_seen_the_end_is_cut() {
    let server = Server::bind(common::config().listen("127.0.0.1:0")).unwrap();
    let (probe, recorder) = Probe::new();
    server.resources().register_shared("/", clws_server::Origins::any(), probe).unwrap();
    let (handle, running) = (server.handle(), Running::run(server));
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(TIMEOUT)).unwrap();
    let ours: async_std::os::unix::net::UnixStream = ours.into();
    let opening = thread::spawn(move || {
        Peer::open(theirs, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, "ws://server/")).unwrap()
    });
    let mut serving = Box::pin(handle.serve_stream(ours, Address::Stream));
    common::eventually("the handshake is done", || {
        serving.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending() && opening.is_finished()
    });
    let (_peer, _client) = (opening.join().unwrap(), recorder.connected());
    handle.drain(Drain::new().within(SHORT).spread(Duration::ZERO));
    let report = running.wait().unwrap();
    assert_eq!((report.closed, report.cut, report.lost), (0, 1, 0), "{report}");
}

fn each_client_is_counted_once(config: Config) {
    let (probe, recorder) = Probe::with(|client, text: &str| match text {
        "close" => client.close(CloseCode::NORMAL),
        "abort" => client.abort(),
        _ => panic!("{text}"),
    });
    let server = Running::start(config, probe);
    let peers: Vec<_> = (0..12).map(|_| Wire::connect(&server, "/")).collect();
    peers.iter().for_each(|_| drop(recorder.connected()));
    server.handle.drain(Drain::new().within(4 * SHORT).spread(SHORT));
    let mut silent = Vec::new();
    for (index, mut peer) in peers.into_iter().enumerate() {
        match index % 6 {
            0 => peer.text("close"),
            1 => peer.text("abort"),
            2 => peer.text("panic"),
            3 => {
                peer.reset();
                continue;
            }
            4 => {
                assert_eq!(peer.close_code(), Some(1001));
                peer.finish();
                continue;
            }
            _ => {}
        }
        silent.push(peer);
    }
    let report = server.wait().unwrap();
    assert_eq!((report.closed, report.cut, report.lost), (2, 4, 6), "{report}");
}
