//! An echo server for every WebSocket client, with a page that shows every frame. `/echo` and `/`
//! echo messages; `/broadcast` sends each message to all its clients.
//!
//! Run `cargo run --release -p clws-examples --bin echo` and open the printed address in a browser.
//! `-- --help` lists the flags.
//! `-- --config clws-examples/clws.toml` reads all settings from a file.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clws_examples::pages::{self, File};
use clws_server::capture::Capture;
use clws_server::{
    Accept, Client, Close, Config, Group, HttpRequest, HttpResponse, Listen, Opening, Origins, Payload,
    Reject, Resource, Server, Text,
};
use tracing_subscriber::filter::LevelFilter;

/// The page for browsers. It is the answer to a request for `/` that is no WebSocket handshake.
const PAGE: [File; 2] = [
    File::html("/", include_str!("../../assets/echo.html")),
    File::script("/echo.js", include_str!("../../assets/echo.js")),
];

fn page(request: &HttpRequest<'_>) -> HttpResponse {
    match request.path() {
        "/echo" | "/broadcast" => Reject::upgrade_required().into(), // resources without a page
        _ => pages::serve(&PAGE, request),
    }
}

/// Accepts a client, with the subprotocol `echo` if the client offers it.
fn agree(opening: &Opening) -> Accept {
    let is_offered = opening.subprotocols().any(|name| name == "echo");
    if is_offered { Accept::new().subprotocol("echo") } else { Accept::new() }
}

/// Sends each message back.
struct Echo;

impl Resource for Echo {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(agree(opening))
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        // Fails only if the client has disconnected: while a client does not read its answers, its
        // messages are not read.
        let _ = client.send(text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send(payload);
    }
}

/// Sends each message to all clients. The server closes a client that does not read when its queue
/// has no space for another message: see [`Group::send`].
#[derive(Default)]
struct Broadcast {
    clients: Group,
}

impl Resource for Broadcast {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(agree(opening))
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.clients.join(client); // it leaves the group when it disconnects
        Ok(())
    }

    fn text(&self, _: &Client, text: Text<'_>) {
        let _ = self.clients.send_text(text.into_string());
    }

    fn binary(&self, _: &Client, payload: Payload<'_>) {
        let _ = self.clients.send_binary(payload.into_bytes());
    }
}

/// An echo server that speaks every WebSocket version. Flags override the configuration file
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Configuration in TOML; clws.toml in the folder of this example lists every setting and its
    /// default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log level for standard error: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value_t = LevelFilter::INFO)]
    log_level: LevelFilter,
    /// Address to listen on, or `unix:PATH` (repeatable); port 0 selects a free port [default:
    /// 127.0.0.1:12345]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Also speak draft 0 (hixie-76, hybi-00)
    #[arg(long)]
    hixie: bool,
    /// Also speak hixie-75, for Chrome 4 and Safari 5.0.0; its handshake is open to cross-protocol
    /// attacks
    #[arg(long = "hixie-75")]
    hixie_75: bool,
    /// Admit only origins with this prefix, such as `https://example.com` (repeatable)
    #[arg(long, value_name = "PREFIX")]
    origin: Vec<String>,
    /// Maximum number of connections; further ones get status 503
    #[arg(long)]
    max_clients: Option<usize>,
    /// Maximum frame payload in bytes; a larger frame is closed with 1009
    #[arg(long, value_name = "BYTES")]
    max_frame: Option<usize>,
    /// Maximum message size in bytes; a larger message is closed with 1009
    #[arg(long, value_name = "BYTES")]
    max_message: Option<usize>,
    /// Number of threads that serve clients; 0 means one per processor
    #[arg(long)]
    shards: Option<usize>,
    /// Seconds until the handshake times out
    #[arg(long, value_name = "SECONDS", value_parser = clws_examples::seconds, allow_hyphen_values = true)]
    handshake_timeout: Option<Duration>,
    /// Compress messages for clients that offer permessage-deflate
    #[arg(long)]
    deflate: bool,
    /// Like --deflate, with context takeover
    #[arg(long)]
    deflate_takeover: bool,
    /// Like --deflate, with windows of at most 2 to the power of BITS, 9 to 15
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(9..=15))]
    deflate_window: Option<u8>,
    /// Like --deflate, for messages of at least this many bytes
    #[arg(long, value_name = "BYTES")]
    deflate_threshold: Option<usize>,
    /// Do not keep the request headers of connected clients
    #[arg(long)]
    forget_headers: bool,
    /// Record all connections into files in this directory, for Wireshark and `client replay`; the
    /// files contain all messages, cookies and tokens
    #[arg(long, value_name = "DIRECTORY")]
    capture: Option<PathBuf>,
    /// Serve each client with an async-std task instead of the shards
    #[arg(long)]
    task_per_client: bool,
    /// Serve metrics for Prometheus on this address, at the path /metrics; it should not be public
    #[cfg(feature = "metrics")]
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<String>,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: clws_examples::tls::TlsFlags,
}

fn main() -> std::process::ExitCode {
    clws_examples::exit_code("echo", async_std::task::block_on(run()))
}

async fn run() -> Result<(), Box<dyn Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_max_level(flags.log_level).with_writer(std::io::stderr).init();

    let mut config = flags.config.as_deref().map_or(Ok(Config::default()), clws_examples::read_config)?;
    if !flags.listen.is_empty() {
        config.listen = flags.listen.into_iter().map(Listen::from).collect();
    }
    config.protocol_76_00_support |= flags.hixie;
    config.protocol_75_support |= flags.hixie_75;
    config.max_clients = flags.max_clients.unwrap_or(config.max_clients);
    config.max_read_frame_size = flags.max_frame.unwrap_or(config.max_read_frame_size);
    config.max_read_message_size = flags.max_message.unwrap_or(config.max_read_message_size);
    config.shards = flags.shards.map_or(config.shards, NonZeroUsize::new);
    config.handshake_timeout = flags.handshake_timeout.unwrap_or(config.handshake_timeout);
    config.keep_headers &= !flags.forget_headers;
    let wanted = flags.deflate || flags.deflate_takeover || flags.deflate_window.is_some();
    if wanted || flags.deflate_threshold.is_some() {
        let mut deflate = config.deflate.unwrap_or_default();
        if let Some(bits) = flags.deflate_window {
            deflate = deflate.max_window_bits(bits);
        }
        if flags.deflate_takeover {
            deflate = deflate.context_takeover(true);
        }
        config.deflate = Some(deflate.threshold(flags.deflate_threshold.unwrap_or(deflate.threshold)));
    }
    config.task_per_client |= flags.task_per_client;
    #[cfg(all(feature = "systemd", unix))]
    let sockets = clws_examples::systemd::Sockets::from_env();
    #[cfg(all(feature = "systemd", unix))]
    let has_sockets = !sockets.is_empty();
    #[cfg(not(all(feature = "systemd", unix)))]
    let has_sockets = false;
    if config.listen.is_empty() && !has_sockets {
        config = config.listen("127.0.0.1:12345");
    }
    let mut server = Server::builder(config);
    #[cfg(all(feature = "systemd", unix))]
    {
        server = sockets.give_to(server)?;
    }
    if let Some(directory) = flags.capture {
        server = server.capture(Capture::new(directory).peers(|_| true));
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = flags.tls.load()? {
        server = server.tls(tls);
    }
    let server = server.bind()?;
    let is_open = flags.origin.is_empty();
    let admits = if is_open { Origins::any() } else { Origins::prefix(flags.origin) };
    server.resources().register("/echo", admits.clone(), Echo)?;
    server.resources().register("/", admits.clone(), Echo)?;
    server.resources().register("/broadcast", admits, Broadcast::default())?;
    server.resources().http(page);

    clws_examples::drain_on_signal(server.handle())?;
    let addresses = server.local_addrs()?;
    clws_examples::announce(&addresses);
    #[cfg(feature = "metrics")]
    if let Some(address) = &flags.metrics {
        clws_examples::metrics::serve(address, server.handle())?;
    }
    // With `--origin`, the page itself is not admitted.
    if is_open && let Some(url) = addresses.iter().find_map(pages::url) {
        clws_examples::say(&format!("open {url} in a browser"));
    }
    #[cfg(all(feature = "systemd", unix))]
    clws_examples::systemd::report(server.handle());
    clws_examples::say_report(&server.run().await?);
    Ok(())
}
