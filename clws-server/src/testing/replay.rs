//! Replaying a recorded connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::capture::recording::{Content, Recording, Side};
use crate::capture::transcript::Transcript;
use crate::config::address::Peer;
use crate::signal::Signal;
use crate::testing::error::TestError;
use crate::testing::host::{Host, UNFINISHED};
use crate::testing::pipe::Pipe;
use crate::testing::wait::wait;

/// The time in which the answers of the recording must come before the next bytes of the client are
/// sent. It matters only if the server answers less than in the recording.
const PACE: Duration = Duration::from_secs(5);

/// The result of [`TestServer::replay`](crate::testing::TestServer::replay).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Replayed {
    /// All bytes that came out of the server.
    pub output: Vec<u8>,
    /// The same, decoded.
    pub transcript: Transcript,
    /// The answers in the recording.
    pub recorded: Transcript,
}

impl Replayed {
    /// The first difference between the recorded answers and the answers of the replay, in this
    /// order: see [`Transcript::difference`].
    #[must_use]
    pub fn difference(&self) -> Option<String> {
        self.recorded.difference(&self.transcript)
    }
}

/// A replay in progress.
struct Replay {
    stream: Pipe,
    output: Vec<u8>,
    output_ended: bool,
    input_ended: bool,
    /// The server takes no more bytes.
    refuses_input: bool,
    limit: Duration,
}

/// Sends the recorded bytes of the client, and collects the output.
pub(super) fn replay(host: &Host, recording: &Recording) -> Result<Replayed, TestError> {
    recording.check_gaps()?;
    let (stream, served) = host.open(Peer::Tcp(recording.client()))?;
    let mut replay = Replay {
        stream,
        output: Vec::new(),
        output_ended: false,
        input_ended: false,
        refuses_input: false,
        limit: host.hang_limit,
    };
    // The length of the recorded output so far.
    let mut expected = 0_usize;
    let mut is_in_step = true;
    for entry in recording.entries() {
        match (entry.from, &entry.content) {
            (Side::Server, Content::Bytes(bytes)) => expected = expected.saturating_add(bytes.len()),
            (Side::Server, Content::Missing(count)) => {
                expected = expected.saturating_add(usize::try_from(*count).unwrap_or(usize::MAX));
            }
            (Side::Server, Content::End | Content::Reset) => {}
            (Side::Client, content) => {
                is_in_step = is_in_step && replay.wait_for_output(expected, PACE);
                match content {
                    Content::Bytes(bytes) => replay.write(bytes)?,
                    Content::Missing(_) => {} // there is none
                    Content::End | Content::Reset => replay.input_ended = true,
                }
            }
        }
    }
    if is_in_step {
        replay.wait_for_output(expected, PACE);
    }
    replay.finish(&served)?;
    let transcript = Transcript::decode(&recording.bytes(Side::Client), &replay.output);
    Ok(Replayed { output: replay.output, transcript, recorded: recording.transcript() })
}

impl Replay {
    /// Waits until the output has that length. Returns false if it does not come.
    fn wait_for_output(&mut self, length: usize, limit: Duration) -> bool {
        let has_come = wait(limit.min(self.limit), |cx| {
            self.poll_output(cx);
            if self.output.len() >= length || self.output_ended { Poll::Ready(()) } else { Poll::Pending }
        });
        has_come.is_some() && self.output.len() >= length
    }

    /// Sends bytes, and reads meanwhile.
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), TestError> {
        let written = wait(self.limit, |cx| {
            while !bytes.is_empty() && !self.refuses_input {
                match self.stream.poll_write(cx, bytes) {
                    Poll::Ready(Ok(count @ 1..)) => bytes = bytes.get(count..).unwrap_or_default(),
                    Poll::Ready(_) => self.refuses_input = true,
                    Poll::Pending => {
                        self.poll_output(cx);
                        return Poll::Pending;
                    }
                }
            }
            Poll::Ready(())
        });
        written.ok_or(TestError::Hang { waited_for: "the server to read the recording", limit: self.limit })
    }

    /// Ends the client's side, reads the rest of the output, and waits until the server has
    /// finished with the connection.
    fn finish(&mut self, served: &Arc<Signal>) -> Result<(), TestError> {
        let mut served = served.wait();
        let finished = wait(self.limit, |cx| {
            self.stream.end(cx);
            self.poll_output(cx);
            Pin::new(&mut served).poll(cx)
        });
        finished.ok_or(TestError::Hang { waited_for: UNFINISHED, limit: self.limit })?;
        // What the server wrote last.
        wait(self.limit, |cx| {
            self.poll_output(cx);
            if self.output_ended { Poll::Ready(()) } else { Poll::Pending }
        });
        Ok(())
    }

    /// Reads what is there.
    fn poll_output(&mut self, cx: &mut Context<'_>) {
        if self.input_ended {
            self.stream.end(cx);
        }
        let mut buffer = [0; 16 * 1024];
        while !self.output_ended {
            match self.stream.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(count @ 1..)) => {
                    self.output.extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
                Poll::Ready(_) => self.output_ended = true,
                Poll::Pending => return,
            }
        }
    }
}
