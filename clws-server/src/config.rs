use std::num::NonZeroUsize;
use std::time::Duration;

use clws_handshake::Caps;
use clws_proto::Limits;

use crate::Listen;

/// Everything that can be set. CLWS's name stands beside it where CLWS has the same: `*max-clients*`.
///
/// The fields can be read; the methods of the same names set them.
///
/// | name | default | unit | beyond it |
/// |---|---|---|---|
/// | `listen` | `127.0.0.1:12345` | addresses | |
/// | `protocol_76_00_support` | off | | draft 0's clients get 426 |
/// | `max_clients` | 100,000 | connections | 503; dropped without it while 1,024 others are told so |
/// | `max_header_size` | 16 KiB | octets of a request head, which has at most 100 lines besides | 431 |
/// | `max_read_frame_size` | 16 MiB | octets of a frame's payload | close code 1009 |
/// | `max_read_message_size` | 16 MiB | octets of a message, all its fragments counted | 1009 |
/// | `max_fragments` | 131,072 | frames of a message | 1008 |
/// | `write_high_water` | 1 MiB | octets queued for a client | it is not read from until it reads |
/// | `max_write_backlog` | 64 MiB | octets queued for a client | [`SendError::Full`](crate::SendError::Full) |
/// | `backlog` | 1,024 | connections the system holds for us | the system makes them wait |
/// | `handshake_timeout` | 10 s | from connect to the end of the request | 408 |
/// | `close_timeout` | 5 s | from our close frame to theirs | the connection is dropped |
/// | `write_timeout` | 60 s | in which a client takes nothing of what is queued for it | the connection is dropped |
/// | `keepalive` | 60 s | of silence, from which on the system asks a TCP client whether it is there | the connection fails |
/// | `nodelay` | on | | |
/// | `keep_headers` | on | | headers are gone after `accept` |
/// | `shards` | one per processor | threads | |
/// | `task_per_client` | off | | |
///
/// ```
/// use std::time::Duration;
/// use clws_server::Config;
///
/// let config = Config::default()
///     .listen("127.0.0.1:0")
///     .listen("[::1]:0")
///     .protocol_76_00_support(true)
///     .max_clients(10_000)
///     .handshake_timeout(Duration::from_secs(3));
/// assert_eq!(config.max_clients, 10_000);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The addresses to listen on. None given: `127.0.0.1:12345`.
    pub listen: Vec<Listen>,
    /// Whether draft 0 (hixie-76, hybi-00) is spoken: `*protocol-76/00-support*`.
    pub protocol_76_00_support: bool,
    /// Connections at once, in any stage: `*max-clients*`.
    pub max_clients: usize,
    /// Octets of a request head: `*max-header-size*`.
    pub max_header_size: usize,
    /// Octets of one frame's payload: `*max-read-frame-size*`.
    pub max_read_frame_size: usize,
    /// Octets of one message, its final fragment counted: `*max-read-message-size*`.
    pub max_read_message_size: usize,
    /// Frames of one message.
    pub max_fragments: u32,
    /// Octets queued for a client from which on it is not read from, so that TCP slows it down, and sends say
    /// [`Sent::AboveHighWater`](crate::Sent::AboveHighWater).
    pub write_high_water: usize,
    /// Octets queued for a client from which on messages to it are refused: `*max-write-backlog*`. What is queued
    /// already stays, so at most this and one message are held.
    pub max_write_backlog: usize,
    /// Connections that the system holds until they are accepted.
    pub backlog: i32,
    /// How long a client may take for its request.
    pub handshake_timeout: Duration,
    /// How long a client may take to answer our close frame, and to end its side of the connection. As long as it still
    /// reads what was queued before, the time begins anew.
    pub close_timeout: Duration,
    /// How long a client for which something is queued may take nothing of it. Then it is dropped, so that one that
    /// never reads does not hold memory for ever.
    pub write_timeout: Duration,
    /// The silence from which on the system asks a TCP client whether it is still there (`SO_KEEPALIVE`), so that one
    /// whose machine or network is gone does not keep its place for ever. `None`: never.
    pub keepalive: Option<Duration>,
    /// Whether small frames are sent at once (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Whether [`Client::headers`](crate::Client::headers) has the request's headers, at the price of their size.
    pub keep_headers: bool,
    /// Threads that serve connections. `None`: one per processor. A zero in [`Config::shards`] is `None`.
    pub shards: Option<NonZeroUsize>,
    /// Whether each connection is served by a task of async-std in place of the shards. It is the way of systems
    /// without edge-triggered polling (Windows), and here for tests of it.
    pub task_per_client: bool,
}

/// The setters: each returns the config, to be chained.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl Config {
    /// Adds an address to listen on: `"127.0.0.1:0"`, `"[::1]:8080"`, `"localhost:80"`, `"unix:/run/clws.sock"`, or a
    /// `SocketAddr`.
    #[must_use]
    pub fn listen(mut self, address: impl Into<Listen>) -> Self {
        self.listen.push(address.into());
        self
    }

    /// Sets [`shards`](Self#structfield.shards); 0 is one per processor.
    #[must_use]
    pub const fn shards(mut self, shards: usize) -> Self {
        self.shards = NonZeroUsize::new(shards);
        self
    }

    setters! {
        /// Sets [`protocol_76_00_support`](Self#structfield.protocol_76_00_support).
        protocol_76_00_support: bool,
        /// Sets [`max_clients`](Self#structfield.max_clients).
        max_clients: usize,
        /// Sets [`max_header_size`](Self#structfield.max_header_size).
        max_header_size: usize,
        /// Sets [`max_read_frame_size`](Self#structfield.max_read_frame_size).
        max_read_frame_size: usize,
        /// Sets [`max_read_message_size`](Self#structfield.max_read_message_size).
        max_read_message_size: usize,
        /// Sets [`max_fragments`](Self#structfield.max_fragments).
        max_fragments: u32,
        /// Sets [`write_high_water`](Self#structfield.write_high_water).
        write_high_water: usize,
        /// Sets [`max_write_backlog`](Self#structfield.max_write_backlog).
        max_write_backlog: usize,
        /// Sets [`backlog`](Self#structfield.backlog).
        backlog: i32,
        /// Sets [`handshake_timeout`](Self#structfield.handshake_timeout).
        handshake_timeout: Duration,
        /// Sets [`close_timeout`](Self#structfield.close_timeout).
        close_timeout: Duration,
        /// Sets [`write_timeout`](Self#structfield.write_timeout).
        write_timeout: Duration,
        /// Sets [`keepalive`](Self#structfield.keepalive).
        keepalive: Option<Duration>,
        /// Sets [`nodelay`](Self#structfield.nodelay).
        nodelay: bool,
        /// Sets [`keep_headers`](Self#structfield.keep_headers).
        keep_headers: bool,
        /// Sets [`task_per_client`](Self#structfield.task_per_client).
        task_per_client: bool,
    }

    pub(crate) fn caps(&self) -> Caps {
        Caps::default().with_max_head_bytes(self.max_header_size).with_hixie(self.protocol_76_00_support)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits::default()
            .with_max_frame_size(self.max_read_frame_size)
            .with_max_message_size(self.max_read_message_size)
            .with_max_fragments(self.max_fragments)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            protocol_76_00_support: false,
            max_clients: 100_000,
            max_header_size: 16 * 1024,
            max_read_frame_size: 16 << 20,
            max_read_message_size: 16 << 20,
            max_fragments: 131_072,
            write_high_water: 1 << 20,
            max_write_backlog: 64 << 20,
            backlog: 1024,
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(60),
            keepalive: Some(Duration::from_secs(60)),
            nodelay: true,
            keep_headers: true,
            shards: None,
            task_per_client: false,
        }
    }
}
