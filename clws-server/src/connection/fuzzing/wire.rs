//! The socket between the fuzzed connection and its peer.

use std::io;
use std::mem;

use clws_proto::Input;

use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::fuzzing::app::App;
use crate::connection::fuzzing::peer::Peer;
use crate::driver::drive::{Io, Read};
use crate::stats::counters::Counters;

/// The most bytes of one read.
const READ: usize = 64 * 1024;

pub(super) struct Wire {
    pub(super) peer: Peer,
    app: App,
    /// The connection's whole input.
    pub(super) given: Vec<u8>,
    /// Number of bytes that have arrived and are unread.
    pub(super) unread: usize,
    pub(super) readable: bool,
    end_seen: bool,
    pub(super) reset: bool,
    pub(super) broken: bool,
    /// Number of bytes that the peer can take.
    pub(super) space: usize,
    shut: bool,
    /// The kind and size of read buffers.
    reads: u8,
    buffer: Vec<u8>,
}

impl Wire {
    pub(super) const fn new(peer: Peer, app: App, reads: u8) -> Self {
        Self {
            peer,
            app,
            given: Vec::new(),
            unread: 0,
            readable: true,
            end_seen: false,
            reset: false,
            broken: false,
            space: usize::MAX,
            shut: false,
            reads,
            buffer: Vec::new(),
        }
    }

    /// Marks the first `count` unread bytes as read.
    fn take(&mut self, count: usize) {
        let start = self.peer.arrived - self.unread;
        self.unread -= count;
        // Input after `disconnected` is read and discarded.
        if self.app.recorder(|recorder| recorder.ended).is_none() {
            self.given.extend_from_slice(&self.peer.wire[start..start + count]);
        }
    }
}

impl Io for Wire {
    fn may_read(&mut self, _: &Connection) -> bool {
        self.readable
    }

    fn read(&mut self, connection: &mut Connection, context: &Context<'_>) -> Read<'_> {
        assert!(!connection.has_unread(), "a read while events are unread");
        if self.unread == 0 {
            self.readable = false;
            if self.reset {
                return Read::Failed(io::ErrorKind::ConnectionReset.into());
            }
            let has_ended = self.peer.ended && self.peer.arrived == self.peer.wire.len();
            if has_ended && !mem::replace(&mut self.end_seen, true) {
                return Read::End;
            }
            return Read::Nothing;
        }
        let start = self.peer.arrived - self.unread;
        let max = if self.reads & 0x80 != 0 { 1 + usize::from(self.reads & 0x3F) } else { READ };
        let count = self.unread.min(max);
        if self.reads & 0x40 == 0
            && let Some(space) = connection.spare_capacity(context)
        {
            let count = count.min(space.len());
            space[..count].copy_from_slice(&self.peer.wire[start..start + count]);
            self.take(count);
            return Read::Input(Input::Direct(count));
        }
        self.buffer = self.peer.wire[start..start + count].to_vec();
        self.take(count);
        Read::Input(if self.reads & 1 == 0 {
            Input::Owned(&mut self.buffer, 0..count)
        } else {
            Input::Lent(&mut self.buffer)
        })
    }

    fn handled(&mut self, _: &Connection) {}

    fn transmit(&mut self, connection: &mut Connection, counters: &Counters) -> io::Result<()> {
        let mut sent = 0;
        let all = connection.transmit(&mut |slices| {
            if self.broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let bytes = slices.iter().flat_map(|slice| slice.iter()).copied();
            let before = self.peer.read.len();
            self.peer.read.extend(bytes.take(self.space));
            let written = self.peer.read.len() - before;
            self.space = if self.space == usize::MAX { self.space } else { self.space - written };
            sent += written;
            if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
        });
        counters.note_written(sent);
        let all = all?;
        assert_eq!(all, connection.queued() == 0);
        Ok(())
    }

    fn write_failed(&mut self) {
        self.readable = true;
    }

    fn shutdown_write(&mut self) {
        assert!(!mem::replace(&mut self.shut, true), "shut down twice");
    }

    fn is_broken(&mut self, connection: &Connection) -> bool {
        self.broken && !connection.wants_input() && !connection.can_continue()
    }
}
