//! The settings of one resource, which differ from those of the server.

#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
use clws_proto::SlowPolicy;
use std::time::Duration;

use clws_handshake::Origins;

use crate::config::Config;
use crate::config::excess::Excess;

/// Defines the settings that a resource can change, and their setters.
macro_rules! settings {
    ($($(#[$meta:meta])* $name:ident: $type:ty,)*) => {
        /// The settings that a resource changes.
        #[derive(Clone, Debug, Default, PartialEq)]
        struct Changes {
            $($(#[$meta])* $name: Option<$type>,)*
        }

        impl Changes {
            fn apply(self, config: &mut Config) {
                $($(#[$meta])* if let Some(value) = self.$name {
                    config.$name = value;
                })*
            }
        }

        impl ResourceConfig {
            $(
                #[doc = concat!(
                    "Sets [`", stringify!($name), "`](crate::Config#structfield.", stringify!($name),
                    ") for the clients of the resource."
                )]
                $(#[$meta])*
                pub fn $name(mut self, $name: $type) -> Self {
                    self.changes.$name = Some($name);
                    self
                }
            )*
        }
    };
}

/// The origins and the settings of a resource.
///
/// A resource is registered with its [`Origins`] alone, or with a `ResourceConfig` if it needs
/// other settings than the server. A setting that is not changed has the value of the server's
/// [`Config`]. The settings cost no memory per client.
///
/// ```
/// use clws_server::{Config, Origins, Resource, ResourceConfig, Server};
///
/// struct Upload;
/// impl Resource for Upload {}
///
/// let server = Server::bind(Config::default().listen("127.0.0.1:0").max_read_message_size(4096))?;
/// let large = ResourceConfig::new(Origins::any()).max_read_message_size(64 << 20);
/// server.resources().register("/upload", large, Upload)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings have an effect when a resource is registered with them"]
pub struct ResourceConfig {
    pub(crate) origins: Origins,
    /// Longer messages are delivered in pieces.
    pub(crate) stream_above: Option<usize>,
    changes: Changes,
}

impl ResourceConfig {
    /// The settings of the server, for clients of these origins.
    pub fn new(origins: Origins) -> Self {
        Self { origins, stream_above: None, changes: Changes::default() }
    }

    /// Delivers messages longer than `above` bytes in pieces, as they arrive.
    ///
    /// The resource handles them in [`Resource::piece`](crate::Resource::piece),
    /// [`ResourceListener::piece`](crate::ResourceListener::piece),
    /// [`Event::Piece`](crate::Event::Piece) or [`Message::Piece`](crate::Message::Piece). Messages
    /// of at most `above` bytes are delivered whole. The server keeps at most `above` bytes of a
    /// message, so an upload of 1 GiB takes no more memory than one of 1 MiB.
    ///
    /// Raise both [`max_read_message_size`](Self::max_read_message_size) and
    /// [`max_read_frame_size`](Self::max_read_frame_size) to the longest message, because a client
    /// may send it in one frame. A browser does. If clients send small fragments, raise
    /// [`max_fragments`](Self::max_fragments) too: by default, a message has at most 131,072.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::io::Write;
    /// use std::sync::{Mutex, PoisonError};
    ///
    /// use clws_server::{Client, ClientId, CloseCode, Disconnect, Piece, Resource};
    ///
    /// /// Writes each upload to a file.
    /// #[derive(Default)]
    /// struct Uploads {
    ///     files: Mutex<HashMap<ClientId, File>>,
    /// }
    ///
    /// impl Resource for Uploads {
    ///     fn piece(&self, client: &Client, piece: Piece<'_>) {
    ///         let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
    ///         let file = files.entry(client.id()).or_default();
    ///         let written = file.write_all(piece.bytes());
    ///         if written.is_err() {
    ///             client.close((CloseCode::INTERNAL, "the disk is full"));
    ///         } else if piece.last {
    ///             let _ = client.send(format!("{} bytes", file.len()));
    ///             files.remove(&client.id()); // here the file is complete: rename it
    ///         }
    ///     }
    ///
    ///     fn disconnected(&self, client: &Client, _: &Disconnect) {
    ///         // A file that is left is incomplete: delete it.
    ///         self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&client.id());
    ///     }
    /// }
    /// # type File = Vec<u8>; // std::fs::File
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use clws_server::{Config, Message, testing::TestServer};
    /// # let server = TestServer::new(Config::default())?;
    /// use clws_server::{Origins, ResourceConfig};
    ///
    /// let settings = ResourceConfig::new(Origins::any())
    ///     .max_read_message_size(1 << 30)
    ///     .max_read_frame_size(1 << 30)
    ///     .stream_messages(64 * 1024);
    /// server.resources().register("/upload", settings, Uploads::default())?;
    /// # let mut client = server.connect("/upload")?;
    /// # client.send(vec![0; 1_000_000])?;
    /// # assert_eq!(client.receive()?, Message::from("1000000 bytes"));
    /// # Ok(()) }
    /// ```
    pub fn stream_messages(mut self, above: usize) -> Self {
        self.stream_above = Some(above);
        self
    }

    /// The settings of the resource, or `None` if they are those of the server.
    pub(crate) fn config(&self, server: &Config) -> Option<Config> {
        let mut config = server.clone();
        self.changes.clone().apply(&mut config);
        (config != *server).then_some(config)
    }
}

impl From<Origins> for ResourceConfig {
    fn from(origins: Origins) -> Self {
        Self::new(origins)
    }
}

settings! {
    max_read_frame_size: usize,
    max_read_message_size: usize,
    max_fragments: u32,
    write_high_water: usize,
    max_write_backlog: usize,
    slow_policy: Option<SlowPolicy>,
    max_handler_read_backlog: usize,
    write_timeout: Duration,
    ping_interval: Option<Duration>,
    ping_timeout: Duration,
    idle_timeout: Option<Duration>,
    message_timeout: Duration,
    min_rate: usize,
    max_messages_per_second: u32,
    max_bytes_per_second: usize,
    excess: Excess,
    max_control_frames_per_second: u32,
    keep_headers: bool,
    max_kept_headers: usize,
    #[cfg(feature = "deflate")]
    deflate: Option<DeflateConfig>,
}
