//! The socket of a connection, with its shard's flags and counts for it.

use std::io;
#[cfg(feature = "capture")]
use std::net::SocketAddr;

use clws_proto::Input;

use crate::budget::{Budget, HOLD_BACK_ABOVE};
#[cfg(feature = "capture")]
use crate::capture::tap::Tap;
use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::share::WriteShare;
use crate::driver::drive::{Io, Read};
use crate::driver::read_buffers::{ReadBuffers, ReadSizer};
use crate::driver::shard::flags::Flags;
use crate::driver::shard::secure::SlotTls;
use crate::driver::shard::taps::SlotTap;
use crate::net::socket::Socket;
use crate::stats::counters::Counters;

/// About how many bytes are read from one socket before other sockets have their turn. A big
/// message is read and answered while it is in the processor's cache: with a quarter of this size,
/// an echo of 1 MiB cost a fifth more.
const READ_BUDGET: usize = 1 << 20;

pub(super) struct SocketIo<'a> {
    pub(super) socket: &'a Socket,
    pub(super) flags: &'a mut Flags,
    pub(super) read_sizer: &'a mut ReadSizer,
    pub(super) read_buffers: &'a mut ReadBuffers,
    memory: &'a Budget,
    /// Bytes that may still be read in this share.
    left: usize,
    /// The most bytes of one read.
    most: usize,
    pub(super) tap: SlotTap<'a>,
    /// The TLS session. Without one, the code below reads and writes the socket directly.
    #[cfg_attr(not(feature = "__tls"), expect(dead_code, reason = "there is no session"))]
    pub(super) secure: SlotTls<'a>,
}

impl<'a> SocketIo<'a> {
    #[inline]
    pub(super) fn new(
        socket: &'a Socket,
        flags: &'a mut Flags,
        read_sizer: &'a mut ReadSizer,
        read_buffers: &'a mut ReadBuffers,
        memory: &'a Budget,
        tap: SlotTap<'a>,
        secure: SlotTls<'a>,
    ) -> Self {
        Self { socket, flags, read_sizer, read_buffers, memory, left: 0, most: 0, tap, secure }
    }

    /// Permits the reads of one share.
    #[inline]
    pub(super) fn with_reads(self) -> Self {
        // One read, and a small one, while memory is short.
        let (left, most) =
            if self.memory.is_pressed() { (1, HOLD_BACK_ABOVE) } else { (READ_BUDGET, usize::MAX) };
        Self { left, most, ..self }
    }

    /// Whether the next read should be small.
    #[inline]
    pub(super) fn reads_little(&self, connection: &Connection) -> bool {
        connection.reads_little() || self.flags.has(Flags::LEFT_SOME) || self.most == HOLD_BACK_ABOVE
    }

    /// Records a read of `count` bytes into space for `size` bytes.
    #[inline]
    pub(super) fn note_read(&mut self, count: usize, size: usize) {
        self.left = self.left.saturating_sub(count);
        // A short read has emptied the socket, and later input is another edge. Only the end of the
        // stream may have been reported already.
        if count == 0 || (count < size && !self.flags.has(Flags::HANGUP)) {
            self.flags.set(Flags::READABLE, false);
        }
    }

    #[cold]
    pub(super) fn failed(&mut self, error: io::Error) -> Read<'static> {
        match error.kind() {
            io::ErrorKind::Interrupted => Read::Interrupted,
            io::ErrorKind::WouldBlock => {
                self.flags.set(Flags::READABLE, false);
                Read::Nothing
            }
            _ => {
                self.flags.set(Flags::READABLE, false);
                self.tap.reset(*self.flags);
                Read::Failed(error)
            }
        }
    }
}

impl Io for SocketIo<'_> {
    #[inline]
    fn is_readable(&self) -> bool {
        self.left > 0 && self.flags.has(Flags::READABLE)
    }

    #[inline]
    fn may_read(&mut self, connection: &Connection) -> bool {
        self.flags.admit_read(connection, self.memory)
    }

    #[inline]
    fn read(&mut self, connection: &mut Connection, context: &Context<'_>) -> Read<'_> {
        #[cfg(feature = "__tls")]
        if self.secure.transport.is_some() {
            return self.read_tls(connection);
        }
        let little = self.reads_little(connection);
        if let Some(room) = connection.spare_capacity(context) {
            let size = room.len().min(self.most);
            return match self.socket.read(room.get_mut(..size).unwrap_or_default()) {
                Ok(count) => {
                    self.tap.read(*self.flags, room.get(..count).unwrap_or_default());
                    self.note_read(count, size);
                    if count == 0 { Read::End } else { Read::Input(Input::Direct(count)) }
                }
                Err(error) => self.failed(error),
            };
        }
        let read_sizer = if little { ReadSizer::default() } else { *self.read_sizer };
        let buffer = self.read_buffers.lend(read_sizer);
        let size = buffer.len();
        match self.socket.read(buffer) {
            Ok(count) => {
                self.tap.read(*self.flags, buffer.get(..count).unwrap_or_default());
                self.note_read(count, size);
                if count == 0 {
                    return Read::End;
                }
                self.read_sizer.note(count);
                let (buffer, range) = self.read_buffers.read(read_sizer, count);
                Read::Input(Input::Owned(buffer, range))
            }
            Err(error) => self.failed(error),
        }
    }

    #[inline]
    fn handled(&mut self, connection: &Connection) {
        self.flags.set(Flags::LEFT_SOME, connection.has_unread());
    }

    #[inline]
    fn transmit(&mut self, connection: &mut Connection, counters: &Counters) -> io::Result<()> {
        #[cfg(feature = "__tls")]
        if self.secure.transport.is_some() {
            return self.transmit_tls(connection, counters);
        }
        let (mut share, mut written) = (WriteShare::new(), 0);
        let all = connection.transmit(&mut |slices| {
            share.write(|| self.socket.write(slices)).inspect(|&count| {
                self.tap.written(*self.flags, slices, count);
                written += count;
            })
        });
        counters.note_written(written);
        let all = all?;
        self.flags.set(Flags::BLOCKED, !all && !share.was_cut());
        self.flags.set(Flags::UNFLUSHED, !all && share.was_cut());
        Ok(())
    }

    #[cold]
    fn write_failed(&mut self) {
        self.flags.set(Flags::UNFLUSHED, false);
        self.flags.set(Flags::READABLE | Flags::HANGUP | Flags::BROKEN, true);
    }

    fn shutdown_write(&mut self) {
        self.tap.end(*self.flags);
        #[cfg(feature = "__tls")]
        if self.secure.transport.is_some() {
            return self.end_tls();
        }
        self.socket.shutdown_write();
    }

    #[cfg(feature = "__tls")]
    #[inline]
    fn finish(&mut self) {
        if self.secure.transport.is_some() {
            self.finish_tls();
        }
    }

    #[cfg(feature = "capture")]
    fn attach(&mut self, begin: &mut dyn FnMut(Option<SocketAddr>) -> Option<Tap>) {
        self.tap.attach(self.flags, || begin(self.socket.local_addr()));
    }

    #[inline]
    fn is_broken(&mut self, connection: &Connection) -> bool {
        self.flags.has(Flags::BROKEN)
            && !self.flags.has(Flags::UNFLUSHED)
            && !connection.wants_input()
            && !connection.can_continue()
    }
}
