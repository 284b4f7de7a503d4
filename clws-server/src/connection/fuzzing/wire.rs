//! The socket between the fuzzed connection and its peer.

use std::io;
use std::mem;

use clws_proto::Input;

use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::fuzzing::app::App;
use crate::connection::fuzzing::peer::Peer;
use crate::driver::drive::{Io, Read};

/// The most bytes of one read.
const READ: usize = 64 * 1024;

pub(super) struct Wire {
    pub(super) peer: Peer,
    app: App,
    /// All input of the connection, from the first byte on.
    pub(super) given: Vec<u8>,
    /// Bytes that have arrived and are not read.
    pub(super) here: usize,
    pub(super) readable: bool,
    end_seen: bool,
    pub(super) reset: bool,
    pub(super) broken: bool,
    /// Bytes that the peer still takes.
    pub(super) room: usize,
    shut: bool,
    /// How input is read: into lent buffers or owned ones, and how long they are.
    reads: u8,
    buffer: Vec<u8>,
}

impl Wire {
    pub(super) const fn new(peer: Peer, app: App, reads: u8) -> Self {
        Self {
            peer,
            app,
            given: Vec::new(),
            here: 0,
            readable: true,
            end_seen: false,
            reset: false,
            broken: false,
            room: usize::MAX,
            shut: false,
            reads,
            buffer: Vec::new(),
        }
    }

    /// The first `count` bytes that are here were read.
    fn take(&mut self, count: usize) {
        let start = self.peer.arrived - self.here;
        self.here -= count;
        // Input after the end was reported to the application is discarded.
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
        assert!(!connection.has_unread(), "it is read from while events are unread");
        if self.here == 0 {
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
        let start = self.peer.arrived - self.here;
        let most = if self.reads & 0x80 != 0 { 1 + usize::from(self.reads & 0x3F) } else { READ };
        let count = self.here.min(most);
        if self.reads & 0x40 == 0
            && let Some(room) = connection.spare_capacity(context)
        {
            let count = count.min(room.len());
            room[..count].copy_from_slice(&self.peer.wire[start..start + count]);
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

    fn transmit(&mut self, connection: &mut Connection) -> io::Result<()> {
        let all = connection.transmit(&mut |slices| {
            if self.broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let bytes = slices.iter().flat_map(|slice| slice.iter()).copied();
            let before = self.peer.read.len();
            self.peer.read.extend(bytes.take(self.room));
            let written = self.peer.read.len() - before;
            self.room = if self.room == usize::MAX { self.room } else { self.room - written };
            if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
        })?;
        assert_eq!(all, connection.queued() == 0);
        Ok(())
    }

    fn write_failed(&mut self) {
        self.readable = true;
    }

    fn shutdown_write(&mut self) {
        assert!(!mem::replace(&mut self.shut, true), "it ends its side twice");
    }

    fn is_broken(&mut self, connection: &Connection) -> bool {
        self.broken && !connection.wants_input() && !connection.can_continue()
    }
}
