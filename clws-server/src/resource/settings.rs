//! The settings of one resource, which differ from those of the server.

#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
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
                #[must_use]
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
    changes: Changes,
}

impl ResourceConfig {
    /// The settings of the server, for clients of these origins.
    pub fn new(origins: Origins) -> Self {
        Self { origins, changes: Changes::default() }
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
