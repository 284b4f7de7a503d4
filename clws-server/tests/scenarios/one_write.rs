//! All messages sent to a client during one event loop turn go out in one write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::common::{Probe, config, within};
use clws_handshake::client::ClientRequest;
use clws_proto::Sender;
use clws_server::{Origins, Peer, Server, Version};
use futures::io::{AsyncRead, AsyncWrite};

/// A stream with prepared input. It records each write separately.
struct Recording {
    input: io::Cursor<Vec<u8>>,
    writes: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsyncRead for Recording {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Read::read(&mut self.input, buffer))
    }
}

impl AsyncWrite for Recording {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>();
        let count = bytes.len();
        self.writes.lock().unwrap().push(bytes);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Serves a client that sends the texts at once and half-closes. Returns the server's writes.
fn writes(texts: &[&str]) -> Vec<Vec<u8>> {
    let server = Server::bind(config().listen("127.0.0.1:0")).unwrap();
    // Each text gets two answers.
    let (probe, _recorder) = Probe::with(|client, text| {
        let _ = client.send_text(text);
        let _ = client.send_binary(text.as_bytes());
    });
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    let request = ClientRequest::new(Version::Rfc6455, "ws://here.example/");
    let (mut input, _) = request.build(&mut |bytes: &mut [u8]| bytes.fill(7)).unwrap();
    let mut sender = Sender::client(Version::Rfc6455, || [1, 2, 3, 4]);
    for text in texts {
        sender.text(text, None).unwrap();
    }
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = sender.io_slices(&mut slices);
    slices[..filled].iter().for_each(|slice| input.extend_from_slice(slice));
    let writes = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let stream = Recording { input: io::Cursor::new(input), writes: Arc::clone(&writes) };
    within(server.handle().serve_stream(stream, Peer::Stream));
    writes.lock().unwrap().clone()
}

#[test]
fn answers_to_all_messages_of_a_read_share_a_write() {
    // A single read contains the request and the messages.
    let all = writes(&["one", "two", "three"]);
    assert!(all[0].starts_with(b"HTTP/1.1 101 "), "{all:?}");
    let answers: Vec<_> = ["one", "two", "three"]
        .iter()
        .flat_map(|text| {
            let frame = |first: u8| [&[first, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            [frame(0x81), frame(0x82)]
        })
        .flatten()
        .collect();
    let with_answers: Vec<_> =
        all.iter().filter(|write| write.windows(answers.len()).any(|part| part == answers)).collect();
    assert_eq!(with_answers.len(), 1, "the six messages are not in one write: {all:?}");
}
