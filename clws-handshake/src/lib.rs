//! Sans-IO WebSocket opening handshakes.
#![forbid(unsafe_code)]

mod caps;
pub mod client;
mod extensions;
mod head;
mod headers;
mod hixie;
mod http;
mod hybi;
mod offer;
mod origins;
mod reject;
mod request;
mod scan;
mod token;

pub use caps::{Caps, Status};
pub use clws_proto::Version;
pub use extensions::Extension;
pub use head::Head;
pub use headers::Headers;
pub use http::HttpRequest;
pub use offer::{AcceptError, Accepted, HeaderError, Offer};
pub use origins::Origins;
pub use reject::Reject;
pub use request::{Request, parse};
pub use scan::HeadScanner;
