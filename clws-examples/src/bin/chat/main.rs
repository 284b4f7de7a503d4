//! A chat with rooms: a resource listener with one group per room, and web pages on the same port.
//!
//! Run `cargo run --release -p clws-examples --bin chat` and open the printed address in two
//! windows. Other clients work too, including draft 0 with `--hixie` and hixie-75 with
//! `--hixie-75`: `python3 -m websockets "ws://127.0.0.1:12345/?name=Ada&room=tea"`.
//!
//! # Protocol
//!
//! A client sends text messages. The query parameters `name` and `room` choose its name and room.
//! The defaults are a guest name and the lobby.
//!
//! | message | effect |
//! |---|---|
//! | `hello everybody` | says it in the room |
//! | `/say /etc is a folder` | says it, even if it begins with a slash |
//! | `/name Ada` | takes this name, if it is free |
//! | `/room tea` | enters this room; a room exists while it has members |
//! | `/who` | lists the members of the room |
//! | `/rooms` | lists the first 100 rooms by name |
//! | `/ping 17` | gets this text back, to measure the latency |
//!
//! The server sends JSON, one object per message:
//!
//! ```json
//! {"type":"room","room":"tea","you":"Ada","here":["Ada","Grace"]}
//! {"type":"rooms","rooms":{"lobby":1,"tea":2}}
//! {"type":"joined","name":"Grace"}
//! {"type":"left","name":"Grace"}
//! {"type":"renamed","name":"guest-1","to":"Grace"}
//! {"type":"said","name":"Grace","text":"hello everybody"}
//! {"type":"pong","text":"17"}
//! {"type":"error","text":"the name Ada is already taken"}
//! ```
//!
//! # Limits
//!
//! Every answer is short: `here` and `rooms` list at most 100 names, and `"more":7` is the number
//! of omitted names. A room with more than 100 members sends no `joined` and `left` events.
//!
//! A client can send 60 messages at once and 10 more each second. The server drops further messages
//! and notifies the client. After 100 dropped messages in a row it closes the client with 1008.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clws_examples::pages::{self, File};
use clws_server::{Config, Listen, Origins, Server};

use rooms::Chat;

mod event;
mod rooms;

const PAGE: [File; 2] = [
    File::html("/", include_str!("../../../assets/chat.html")),
    File::script("/chat.js", include_str!("../../../assets/chat.js")),
];

/// A chat server with web pages. Flags override the configuration file
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Configuration in TOML; clws.toml in the folder of this example lists every setting and its
    /// default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on (repeatable); port 0 selects a free port [default: 127.0.0.1:12345]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Also speak draft 0 (hixie-76, hybi-00)
    #[arg(long)]
    hixie: bool,
    /// Also speak hixie-75, for Chrome 4 and Safari 5.0.0; its handshake is open to cross-protocol
    /// attacks
    #[arg(long = "hixie-75")]
    hixie_75: bool,
    /// Serve metrics for Prometheus on this address, at the path /metrics; it should not be public
    #[cfg(feature = "metrics")]
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<String>,
}

fn main() -> ExitCode {
    clws_examples::exit_code("chat", async_std::task::block_on(run()))
}

async fn run() -> Result<(), Box<dyn Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let mut config = flags.config.as_deref().map_or(Ok(Config::default()), clws_examples::read_config)?;
    if !flags.listen.is_empty() {
        config.listen = flags.listen.into_iter().map(Listen::from).collect();
    }
    config.protocol_76_00_support |= flags.hixie;
    config.protocol_75_support |= flags.hixie_75;
    let server = Server::bind(config)?;
    server.resources().run_resource_listener("/", Origins::any(), Chat::default())?;
    server.resources().http(|request| pages::serve(&PAGE, request));
    clws_examples::drain_on_signal(server.handle())?;
    let addresses = server.local_addrs()?;
    clws_examples::announce(&addresses);
    #[cfg(feature = "metrics")]
    if let Some(address) = &flags.metrics {
        clws_examples::metrics::serve(address, server.handle())?;
    }
    for url in addresses.iter().filter_map(pages::url) {
        clws_examples::say(&format!("open {url}"));
    }
    clws_examples::say_report(&server.run().await?);
    Ok(())
}
