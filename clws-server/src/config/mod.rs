use std::num::NonZeroUsize;
use std::time::Duration;

use clws_handshake::HandshakeLimits;
#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
use clws_proto::Limits;

use crate::budget::machine::quarter_of_memory;
use crate::config::address::Listen;
use crate::guard::DebugOn;

pub(crate) mod address;
pub(crate) mod check;
mod check_address;
pub(crate) mod error;
#[cfg(feature = "serde")]
mod file;

/// Everything that can be set. CLWS's name stands beside it where CLWS has the same: `*max-clients*`.
///
/// The fields can be read; the methods of the same names set them.
///
/// | name | default | unit | beyond it |
/// |---|---|---|---|
/// | `listen` | `127.0.0.1:12345` | addresses | |
/// | `protocol_76_00_support` | off | | draft 0's clients get 426 |
/// | `protocol_75_support` | off | | hixie-75's clients get 400 |
/// | `max_clients` | 100,000 | connections | 503, which is not waited for while 1,024 others are told so |
/// | `raise_descriptor_limit` | on | | fewer clients may fit |
/// | `max_header_size` | 16 KiB | bytes of a request head, which has at most 100 lines besides | 431, or 414 |
/// | `max_read_frame_size` | 16 MiB | octets of a frame's payload | close code 1009 |
/// | `max_read_message_size` | 16 MiB | octets of a message, all its fragments counted | 1009 |
/// | `max_fragments` | 131,072 | frames of a message | 1008 |
/// | `write_high_water` | 1 MiB | bytes queued for a client | its messages wait until it has read half of that |
/// | `max_write_backlog` | 64 MiB | octets queued for a client | [`SendError::Full`](crate::SendError::Full) |
/// | `max_buffered` | a quarter of the machine's memory, at least 64 MiB | bytes of memory for what all clients have sent or have not read | who holds much is not read from; at the limit the client that holds most is dropped |
/// | `max_handler_read_backlog` | 1 MiB | octets of messages that wait in a mailbox or for a [`WebSocket`](crate::WebSocket), 64 more for each | the clients that send more are not read from until half is handled |
/// | `backlog` | 1,024 | connections the system holds for us | the system makes them wait |
/// | `handshake_timeout` | 10 s | from connect to the end of the request, and to the decision on it | 408, or 503 where the resource did not decide |
/// | `close_timeout` | 5 s | from our close frame to theirs | the connection is dropped |
/// | `write_timeout` | 60 s | in which a client takes nothing of what is queued for it | the connection is dropped |
/// | `keepalive` | 60 s | of silence, after which the system asks a TCP client whether it is there | the connection fails after twice that time |
/// | `nodelay` | on | | |
/// | `keep_headers` | on | | headers are gone after `accept` |
/// | `max_kept_headers` | 4 KiB | bytes of headers kept for a client | headers that do not fit are gone after `accept` |
/// | `deflate` | off (a feature) | see `DeflateConfig` | messages go as they are |
/// | `policy_file` | none | octets sent to Flash's `<policy-file-request/>` | 400 |
/// | `debug_on_resource_errors` | off | | a panic in a handler ends the process, for a debugger or a core dump |
/// | `debug_on_server_errors` | off | | a panic of the server's own does |
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
/// With the feature `serde` it can be read from a file: every field may be left out and then has its default, an unknown
/// one is an error, and so is a value that can never work: see [`check`](Self::check). Times are in seconds (`0.5` is half of one), `keepalive = 0` is never, `shards = 0` one per processor,
/// and `listen` a list of texts.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(remote = "Self", default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// The addresses to listen on. None given: `127.0.0.1:12345`.
    pub listen: Vec<Listen>,
    /// Whether draft 0 (hixie-76, hybi-00) is spoken: `*protocol-76/00-support*`.
    pub protocol_76_00_support: bool,
    /// Whether hixie-75 is spoken, the draft that Chrome 4 and Safari 5.0.0 speak.
    ///
    /// Its handshake has no challenge, so nothing proves that a WebSocket client wrote the request. It is open to
    /// cross-protocol attacks, where other software is led to send a request to this server, or to take this server's answer
    /// for one of its own. Later drafts have their keys for that reason. Turn it on only for clients that speak nothing
    /// newer, and register what they ask for with a rule for [`Origins`](crate::Origins).
    pub protocol_75_support: bool,
    /// Connections at once, in any stage: `*max-clients*`.
    ///
    /// Each connection takes a descriptor. Where the process may not open enough of them (`RLIMIT_NOFILE`), the server takes
    /// fewer clients and logs a warning: it leaves descriptors for what is open when it is bound, for itself, for refusals and
    /// 256 more for the application, or an eighth of a low limit. [`ServerHandle::max_clients`](crate::ServerHandle::max_clients)
    /// has the number. [Streams](crate::ServerHandle::serve_stream) take none of them and are counted here only. When the application has opened all descriptors
    /// nevertheless, clients are told 503 as well.
    pub max_clients: usize,
    /// Whether [`Server::bind`](crate::Server::bind) raises the process's soft limit on descriptors (`RLIMIT_NOFILE`) where
    /// it is too low for [`max_clients`](Self#structfield.max_clients): to what the servers of this process need together, at
    /// most to the hard limit. It is never lowered. Programs that this process starts inherit it. Without effect on Windows.
    pub raise_descriptor_limit: bool,
    /// Octets of a request head: `*max-header-size*`.
    pub max_header_size: usize,
    /// Octets of one frame's payload: `*max-read-frame-size*`.
    pub max_read_frame_size: usize,
    /// Octets of one message, its final fragment counted: `*max-read-message-size*`.
    pub max_read_message_size: usize,
    /// Frames of one message.
    pub max_fragments: u32,
    /// Bytes queued for a client from which on its messages wait, so that TCP slows it down, and sends say
    /// [`Sent::AboveHighWater`](crate::Sent::AboveHighWater). This is looked at between any two of its messages, so a client that
    /// asks for more than it reads gets all of its answers, one after the other.
    pub write_high_water: usize,
    /// Octets queued for a client from which on messages to it are refused: `*max-write-backlog*`. What is queued
    /// already stays, so at most this and one message are held, forwarded ones in buffers that may be twice as long.
    pub max_write_backlog: usize,
    /// Octets of messages that may wait to be handled in the mailbox of a [`ResourceListener`](crate::ResourceListener) or in a
    /// [`Mailbox`](crate::Mailbox), and for each client's [`WebSocket`](crate::WebSocket): `*max-handler-read-backlog*`.
    /// Each message counts 64 octets more than it has. A client whose message goes beyond it is not read from, so that
    /// TCP slows it down, until no more than half of it waits. No message is lost. What one read had brought from such a client,
    /// 64 KiB at most, is kept beside it. Whatever it sends waits, pings too: they are answered when it is read again, and so
    /// is its end noticed, but for a connection that is broken. With 0, one message of each client waits at a time.
    pub max_handler_read_backlog: usize,
    /// Bytes of memory that may be held for all clients together: messages of which a part has come, input that is not
    /// handled, messages that wait to be handled or to be written (a message to many counts once), and what compression
    /// keeps. The default is a quarter of the machine's memory, or of the limit of its control group, and at least 64 MiB.
    ///
    /// Above three quarters of it, clients for which more than 64 KiB are held are read from only little by little. Above all
    /// of it, the client for which most is held on the thread that finds out is dropped, with
    /// [`DisconnectCause::Budget`](crate::DisconnectCause::Budget), until less is held. A quarter more can be held before that is done, and
    /// beside that one message for each thread; then sends to clients that are behind say
    /// [`SendError::Full`](crate::SendError::Full).
    ///
    /// What a client holds is counted in pages of 4 KiB, and less than one is not counted. BufferPool that threads keep for the
    /// next messages are not counted either: at most 20 MiB for each thread.
    /// [`ServerHandle::buffered`](crate::ServerHandle::buffered) tells how much is held.
    pub max_buffered: usize,
    /// Connections that the system holds until they are accepted.
    pub backlog: i32,
    /// How long a client may take for its request. A resource that [decides later](crate::Accept::later) has what is left of
    /// it.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::config::file::seconds"))]
    pub handshake_timeout: Duration,
    /// How long a client may take to answer our close frame, and to end its side of the connection. As long as it still
    /// reads what was queued before, the time begins anew.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::config::file::seconds"))]
    pub close_timeout: Duration,
    /// How long a client for which something is queued may take nothing of it. Then it is dropped, so that one that
    /// never reads does not hold memory for ever.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::config::file::seconds"))]
    pub write_timeout: Duration,
    /// The silence after which the system asks a TCP client whether it is still there (`SO_KEEPALIVE`). `None`: never.
    ///
    /// A client whose machine or network is gone is noticed after twice that time: four probes follow each other in a quarter
    /// of it. The connection then [fails](crate::DisconnectCause::Io). On Linux this holds for a client that was just sent something
    /// too (`TCP_USER_TIMEOUT`). Elsewhere such a client is noticed when the system gives up sending, which takes some 10
    /// minutes.
    ///
    /// Where [`write_timeout`](Self#structfield.write_timeout) is longer, Linux takes that time and a quarter of this one more,
    /// because it would otherwise end a client that is there and reads nothing. It ends such a client after the same time, even
    /// if everything that was sent lies with the system and `write_timeout` has nothing to count. Where that is more than 15
    /// minutes, Linux notices a silent client as above, and one that was sent something after some 15 minutes.
    ///
    /// The time is rounded up to whole seconds, and is at most 32,767 seconds. It has no effect on Unix sockets, and none on
    /// what lies beneath a [stream](crate::ServerHandle::serve_stream): the options of that socket are the application's.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::config::file::seconds_or_never"))]
    pub keepalive: Option<Duration>,
    /// Whether small frames are sent at once (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Whether [`Client::headers`](crate::Client::headers) has the request's headers, at the price of their size.
    pub keep_headers: bool,
    /// Bytes of headers that are kept for a client as long as it is connected: for each line its name, its value, and two more.
    ///
    /// All lines of one name are kept, or none: first the origin's, then each name in the order in which the names came, if its
    /// lines fit into what is left. [`Client::headers_truncated`](crate::Client::headers_truncated) says whether some did not.
    /// [`Resource::accept`](crate::Resource::accept) sees all headers, and can keep what it needs in
    /// [`Accept::data`](crate::Accept::data). Path, query and host are always kept; with all else,
    /// [`max_header_size`](Self#structfield.max_header_size) bounds them.
    pub max_kept_headers: usize,
    /// How messages are compressed for clients that offer permessage-deflate (RFC 7692), as browsers do; `None`: not at
    /// all. A resource can decide otherwise for a client: [`Accept::deflate`](crate::Accept::deflate).
    #[cfg(feature = "deflate")]
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::config::file::deflate"))]
    pub deflate: Option<DeflateConfig>,
    /// What is sent, with a NUL behind it, to a client that asks `<policy-file-request/>`, as Adobe's Flash Player does
    /// before its sockets may connect: `*policy-file*`. [`Config::flash_policy`] writes one.
    pub policy_file: Option<String>,
    /// Whether a panic in a handler ends the process where it happens (by `abort`, behind the process's own panic hook),
    /// so that a debugger or a core dump sees the whole stack: `*debug-on-resource-errors*`. Otherwise it costs that
    /// client its connection. The drop of what the application gave to the server counts as a handler: data of a client, a
    /// resource, a message. There a panic otherwise costs a line in the log.
    pub debug_on_resource_errors: bool,
    /// The same for a panic in the server's own code, which otherwise ends [`Server::run`](crate::Server::run) with an
    /// error: `*debug-on-server-errors*`. A panic in a [stream](crate::ServerHandle::serve_stream) ends the process with
    /// either setting. Otherwise it costs that stream.
    pub debug_on_server_errors: bool,
    /// Threads that serve connections. `None`: one per processor. A zero in [`Config::shards`] is `None`.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::config::file::number_or_default"))]
    pub shards: Option<NonZeroUsize>,
    /// Whether each connection is served by a task of async-std in place of the shards. It is the way of systems
    /// without edge-triggered polling (Windows), and here for tests of it.
    pub task_per_client: bool,
}

/// A port, or two of them with a hyphen between, the lower one first.
fn is_port_or_range(text: &str) -> bool {
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ports: (Option<u16>, Option<u16>) = (port(first), port(last));
    matches!(ports, (Some(first), Some(last)) if 0 < first && first <= last)
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

    /// A socket policy file that lets pages of a domain (`*` for all, `*.example.com` for those below one) connect to these
    /// ports (`*`, `80,443`, `1024-2048`). `None` for any other domain or ports.
    ///
    /// ```
    /// use clws_server::Config;
    ///
    /// let config = Config::default().policy_file(Config::flash_policy("*.example.com", "443"));
    /// assert!(config.policy_file.is_some_and(|policy| policy.contains("domain=\"*.example.com\" to-ports=\"443\"")));
    /// ```
    #[must_use]
    pub fn flash_policy(domain: &str, ports: &str) -> Option<String> {
        let name = domain.strip_prefix("*.").unwrap_or(domain);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-:_[]".contains(&byte);
        let is_domain = domain == "*" || (!name.is_empty() && name.bytes().all(is_name));
        (is_domain && (ports == "*" || ports.split(',').all(is_port_or_range))).then(|| {
            format!(
                "<?xml version=\"1.0\"?>\n<!DOCTYPE cross-domain-policy SYSTEM \
                 \"http://www.macromedia.com/xml/dtds/cross-domain-policy.dtd\">\n<cross-domain-policy>\
                 <allow-access-from domain=\"{domain}\" to-ports=\"{ports}\" /></cross-domain-policy>"
            )
        })
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
        /// Sets [`protocol_75_support`](Self#structfield.protocol_75_support).
        protocol_75_support: bool,
        /// Sets [`max_clients`](Self#structfield.max_clients).
        max_clients: usize,
        /// Sets [`raise_descriptor_limit`](Self#structfield.raise_descriptor_limit).
        raise_descriptor_limit: bool,
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
        /// Sets [`max_handler_read_backlog`](Self#structfield.max_handler_read_backlog).
        max_handler_read_backlog: usize,
        /// Sets [`max_buffered`](Self#structfield.max_buffered).
        max_buffered: usize,
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
        /// Sets [`max_kept_headers`](Self#structfield.max_kept_headers).
        max_kept_headers: usize,
        /// Sets [`deflate`](Self#structfield.deflate).
        #[cfg(feature = "deflate")]
        deflate: Option<DeflateConfig>,
        /// Sets [`policy_file`](Self#structfield.policy_file).
        policy_file: Option<String>,
        /// Sets [`debug_on_resource_errors`](Self#structfield.debug_on_resource_errors).
        debug_on_resource_errors: bool,
        /// Sets [`debug_on_server_errors`](Self#structfield.debug_on_server_errors).
        debug_on_server_errors: bool,
        /// Sets [`task_per_client`](Self#structfield.task_per_client).
        task_per_client: bool,
    }

    pub(crate) fn caps(&self) -> HandshakeLimits {
        HandshakeLimits::default()
            .with_max_head_bytes(self.max_header_size)
            .with_hixie(self.protocol_76_00_support)
            .with_hixie_75(self.protocol_75_support)
    }

    /// From so much on a client counts as slow: never above what may be queued at all.
    pub(crate) fn high_water(&self) -> usize {
        self.write_high_water.min(self.max_write_backlog)
    }

    pub(crate) const fn debug_on(&self) -> DebugOn {
        DebugOn { resource: self.debug_on_resource_errors, server: self.debug_on_server_errors }
    }

    pub(crate) fn limits(&self) -> Limits {
        // As a receiver takes them, which would have to make its own of them otherwise.
        let longest = isize::MAX.unsigned_abs();
        Limits::default()
            .with_max_frame_size(self.max_read_frame_size.min(longest))
            .with_max_message_size(self.max_read_message_size.min(longest))
            .with_max_fragments(self.max_fragments)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            protocol_76_00_support: false,
            protocol_75_support: false,
            max_clients: 100_000,
            raise_descriptor_limit: true,
            max_header_size: 16 * 1024,
            max_read_frame_size: 16 << 20,
            max_read_message_size: 16 << 20,
            max_fragments: 131_072,
            write_high_water: 1 << 20,
            max_write_backlog: 64 << 20,
            max_handler_read_backlog: 1 << 20,
            max_buffered: quarter_of_memory(),
            backlog: 1024,
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(60),
            keepalive: Some(Duration::from_secs(60)),
            nodelay: true,
            keep_headers: true,
            max_kept_headers: 4 * 1024,
            #[cfg(feature = "deflate")]
            deflate: None,
            policy_file: None,
            debug_on_resource_errors: false,
            debug_on_server_errors: false,
            shards: None,
            task_per_client: false,
        }
    }
}
