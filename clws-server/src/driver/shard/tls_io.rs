//! The socket of a connection with TLS.

use std::io;

use clws_proto::Input;

use crate::connection::Connection;
use crate::connection::share::WriteShare;
use crate::driver::drive::Read;
use crate::driver::read_buffers::ReadSizer;
use crate::driver::shard::flags::Flags;
use crate::driver::shard::secure::SlotTls;
use crate::driver::shard::socket_io::SocketIo;
use crate::guard::{Nowhere, guard_other};
use crate::net::tls::session::InputEnd;
use crate::net::transport::Flushed;
use crate::stats::counters::Counters;

/// The most ciphertext that is read to be discarded at once.
const DISCARDED: usize = 64 * 1024;

impl SocketIo<'_> {
    /// Reads ciphertext once, and decrypts it into the read buffer.
    pub(super) fn read_tls(&mut self, connection: &Connection) -> Read<'_> {
        let little = self.reads_little(connection);
        let started = self.secure.handshake_started();
        let SlotTls { transport: Some(transport), buffers, config, .. } = &mut self.secure else {
            return Read::Nothing;
        };
        if let Some(end) = transport.take_end() {
            return self.input_ends(end);
        }
        if transport.has_input_ended() {
            return self.discard_input();
        }
        let read_sizer = if little { ReadSizer::default() } else { *self.read_sizer };
        let plain = self.read_buffers.lend(read_sizer);
        let (incoming, held) = transport.lend(buffers, plain.len());
        let space = incoming.get_mut(held..).unwrap_or_default();
        let size = space.len();
        let count = match self.socket.read(space) {
            Ok(count) => count,
            Err(error) => return self.failed(error),
        };
        if count == 0 {
            let is_handshaking = transport.is_handshaking();
            self.note_read(0, size);
            self.tap.read(*self.flags, &[]);
            if is_handshaking {
                // Nothing can be written either, such as the answer to a client that is refused.
                return Read::Failed(io::ErrorKind::UnexpectedEof.into());
            }
            return Read::Truncated;
        }
        let incoming = incoming.get_mut(..held + count).unwrap_or_default();
        // A config of the application may contain code.
        let decrypted =
            guard_other(config.debug_on(), "TLS", &Nowhere, || transport.receive(incoming, plain));
        let decrypted = decrypted.unwrap_or_else(|| {
            transport.fail();
            0
        });
        self.tap.read_some(*self.flags, plain.get(..decrypted).unwrap_or_default());
        let has_end = transport.has_end();
        if let Some(started) = started {
            self.secure.handshake_paused(started);
        }
        self.note_read(count, size);
        if has_end {
            // The next read reports it, even if no more bytes come.
            self.flags.set(Flags::READABLE, true);
        }
        self.read_sizer.note(count);
        if decrypted == 0 {
            return Read::Consumed;
        }
        let (buffer, range) = self.read_buffers.read(read_sizer, decrypted);
        Read::Input(Input::Owned(buffer, range))
    }

    fn input_ends(&mut self, end: InputEnd) -> Read<'static> {
        match end {
            InputEnd::Closed => {
                self.tap.read(*self.flags, &[]);
                Read::End
            }
            InputEnd::Failed(error) => {
                self.tap.reset(*self.flags);
                Read::TlsFailed(io::Error::new(io::ErrorKind::InvalidData, error))
            }
            InputEnd::PlainHttp => Read::PlainHttp,
        }
    }

    /// Reads and discards input, so that no reset destroys our last bytes.
    fn discard_input(&mut self) -> Read<'static> {
        let SlotTls { buffers, .. } = &mut self.secure;
        let space = buffers.space(DISCARDED);
        let size = space.len();
        match self.socket.read(space) {
            Ok(count) => {
                self.note_read(count, size);
                if count == 0 { Read::End } else { Read::Consumed }
            }
            Err(error) => self.failed(error),
        }
    }

    /// Writes what is encrypted, then encrypts and writes the connection's output.
    pub(super) fn transmit_tls(
        &mut self,
        connection: &mut Connection,
        counters: &Counters,
    ) -> io::Result<()> {
        let (mut share, mut written) = (WriteShare::new(), 0);
        let result = loop {
            if !self.flush_tls()? {
                break Ok((false, true));
            }
            let Some(transport) = &mut self.secure.transport else { break Ok((true, false)) };
            if transport.is_handshaking() {
                break Ok((true, false)); // the end of the handshake continues
            }
            let buffers = &mut *self.secure.buffers;
            // A request is parsed before anything is queued for its client.
            let keeps_queue = !connection.is_opening();
            let mut count = 0;
            let all = connection.transmit(&mut |slices| {
                let mut write = |bytes: &[u8]| self.socket.write(&[io::IoSlice::new(bytes)]);
                let taken = share.write(|| transport.write(slices, keeps_queue, buffers, &mut write))?;
                self.tap.written(*self.flags, slices, taken);
                count += taken;
                Ok(taken)
            });
            written += count;
            match all {
                Err(error) => break Err(error),
                Ok(all) if all || share.was_cut() => break Ok((all, false)),
                Ok(_) if count == 0 && !transport.has_pending() => break Ok((true, false)),
                Ok(_) => {}
            }
        };
        counters.note_written(written);
        let (all, is_blocked) = result?;
        self.flags.set(Flags::BLOCKED, is_blocked);
        self.flags.set(Flags::UNFLUSHED, !all && !is_blocked);
        Ok(())
    }

    /// Writes what is encrypted. Returns whether the socket took all of it.
    fn flush_tls(&mut self) -> io::Result<bool> {
        let Some(transport) = &mut self.secure.transport else { return Ok(true) };
        let flushed = transport.flush(&mut |bytes| self.socket.write(&[io::IoSlice::new(bytes)]))?;
        if flushed == Flushed::End {
            self.socket.shutdown_write();
        }
        Ok(flushed != Flushed::Blocked)
    }

    /// Ends our side with a `close_notify`.
    pub(super) fn end_tls(&mut self) {
        let SlotTls { transport: Some(transport), buffers, .. } = &mut self.secure else { return };
        transport.end(buffers);
        self.flush_last();
    }

    /// Sends a `close_notify` before the socket is dropped.
    #[cold]
    pub(super) fn finish_tls(&mut self) {
        let SlotTls { transport: Some(transport), buffers, .. } = &mut self.secure else { return };
        transport.close(buffers);
        self.flush_last();
    }

    fn flush_last(&mut self) {
        match self.flush_tls() {
            Ok(all) => self.flags.set(Flags::BLOCKED, !all),
            Err(_) => self.write_failed_tls(),
        }
    }

    /// The next read reports the error.
    fn write_failed_tls(&mut self) {
        self.flags.set(Flags::READABLE | Flags::HANGUP, true);
    }
}
