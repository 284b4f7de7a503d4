//! The thread that writes the files of recordings.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use crate::capture::event::{Event, EventContent, Start};
use crate::capture::packet::{ACK, FIN, MAX_PAYLOAD, PSH, RST, SYN, Segment};
use crate::capture::pcapng;
use crate::capture::queue::Writing;
use crate::capture::recording::Side;
use crate::guard::log;
use crate::sync::atomic::Ordering;
use crate::time::{now, system_time};

pub(super) struct Writer {
    directory: PathBuf,
    writing: Arc<Writing>,
    files: HashMap<usize, RecordingFile>,
    clock: Clock,
}

/// Times of files, which are since 1970.
struct Clock {
    /// A moment, and its time since 1970.
    base: (Instant, Duration),
}

/// An open file, with the positions of both sides in the streams of the connection.
struct RecordingFile {
    path: PathBuf,
    file: BufWriter<File>,
    client: End,
    server: End,
    /// The blocks of one event.
    blocks: Vec<u8>,
}

/// One side of the connection.
struct End {
    address: SocketAddr,
    /// The sequence number of its next byte.
    next: u32,
    has_ended: bool,
}

impl Writer {
    pub(super) fn new(directory: PathBuf, writing: Arc<Writing>) -> Self {
        let since = system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { directory, writing, files: HashMap::new(), clock: Clock { base: (now(), since) } }
    }

    /// Writes until the server and its recordings are gone.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Event>) {
        loop {
            let event = match queue.try_recv() {
                Ok(event) => event,
                Err(_) => {
                    // Nothing waits: a reader of the files sees everything.
                    self.flush();
                    let Ok(event) = queue.recv() else { return };
                    event
                }
            };
            let queued = event.content.queued();
            self.handle(event);
            self.writing.queued.fetch_sub(queued, Ordering::Relaxed);
        }
    }

    fn handle(&mut self, event: Event) {
        let Event { id, at, missing, content } = event;
        let at = self.clock.since_1970(at);
        let result = match content {
            EventContent::Flush(signal) => {
                self.flush();
                return signal.give();
            }
            // After a failure, no file is complete.
            _ if self.writing.failed.load(Ordering::Relaxed) => return,
            EventContent::Start(start) => RecordingFile::create(&self.directory, at, &start)
                .map(|file| drop(self.files.insert(id, file))),
            EventContent::Over => return self.finish(id),
            content => {
                let Some(file) = self.files.get_mut(&id) else { return };
                let is_last = matches!(content, EventContent::Dropped);
                let written = file.write(at, missing, &content).map_err(|error| file.error(&error));
                if is_last {
                    self.finish(id);
                }
                written
            }
        };
        if let Err(error) = result {
            self.fail(&error);
        }
    }

    fn finish(&mut self, id: usize) {
        if let Some(mut file) = self.files.remove(&id)
            && let Err(error) = file.file.flush()
        {
            self.fail(&file.error(&error));
        }
    }

    fn flush(&mut self) {
        let failed = self.files.values_mut().find_map(|file| match file.file.flush() {
            Ok(()) => None,
            Err(error) => Some(file.error(&error)),
        });
        if let Some(error) = failed {
            self.fail(&error);
        }
    }

    /// Ends all recordings.
    fn fail(&mut self, error: &io::Error) {
        self.writing.failed.store(true, Ordering::Relaxed);
        self.files.clear();
        log(|| tracing::error!("recording connections ends: {error}"));
    }
}

impl Clock {
    fn since_1970(&self, at: Instant) -> Duration {
        let (base, since) = self.base;
        match at.checked_duration_since(base) {
            Some(later) => since + later,
            None => since.saturating_sub(base.saturating_duration_since(at)),
        }
    }
}

impl RecordingFile {
    fn create(directory: &Path, at: Duration, start: &Start) -> io::Result<Self> {
        // Servers of one process may share the directory.
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("clws-{}-{}-{number:06}.pcapng", at.as_secs(), std::process::id());
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let file = options.open(&path).map_err(named)?;
        log(|| tracing::info!(client = %start.client, file = %path.display(), "a connection is recorded"));
        let end = |address| End { address, next: 0, has_ended: false };
        let mut file = Self {
            path,
            file: BufWriter::new(file),
            client: end(start.client),
            server: end(start.server),
            blocks: Vec::new(),
        };
        let comment = "Recorded by a WebSocket server. The addresses are those of the connection, as far as \
            they are known. The headers of IP and TCP are made up.";
        pcapng::write_header(&mut file.blocks, &format!("{comment} {}", start.note));
        file.packet(at, Side::Client, SYN, &[], None);
        file.packet(at, Side::Server, SYN | ACK, &[], None);
        file.packet(at, Side::Client, ACK, &[], None);
        file.write_blocks().map_err(|error| file.error(&error))?;
        Ok(file)
    }

    fn write(&mut self, at: Duration, missing: [u32; 2], content: &EventContent) -> io::Result<()> {
        for (side, missing) in [Side::Client, Side::Server].into_iter().zip(missing) {
            if missing > 0 {
                let end = self.end(side);
                end.next = end.next.wrapping_add(missing);
                let comment = format!("{missing} bytes are missing: the queue was full");
                self.packet(at, side, ACK, &[], Some(&comment));
            }
        }
        match content {
            EventContent::Bytes(side, bytes) => {
                for part in bytes.chunks(MAX_PAYLOAD) {
                    self.packet(at, *side, PSH | ACK, part, None);
                }
            }
            EventContent::End(side) => self.finish(at, *side, FIN),
            EventContent::Reset(side) => self.finish(at, *side, RST),
            EventContent::Dropped if self.client.has_ended => self.finish(at, Side::Server, FIN),
            EventContent::Dropped => self.finish(at, Side::Server, RST),
            EventContent::Start(_) | EventContent::Over | EventContent::Flush(_) => {}
        }
        self.write_blocks()
    }

    /// Writes the end of a side, once.
    fn finish(&mut self, at: Duration, side: Side, flag: u8) {
        let end = self.end(side);
        if !std::mem::replace(&mut end.has_ended, true) || flag == RST {
            self.packet(at, side, flag | ACK, &[], None);
        }
    }

    fn packet(&mut self, at: Duration, from: Side, flags: u8, payload: &[u8], comment: Option<&str>) {
        let (sender, receiver) = match from {
            Side::Client => (&mut self.client, &self.server),
            Side::Server => (&mut self.server, &self.client),
        };
        let segment = Segment {
            from: sender.address,
            to: receiver.address,
            sequence: sender.next,
            acknowledgment: receiver.next,
            flags,
            payload,
        };
        let mut packet = Vec::new();
        segment.write(&mut packet);
        let length = u32::try_from(payload.len()).unwrap_or(0) + u32::from(flags & (SYN | FIN) != 0);
        sender.next = sender.next.wrapping_add(length);
        pcapng::write_packet(&mut self.blocks, at, &packet, comment);
    }

    fn write_blocks(&mut self) -> io::Result<()> {
        self.file.write_all(&self.blocks)?;
        self.blocks.clear();
        Ok(())
    }

    const fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn error(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }
}
