//! Recordings of clients that come through another HTTP server.
#![cfg(feature = "testing")]

use clws_server::capture::{Answer, Capture, Recording};
use clws_server::testing::TestServer;
use clws_server::{Accept, Client, Opening, Origins, Reject, Resource, Server, Text};
use http::Request;

use crate::common::{Received, config, eventually, within};
use crate::upgrade::{connect, request, upgrade};

/// Echoes, and records its clients if it is asked to.
struct Taped(bool);

impl Resource for Taped {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        Ok(if self.0 { Accept::new().capture() } else { Accept::new() })
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text);
    }
}

#[test]
fn a_recording_has_a_handshake_of_http_1_1() {
    let h2 = Request::builder().method("CONNECT").version(http::Version::HTTP_2).uri("https://server/");
    let h2 = h2.header("sec-websocket-version", "13").body(()).unwrap();
    let http_1 = request("/").body(()).unwrap();
    for (index, (request, by_resource)) in
        [(&http_1, false), (&http_1, true), (&h2, false), (&h2, true)].into_iter().enumerate()
    {
        let directory = std::env::temp_dir().join(format!("clws-upgrade-{}-{index}", std::process::id()));
        let capture = Capture::new(&directory);
        let capture = if by_resource { capture } else { capture.peers(|_| true) };
        let server = Server::builder(config()).capture(capture).bind().unwrap();
        server.resources().register("/", Origins::any(), Taped(by_resource)).unwrap();
        let handle = server.handle();
        let mut peer = connect(upgrade(&handle, request).unwrap().1);
        peer.assert_echo("hello");
        peer.close(1000, "");
        while peer.next() != Received::End {}
        eventually("the end", || handle.clients() == 0);
        within(handle.flush_captures());

        let file = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
        let recording = Recording::open(file).unwrap();
        let replayer = TestServer::new(config()).unwrap();
        replayer.resources().register("/", Origins::any(), Taped(false)).unwrap();
        let replayed = replayer.replay(&recording).unwrap();
        assert_eq!(replayed.difference(), None);
        let answers = [Answer::Text("hello".into()), Answer::Close(1000, String::new())];
        assert_eq!(replayed.recorded.answers, answers);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
