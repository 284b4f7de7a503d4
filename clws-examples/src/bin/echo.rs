//! An echo server for every WebSocket client there is: resources `/echo` and `/`.
//!
//! `cargo run --release -p clws-examples --bin echo -- --help` shows its flags.

use std::time::Duration;

use clap::Parser;
use clws_server::{Client, Config, Listen, Origins, Payload, Resource, Server, Text};

/// Sends each message back.
struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        // It fails only where the client is gone, and then misses nothing.
        let _ = client.forward_text(text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.forward_binary(payload);
    }
}

/// An echo server that speaks every WebSocket version.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Address to listen on, or `unix:PATH`; may be repeated. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:12345")]
    listen: Vec<String>,
    /// Speak draft 0 (hixie-76, hybi-00) too.
    #[arg(long)]
    hixie: bool,
    /// Admit only origins with this prefix, such as `https://example.com`; may be repeated.
    #[arg(long, value_name = "PREFIX")]
    origin: Vec<String>,
    /// Connections at once; more are told 503.
    #[arg(long, default_value_t = Config::default().max_clients)]
    max_clients: usize,
    /// Octets of a frame's payload; a larger one is answered with close code 1009.
    #[arg(long, value_name = "OCTETS", default_value_t = Config::default().max_read_frame_size)]
    max_frame: usize,
    /// Octets of a message; a larger one is answered with close code 1009.
    #[arg(long, value_name = "OCTETS", default_value_t = Config::default().max_read_message_size)]
    max_message: usize,
    /// Threads that serve clients; 0 is one per processor.
    #[arg(long, default_value_t = 0)]
    shards: usize,
    /// Seconds a client may take for its handshake.
    #[arg(long, value_name = "SECONDS", default_value_t = Config::default().handshake_timeout.as_secs_f64())]
    handshake_timeout: f64,
    /// Do not keep the request headers of connected clients.
    #[arg(long)]
    forget_headers: bool,
    /// Serve each client by a task of async-std in place of the shards.
    #[arg(long)]
    task_per_client: bool,
}

#[async_std::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let mut config = Config::default()
        .protocol_76_00_support(flags.hixie)
        .max_clients(flags.max_clients)
        .max_read_frame_size(flags.max_frame)
        .max_read_message_size(flags.max_message)
        .shards(flags.shards)
        .handshake_timeout(Duration::try_from_secs_f64(flags.handshake_timeout)?)
        .keep_headers(!flags.forget_headers)
        .task_per_client(flags.task_per_client);
    for address in flags.listen {
        config = config.listen(address);
    }
    let server = Server::bind(config)?;
    for path in ["/echo", "/"] {
        let origins =
            if flags.origin.is_empty() { Origins::any() } else { Origins::prefix(flags.origin.clone()) };
        server.register(path, origins, Echo)?;
    }

    let addresses = server.local_addrs()?;
    for address in &addresses {
        match address {
            Listen::Tcp(address) => println!("listening on ws://{address}/"),
            other => println!("listening on {other}"),
        }
    }
    let tcp = addresses.iter().find_map(|address| match address {
        Listen::Tcp(address) => Some(address),
        _ => None,
    });
    if let Some(address) = tcp {
        let host =
            if address.ip().is_unspecified() { "localhost".to_owned() } else { address.ip().to_string() };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        println!("try it in the console of a browser:");
        println!("    ws = new WebSocket('ws://{host}:{}/')", address.port());
        println!("    ws.onmessage = m => console.log(m.data); ws.onopen = () => ws.send('hello')");
    }
    server.run().await?;
    Ok(())
}
