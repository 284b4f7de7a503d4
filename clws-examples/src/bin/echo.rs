//! An echo server for every WebSocket client there is: resources `/echo` and `/`; and `/broadcast`, where everybody hears
//! what anybody says.
//!
//! `cargo run --release -p clws-examples --bin echo -- --help` shows its flags; `-- --config clws-examples/clws.toml` takes
//! everything that can be set from a file.

use std::error::Error;
use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Parser;
use clws_server::{Client, Close, Config, Group, Listen, Origins, Payload, Resource, Server, Text};
use tracing_subscriber::filter::LevelFilter;

/// Sends each message back.
struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        // It fails only if the client is gone: while it does not read its answers, its messages wait.
        let _ = client.send(text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send(payload);
    }
}

/// Sends each message to everybody who is here. The server closes a client that does not read, when it has no room for another
/// message to it: see [`Group::send`].
#[derive(Default)]
struct Broadcast {
    everybody: Group,
}

impl Resource for Broadcast {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.everybody.join(client); // it leaves when it disconnects
        Ok(())
    }

    fn text(&self, _: &Client, text: Text<'_>) {
        let _ = self.everybody.send_text(text.into_string());
    }

    fn binary(&self, _: &Client, payload: Payload<'_>) {
        let _ = self.everybody.send_binary(payload.into_bytes());
    }
}

/// An echo server that speaks every WebSocket version. Flags override what its configuration file says.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Configuration in TOML; clws.toml beside this example's manifest lists every setting and its default.
    #[arg(long, value_name = "FILE", value_parser = read)]
    config: Option<Config>,
    /// What to log to standard error: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value_t = LevelFilter::INFO)]
    log_level: LevelFilter,
    /// Address to listen on, or `unix:PATH`; may be repeated. Port 0 takes a free one. [default: 127.0.0.1:12345]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Speak draft 0 (hixie-76, hybi-00) too.
    #[arg(long)]
    hixie: bool,
    /// Speak hixie-75 too, as Chrome 4 and Safari 5.0.0 do. Its handshake is open to cross-protocol attacks.
    #[arg(long = "hixie-75")]
    hixie_75: bool,
    /// Admit only origins with this prefix, such as `https://example.com`; may be repeated.
    #[arg(long, value_name = "PREFIX")]
    origin: Vec<String>,
    /// Connections at once; more are told 503.
    #[arg(long)]
    max_clients: Option<usize>,
    /// Octets of a frame's payload; a larger one is answered with close code 1009.
    #[arg(long, value_name = "OCTETS")]
    max_frame: Option<usize>,
    /// Octets of a message; a larger one is answered with close code 1009.
    #[arg(long, value_name = "OCTETS")]
    max_message: Option<usize>,
    /// Threads that serve clients; 0 is one per processor.
    #[arg(long)]
    shards: Option<usize>,
    /// Seconds a client may take for its handshake.
    #[arg(long, value_name = "SECONDS")]
    handshake_timeout: Option<f64>,
    /// Compress messages for clients that offer permessage-deflate.
    #[arg(long)]
    deflate: bool,
    /// The same, and let both sides refer to earlier messages.
    #[arg(long)]
    deflate_takeover: bool,
    /// The same, with windows of at most 2 to the power of this, 9 to 15.
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(9..=15))]
    deflate_window: Option<u8>,
    /// The same, for messages of at least so many octets.
    #[arg(long, value_name = "OCTETS")]
    deflate_threshold: Option<usize>,
    /// Do not keep the request headers of connected clients.
    #[arg(long)]
    forget_headers: bool,
    /// Serve each client by a task of async-std in place of the shards.
    #[arg(long)]
    task_per_client: bool,
}

fn read(path: &str) -> Result<Config, Box<dyn Error + Send + Sync>> {
    Ok(toml::from_str(&fs::read_to_string(path)?)?)
}

#[async_std::main]
async fn main() -> Result<(), Box<dyn Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_max_level(flags.log_level).with_writer(std::io::stderr).init();

    let mut config = flags.config.unwrap_or_default();
    if !flags.listen.is_empty() {
        config.listen = flags.listen.into_iter().map(Listen::from).collect();
    }
    config.protocol_76_00_support |= flags.hixie;
    config.protocol_75_support |= flags.hixie_75;
    config.max_clients = flags.max_clients.unwrap_or(config.max_clients);
    config.max_read_frame_size = flags.max_frame.unwrap_or(config.max_read_frame_size);
    config.max_read_message_size = flags.max_message.unwrap_or(config.max_read_message_size);
    config.shards = flags.shards.map_or(config.shards, NonZeroUsize::new);
    if let Some(seconds) = flags.handshake_timeout {
        config.handshake_timeout = Duration::try_from_secs_f64(seconds)?;
    }
    config.keep_headers &= !flags.forget_headers;
    let wanted = flags.deflate || flags.deflate_takeover || flags.deflate_window.is_some();
    if wanted || flags.deflate_threshold.is_some() {
        let mut deflate = config.deflate.unwrap_or_default();
        if let Some(bits) = flags.deflate_window {
            deflate = deflate.with_max_window_bits(bits);
        }
        if flags.deflate_takeover {
            deflate = deflate.with_context_takeover(true);
        }
        config.deflate = Some(deflate.with_threshold(flags.deflate_threshold.unwrap_or(deflate.threshold)));
    }
    config.task_per_client |= flags.task_per_client;
    let server = Server::bind(config)?;
    let admits = if flags.origin.is_empty() { Origins::any() } else { Origins::prefix(flags.origin) };
    server.resources().register("/echo", admits.clone(), Echo)?;
    server.resources().register("/", admits.clone(), Echo)?;
    server.resources().register("/broadcast", admits, Broadcast::default())?;

    let handle = server.handle();
    clws_examples::on_stop_signal(move || handle.stop())?;
    let addresses = server.local_addrs()?;
    for address in &addresses {
        match address {
            Listen::Tcp(address) => println!("listening on ws://{address}/"),
            other => println!("listening on {other}"),
        }
    }
    if let Some(url) = addresses.iter().find_map(Listen::url) {
        println!("try it in the console of a browser:");
        println!("    ws = new WebSocket('{url}')");
        println!("    ws.onmessage = m => console.log(m.data); ws.onopen = () => ws.send('hello')");
    }
    server.run().await?;
    Ok(())
}
