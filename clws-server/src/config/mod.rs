//! The configuration of a server.

use std::num::NonZeroUsize;
use std::time::Duration;

use clws_handshake::{ForwardedHeader, HandshakeLimits};
#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
use clws_proto::{Limits, SlowPolicy};

use crate::config::address::Listen;
use crate::config::excess::Excess;
use crate::config::proxies::TrustedProxy;
use crate::guard::DebugOn;

pub(crate) mod address;
pub(crate) mod check;
mod check_address;
mod defaults;
pub(crate) mod error;
pub(crate) mod excess;
#[cfg(feature = "serde")]
mod file;
#[cfg(feature = "serde")]
mod file_value;
pub(crate) mod proxies;
mod setters;
mod trust;

/// The settings of a server. Names such as `*max-clients*` are those of the same settings in CLWS.
///
/// The fields can be read. The methods of the same names set them. The chapter
/// [limits](crate::guide::limits) explains the most important ones.
///
/// | field | default | unit | beyond it |
/// |---|---|---|---|
/// | `listen` | `127.0.0.1:12345` | addresses | |
/// | `protocol_76_00_support` | off | | clients of draft 0 get 426 |
/// | `protocol_75_support` | off | | clients of hixie-75 get 400 |
/// | `max_clients` | 100,000 | connections | 503; without waiting for the request if 1,024 others get it |
/// | `raise_descriptor_limit` | on | | fewer clients may fit |
/// | `max_header_size` | 16 KiB | bytes of a request head, which has at most 100 lines | 431, or 414 |
/// | `max_read_frame_size` | 16 MiB | bytes of a frame's payload | close code 1009 |
/// | `max_read_message_size` | 16 MiB | bytes of a message, all its fragments included | 1009 |
/// | `max_fragments` | 131,072 | frames of a message | 1008 |
/// | `write_high_water` | 1 MiB | bytes queued for a client | its messages wait until it has read half of the queue |
/// | `max_write_backlog` | 64 MiB | bytes queued for a client | [`SendError::Full`](crate::SendError::Full) |
/// | `slow_policy` | none | | |
/// | `max_buffered` | a quarter of the machine's memory, at least 64 MiB | bytes of memory for the unread input and output of all clients | clients that hold much are not read from; at the limit, the client that holds most is dropped |
/// | `max_handler_read_backlog` | 1 MiB | bytes of messages queued in a mailbox or a [`WebSocket`](crate::WebSocket), plus 64 for each | clients that send more are not read from until half is handled |
/// | `backlog` | 1,024 | connections that the system holds before they are accepted | the system delays them |
/// | `reuse_port` | off | | |
/// | `handshake_timeout` | 10 s | from the connect to the end of the request, and to the decision on it | 408, or 503 if the resource did not decide |
/// | `close_timeout` | 5 s | from our close frame to the client's | the connection is dropped |
/// | `write_timeout` | 60 s | in which a client reads none of its queued data, or less than `min_rate` | the connection is dropped |
/// | `ping_interval` | 20 s | of silence | the server pings the client |
/// | `ping_timeout` | 20 s | from the writing of the ping to the client's next byte | 1011 |
/// | `idle_timeout` | none | without a message | 1001 |
/// | `message_timeout` | 60 s | in which a message in progress does not advance, or by less than `min_rate` | 1008 |
/// | `min_rate` | 1 KiB | bytes per second, in `message_timeout` and in `write_timeout` | 1008 if the client sends more slowly; it is dropped if it reads more slowly |
/// | `tcp_keepalive` | 60 s | of silence before the system probes a TCP client | the connection fails after twice that time |
/// | `max_clients_per_ip` | any | connections of one address | 429, or 503 as for `max_clients` if 1,024 others are refused |
/// | `trusted_proxies` | none | addresses and networks | the peer of a connection is the client |
/// | `forwarded` | none | | headers about the client are ignored |
/// | `proxy_protocol` | off | | 400 for a trusted proxy that sends no header |
/// | `unix_mode` | the umask's | permission bits | |
/// | `ipv6_prefix` | 64 | first bits of an IPv6 address that count | |
/// | `max_handshakes` | 10,000 | connections whose request has not arrived | the oldest of them gets 503 |
/// | `max_messages_per_second` | any | messages of a client | they wait, or 1008: see `excess` |
/// | `max_bytes_per_second` | any | bytes of a client, received or inflated | the same |
/// | `excess` | wait | | |
/// | `max_control_frames_per_second` | any | pings and pongs of a client | the same |
/// | `send_buffer` | the system's | bytes that the system holds for a client | they are queued in the server |
/// | `max_unsent` | the system's | unsent bytes that the system takes for a client | the same |
/// | `nodelay` | on | | |
/// | `keep_headers` | on | | headers are dropped after `accept` |
/// | `max_kept_headers` | 4 KiB | bytes of headers kept for a client | headers that do not fit are dropped after `accept` |
/// | `deflate` | off (a feature) | see `DeflateConfig` | messages are not compressed |
/// | `policy_file` | none | bytes sent to Flash's `<policy-file-request/>` | 400 |
/// | `debug_on_resource_errors` | off | | a panic in a handler ends the process, for a debugger or a core dump |
/// | `debug_on_server_errors` | off | | a panic in the server ends the process |
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
///
/// With the feature `serde`, a config can be read from a file. Absent fields have their defaults.
/// Unknown fields and [invalid values](Self::check) are errors. Times are in seconds (`0.5` is half
/// a second), `tcp_keepalive = 0` means never, `shards = 0` means one per processor, and `listen` is a
/// list of strings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The addresses to listen on.
    ///
    /// If it is empty, [`Server::bind`](crate::Server::bind) listens on `127.0.0.1:12345`, and a
    /// [builder](crate::Server::builder) only on the listeners that it was given.
    pub listen: Vec<Listen>,
    /// Whether draft 0 (hixie-76, hybi-00) is supported: `*protocol-76/00-support*`.
    pub protocol_76_00_support: bool,
    /// Whether hixie-75 is supported, the draft of Chrome 4 and Safari 5.0.0.
    ///
    /// Its handshake has no challenge, so nothing proves that a WebSocket client wrote the request.
    /// That permits cross-protocol attacks, in which software for another protocol is made to send
    /// this request, or to accept this server's answer. Later drafts prevent them with keys. Enable
    /// it only for clients that support nothing newer, and restrict the [`Origins`](crate::Origins)
    /// of their resources.
    pub protocol_75_support: bool,
    /// The most connections, in any state: `*max-clients*`.
    ///
    /// Each connection takes a descriptor. If the process may not open enough of them
    /// (`RLIMIT_NOFILE`), the server accepts fewer clients and logs it: as a warning if this field
    /// was changed or under 1,000 clients are left, otherwise at the level INFO.
    /// [`ServerHandle::max_clients`](crate::ServerHandle::max_clients) has the number. The server
    /// leaves descriptors for everything that is open when it binds, for itself, for refusals, and
    /// for the application: 256, or an eighth of a low limit.
    ///
    /// [Streams](crate::ServerHandle::serve_stream) take no descriptor of the server and count only
    /// here. If the application uses up all descriptors, clients get 503 as well.
    pub max_clients: usize,
    /// Whether [`Server::bind`](crate::Server::bind) raises the soft limit of the process on
    /// descriptors (`RLIMIT_NOFILE`) for [`max_clients`](Self#structfield.max_clients).
    ///
    /// It raises the limit to the sum for all servers of the process, at most to the hard limit,
    /// and never lowers it. Programs that the process starts inherit the limit. It has no effect on
    /// Windows.
    pub raise_descriptor_limit: bool,
    /// The most bytes of a request head: `*max-header-size*`.
    pub max_header_size: usize,
    /// The most bytes of a frame's payload: `*max-read-frame-size*`.
    pub max_read_frame_size: usize,
    /// The most bytes of a message, the final fragment included: `*max-read-message-size*`.
    pub max_read_message_size: usize,
    /// The most frames of a message.
    pub max_fragments: u32,
    /// The number of queued bytes above which a client counts as slow.
    ///
    /// Sends then return [`Sent::AboveHighWater`](crate::Sent::AboveHighWater), and the client's
    /// messages wait, so that TCP slows the client down. The server checks it between two messages,
    /// so a client that asks for more than it reads still gets all its answers, one after the
    /// other.
    pub write_high_water: usize,
    /// The number of queued bytes above which messages to a client are refused:
    /// `*max-write-backlog*`.
    ///
    /// Queued messages stay. So the queue holds at most this many bytes and one message; forwarded
    /// messages may be in buffers of twice their length.
    pub max_write_backlog: usize,
    /// What happens to messages for a client that reads slowly. `None`, the default, means that a
    /// send above [`max_write_backlog`](Self#structfield.max_write_backlog) fails, and that a message
    /// to many then closes the client.
    ///
    /// It is the first policy of each client, and
    /// [`Client::set_slow_policy`](crate::Client::set_slow_policy) changes it. A
    /// [group](crate::Group::set_slow_policy), a topic or a single
    /// [send](crate::SendOptions::slow_policy) may have another one. In a file it is the name of a
    /// policy, such as `"drop_oldest"`, or `"none"`.
    pub slow_policy: Option<SlowPolicy>,
    /// The most bytes of messages in the mailbox of a
    /// [`ResourceListener`](crate::ResourceListener), in a [`Mailbox`](crate::Mailbox), and in each
    /// [`WebSocket`](crate::WebSocket): `*max-handler-read-backlog*`.
    ///
    /// Each message counts 64 bytes more than its payload. A client that exceeds the limit is not
    /// read from until at most half is queued, so that TCP slows it down. No message is lost. The
    /// rest of its last read is kept, at most 64 KiB. All its input waits: pings are answered
    /// later, and the end of its side is noticed later, unless the connection is broken. With 0,
    /// one message of each client is queued at a time.
    pub max_handler_read_backlog: usize,
    /// The most bytes of memory that are held for all clients together.
    ///
    /// It counts partial messages, unhandled input, messages in mailboxes and outboxes (a message
    /// to many clients once), and compression contexts. The default is a quarter of the machine's
    /// memory, or of the limit of its control group, and at least 64 MiB.
    ///
    /// Above three quarters, clients that hold more than 64 KiB are read from only little by
    /// little. Above the limit, the client that holds most on the thread that notices is dropped,
    /// with [`DisconnectCause::Budget`](crate::DisconnectCause::Budget), until less is held.
    /// Meanwhile a quarter more can be held, and one message for each thread. Sends to clients with
    /// queued data then return [`SendError::Full`](crate::SendError::Full).
    ///
    /// The memory of a client is counted in pages of 4 KiB, without the last partial page. Buffers
    /// that threads keep for the next messages are not counted: at most 44 MiB for each thread.
    /// [`ServerHandle::buffered`](crate::ServerHandle::buffered) returns the current number.
    pub max_buffered: usize,
    /// The most connections that the system holds before they are accepted.
    pub backlog: i32,
    /// Whether other sockets of the same user may listen on the TCP ports too (`SO_REUSEPORT`): so
    /// the next process can listen before this one ends. It has no effect on Windows, on Unix
    /// sockets, and on sockets of the [builder](crate::ServerBuilder::listener).
    ///
    /// The system then distributes clients over all these sockets, and a second server on the port
    /// by mistake is no error. The chapter [closing](crate::guide::closing) has more.
    pub reuse_port: bool,
    /// The time for a client's request. A resource that [decides later](crate::Accept::later) has
    /// the rest of this time.
    pub handshake_timeout: Duration,
    /// The time for a client to answer our close frame and to end its side of the connection. It
    /// restarts whenever the client reads data that was queued before.
    pub close_timeout: Duration,
    /// The time in which a client must read some of its queued data, and at least
    /// [`min_rate`](Self#structfield.min_rate) on average. After that the client is
    /// [dropped](crate::DisconnectCause::WriteTimeout), so that a client that hardly reads does not
    /// hold memory for ever. The default is 60 seconds.
    pub write_timeout: Duration,
    /// The silence after which the server pings a client. `None` means never. The default is 20
    /// seconds.
    ///
    /// Any byte of the client ends the silence, also in the middle of a large message. The server
    /// pings late by at most a quarter of the time, and two tenths of a second. The ping passes
    /// whole messages in the client's queue. Its pong is not delivered to the resource, and
    /// [`Client::rtt`](crate::Client::rtt) has the time that it took.
    ///
    /// The clock stands still while the server does not read from the client, and restarts with
    /// reading: while the client is [paused](crate::Client::pause) or its queue is full, while its
    /// own queue is above [`write_high_water`](Self#structfield.write_high_water), while it waits
    /// for a limit per second, and while its input waits because memory is short. A vanished client
    /// is then found by `write_timeout` or [`tcp_keepalive`](Self#structfield.tcp_keepalive).
    ///
    /// Draft 0 and hixie-75 have no ping: their clients have only
    /// [`idle_timeout`](Self#structfield.idle_timeout).
    pub ping_interval: Option<Duration>,
    /// The time for a client to send anything after the ping of the server was written. The default
    /// is 20 seconds.
    ///
    /// After that the connection ends with
    /// [`KeepaliveTimeout`](crate::DisconnectCause::KeepaliveTimeout), and the client gets close
    /// code 1011. The time restarts while a client reads queued data, because its answer may wait
    /// behind them. The clock stands still as that of `ping_interval`.
    pub ping_timeout: Duration,
    /// The time in which a client must send a message. `None`, the default, means forever.
    ///
    /// Pings, pongs and messages to the client do not count. A message in progress is not idle. After
    /// that the connection ends with [`IdleTimeout`](crate::DisconnectCause::IdleTimeout), and the
    /// client gets close code 1001. The clock stands still as that of `ping_interval`. A client with
    /// this setting takes about 300 bytes more.
    pub idle_timeout: Option<Duration>,
    /// The time in which a message that has begun must advance by a byte, and by at least
    /// [`min_rate`](Self#structfield.min_rate) on average. The default is 60 seconds.
    ///
    /// After that, and at most a quarter of the time later, the connection ends with
    /// [`MessageTimeout`](crate::DisconnectCause::MessageTimeout), and the client gets close code
    /// 1008. Only time in which the server reads from the client counts. Pings and pongs between the
    /// fragments of the message are no progress.
    pub message_timeout: Duration,
    /// The least speed of a client that sends a message or reads its queued data, in bytes per
    /// second as they are on the wire. The default is 1 KiB. 0 allows any speed.
    ///
    /// It is averaged over [`message_timeout`](Self#structfield.message_timeout) or
    /// [`write_timeout`](Self#structfield.write_timeout), and counts only for messages and queues
    /// that take longer than that. A slow but steady client stays.
    pub min_rate: usize,
    /// The silence after which the system probes a TCP client (`SO_KEEPALIVE`). `None` means never.
    ///
    /// A vanished client is noticed after twice that time: four probes follow in intervals of a
    /// quarter of it. The connection then [fails](crate::DisconnectCause::Io). On Linux the time
    /// also applies to a client with unacknowledged data (`TCP_USER_TIMEOUT`). Other systems notice
    /// such a client when they give up sending, after some 10 minutes.
    ///
    /// If [`write_timeout`](Self#structfield.write_timeout) is longer, Linux uses that time and a
    /// quarter of this one. Otherwise Linux would end a client that is alive and reads nothing.
    /// Linux ends such a client after the same time, even if the system has taken all data and
    /// `write_timeout` does not run. If the sum exceeds 15 minutes, the option is not set: Linux
    /// then notices a silent client as above, and a client with unacknowledged data after some 15
    /// minutes.
    ///
    /// The time is rounded up to whole seconds, at most 32,767. It has no effect on Unix sockets
    /// and [streams](crate::ServerHandle::serve_stream), whose socket options are the
    /// application's.
    pub tcp_keepalive: Option<Duration>,
    /// The most connections from one IP address, in any state. 0 means any number.
    ///
    /// Further connections get 429, and do not count for
    /// [`max_clients`](Self#structfield.max_clients). It is not 503, because load balancers take a
    /// server out of service that answers with 503.
    ///
    /// An IPv4 address in the form of an IPv6 address counts as IPv4. Unix sockets do not count.
    /// [Streams](crate::ServerHandle::serve_stream) count if they were given an address.
    ///
    /// Connections of a [trusted proxy](Self#structfield.trusted_proxies) count for the client that
    /// it reports: from the PROXY header on, or from the opening handshake that has the report in
    /// an HTTP header. In the second case, requests for pages do not count. The clients of any other
    /// proxy count for the address of the proxy.
    pub max_clients_per_ip: usize,
    /// The number of leading bits in which IPv6 addresses count as one address for
    /// [`max_clients_per_ip`](Self#structfield.max_clients_per_ip).
    pub ipv6_prefix: u8,
    /// The proxies that may say who a client is: their addresses, their networks, or `unix` for all
    /// Unix sockets of the server.
    ///
    /// Their word has an effect with [`forwarded`](Self#structfield.forwarded) or
    /// [`proxy_protocol`](Self#structfield.proxy_protocol). Then
    /// [`Client::remote_ip`](crate::Client::remote_ip) is the address of the client, and
    /// [`Client::peer`](crate::Client::peer) is the address of the proxy. A proxy itself is never limited by
    /// [`max_clients_per_ip`](Self#structfield.max_clients_per_ip); its clients are.
    ///
    /// Name only machines that you control. A client with a trusted address can claim any address.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The headers in which the trusted proxies report the client.
    ///
    /// Choose the headers that your proxy writes itself, and no others. A proxy passes on what it
    /// does not know, so with a wrong choice each client could forge its address. Headers of peers
    /// that are not [trusted](Self#structfield.trusted_proxies) are ignored.
    ///
    /// A list of addresses is read from its end. Trusted proxies are skipped, and the first other
    /// address is the client. A request with a malformed header gets 400. If the proxy does not know
    /// the client (`unknown`), [`Client::remote_ip`](crate::Client::remote_ip) is `None`. Without a
    /// header, the proxy counts as the client.
    pub forwarded: ForwardedHeader,
    /// Whether each connection of a [trusted proxy](Self#structfield.trusted_proxies) begins with a
    /// header of the PROXY protocol, version 1 or 2.
    ///
    /// The header comes before everything else, also before a TLS handshake. It must arrive within
    /// [`handshake_timeout`](Self#structfield.handshake_timeout) and have at most 4 KiB. A trusted
    /// proxy that does not send it gets 400, and a warning is logged. Connections of other peers
    /// have no header. If [`forwarded`](Self#structfield.forwarded) is set too, its headers are read
    /// if the PROXY header names a trusted proxy.
    pub proxy_protocol: bool,
    /// The permission bits of the Unix sockets that the server creates, such as `0o660`. With
    /// `None`, the umask of the process determines them.
    ///
    /// On Linux, a process needs write permission to connect. The file never has more permissions
    /// than these. It belongs to the user and the group of the process. The umask has no effect.
    pub unix_mode: Option<u32>,
    /// The most connections whose request has not arrived completely.
    ///
    /// If there are more, the connection that has waited longest gets 503 and is dropped. What it
    /// has sent until then counts. So connections that send nothing cannot keep out clients that
    /// send their request at once. A request that waits for a
    /// [decision](crate::Accept::later) does not count.
    ///
    /// At most half of [`max_clients`](Self#structfield.max_clients) are such connections, or 64 if
    /// that is more.
    pub max_handshakes: usize,
    /// The most messages per second of a client. 0 means any number.
    ///
    /// A client may send the messages of one second at once. All fragments of a message count as
    /// one. [`excess`](Self#structfield.excess) is the reaction to more.
    pub max_messages_per_second: u32,
    /// The most bytes per second of a client. 0 means any number.
    ///
    /// All received bytes count, the headers of frames too, when they arrive. A compressed message
    /// counts with its inflated length, if that is longer. A client may send the bytes of one
    /// second at once. [`excess`](Self#structfield.excess) is the reaction to more.
    ///
    /// A limit below 16 KiB needs care with [`Excess::Wait`](crate::Excess): a read of 64 KiB must
    /// be paid for before the next one.
    pub max_bytes_per_second: usize,
    /// The reaction to a client that exceeds
    /// [`max_messages_per_second`](Self#structfield.max_messages_per_second),
    /// [`max_bytes_per_second`](Self#structfield.max_bytes_per_second) or
    /// [`max_control_frames_per_second`](Self#structfield.max_control_frames_per_second).
    ///
    /// While a client waits, nothing is read from it: neither its pings nor the end of its side.
    /// The limits end when either side begins to close.
    pub excess: Excess,
    /// The most pings and pongs per second of a client. 0 means any number.
    ///
    /// A client may send the frames of one second at once. [`excess`](Self#structfield.excess) is
    /// the reaction to more. Without a limit, pings cost other clients no more than messages do:
    /// a client's share of its thread is limited.
    pub max_control_frames_per_second: u32,
    /// The bytes of the system's send buffer for each TCP client (`SO_SNDBUF`). `None` leaves the
    /// choice to the system.
    ///
    /// Linux takes up to 4 MiB for a client that does not read (`net.ipv4.tcp_wmem`), and the
    /// server sees only what the system does not take. With a small buffer, `write_high_water` and
    /// `write_timeout` notice a slow client early. A buffer that is smaller than bandwidth times
    /// round-trip time slows clients down.
    ///
    /// Linux doubles the value for its own data, and reads back the double. It allows at most
    /// `net.core.wmem_max`. If the system allows less than this value, `bind` logs a warning.
    pub send_buffer: Option<usize>,
    /// The most bytes that the system takes for a TCP client before it sends them
    /// (`TCP_NOTSENT_LOWAT`). `None` leaves the choice to the system.
    ///
    /// It hides less than the system's default, as [`send_buffer`](Self#structfield.send_buffer)
    /// does, and it does not limit the speed: bytes in flight do not count. It has an effect on
    /// Linux and Android only. Elsewhere `bind` logs a warning.
    pub max_unsent: Option<usize>,
    /// Whether small frames are sent without delay (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Whether [`Client::headers`](crate::Client::headers) keeps the request's headers, which costs
    /// their size.
    pub keep_headers: bool,
    /// The most bytes of headers that are kept for each connected client. Each line counts its
    /// name, its value, and two bytes more.
    ///
    /// All lines with one name are kept, or none. The origin comes first, then the other names in
    /// their order, if their lines fit.
    /// [`Client::headers_truncated`](crate::Client::headers_truncated) says whether some did not
    /// fit. [`Resource::accept`](crate::Resource::accept) sees all headers, and can keep values in
    /// [`Accept::data`](crate::Accept::data). Path, query and host are always kept;
    /// [`max_header_size`](Self#structfield.max_header_size) bounds them.
    pub max_kept_headers: usize,
    /// The compression of messages for clients that offer permessage-deflate (RFC 7692), as
    /// browsers do. `None` means no compression. A resource can override it with
    /// [`Accept::deflate`](crate::Accept::deflate).
    #[cfg(feature = "deflate")]
    pub deflate: Option<DeflateConfig>,
    /// The answer to `<policy-file-request/>`, which Adobe's Flash Player sends before its sockets
    /// may connect: `*policy-file*`. A NUL follows it on the wire. [`Config::flash_policy`] writes
    /// one.
    pub policy_file: Option<String>,
    /// Whether a panic in a handler ends the process, so that a debugger or a core dump sees the
    /// whole stack: `*debug-on-resource-errors*`. Otherwise the panic closes that client.
    ///
    /// The process aborts where the panic is, after the process's own panic hook. The drop of data
    /// of the application counts as a handler: client data, resources, messages. Without this
    /// setting, a panic in such a drop is only logged.
    pub debug_on_resource_errors: bool,
    /// Whether a panic in the server's own code ends the process: `*debug-on-server-errors*`.
    /// Otherwise it ends [`Server::run`](crate::Server::run) with an error.
    ///
    /// A panic in a [stream](crate::ServerHandle::serve_stream) ends the process with either
    /// setting. Otherwise it ends that stream.
    pub debug_on_server_errors: bool,
    /// The number of threads that serve connections. `None`, or 0 in [`Config::shards`], means one
    /// per processor.
    pub shards: Option<NonZeroUsize>,
    /// Whether a task of the [runtime](crate::runtime) serves each connection, instead of the shards.
    /// Systems without edge-triggered polling (Windows) always do it; elsewhere it is for tests.
    pub task_per_client: bool,
}

impl Config {
    pub(crate) fn handshake_limits(&self) -> HandshakeLimits {
        HandshakeLimits::default()
            .max_head_bytes(self.max_header_size)
            .hixie(self.protocol_76_00_support)
            .hixie_75(self.protocol_75_support)
    }

    /// The number of queued bytes above which a client counts as slow.
    pub(crate) fn high_water(&self) -> usize {
        self.write_high_water.min(self.max_write_backlog)
    }

    pub(crate) const fn debug_on(&self) -> DebugOn {
        DebugOn { resource: self.debug_on_resource_errors, server: self.debug_on_server_errors }
    }

    pub(crate) fn limits(&self) -> Limits {
        // No allocation can be longer. A receiver shares these limits only if they need no
        // correction.
        let longest = isize::MAX.unsigned_abs();
        Limits::default()
            .max_frame_size(self.max_read_frame_size.min(longest))
            .max_message_size(self.max_read_message_size.min(longest))
            .max_fragments(self.max_fragments)
    }
}
