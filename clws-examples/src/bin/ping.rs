//! Latency by ping and pong: the server pings every client at an interval and prints the time until
//! the pong.
//!
//! It shows a [`Group`] iterated by a timer, application data in each client, and a feature that
//! old clients lack.
//!
//! Run `cargo run --release -p clws-examples --bin ping` and connect any client, such as a
//! browser's `new WebSocket(..)`. Clients answer pings automatically. A client that sends text gets
//! its own latency.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_std::task;
use clap::Parser;
use clws_server::{
    Accept, Client, Close, Config, Disconnect, Group, Opening, Origins, Payload, Reject, Resource, SendError,
    Server, Text,
};

/// The measured latency of a client.
#[derive(Default)]
struct Latency {
    /// The unanswered ping: its number and when it was sent.
    pending: Option<(u64, Instant)>,
    sent: u64,
    answered: u32,
    last: Duration,
    least: Duration,
    sum: Duration,
}

impl Latency {
    /// Records a pong and returns the round-trip time. Unsolicited pongs are ignored, because a
    /// client may send them.
    fn pong(&mut self, payload: &[u8]) -> Option<Duration> {
        let (_, sent_at) = self.pending.take_if(|(number, _)| number.to_string().as_bytes() == payload)?;
        self.last = sent_at.elapsed();
        self.least = if self.answered == 0 { self.last } else { self.least.min(self.last) };
        self.answered += 1;
        self.sum += self.last;
        Some(self.last)
    }

    fn report(&self) -> String {
        match (self.answered, self.pending) {
            (0, None) => "you have not been pinged".to_owned(),
            (0, Some((_, sent_at))) => format!("no pong for {:?}", sent_at.elapsed()),
            (answered, _) => format!(
                "rtt {:?}, least {:?}, mean {:?} of {answered}",
                self.last,
                self.least,
                self.sum / answered
            ),
        }
    }
}

struct Ping {
    clients: Group,
}

impl Resource for Ping {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new().data(Mutex::new(Latency::default())))
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        match ping(client) {
            Ok(()) => drop(self.clients.join(client)),
            Err(error) => println!("{} cannot be pinged: {error}", client.peer()),
        }
        Ok(())
    }

    fn text(&self, client: &Client, _: Text<'_>) {
        let report = if client.websocket_version().is_hixie() {
            "draft 0 has no pings, so your latency is unknown".to_owned()
        } else {
            latency(client, |latency| latency.report())
        };
        // Fails only if the client has disconnected: while a client does not read its answers, its
        // messages are not read.
        let _ = client.send_text(&report);
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        if let Some(rtt) = latency(client, |latency| latency.pong(&payload)) {
            println!("{} rtt {rtt:?}", client.peer());
        }
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        println!("{} left: {}", client.peer(), latency(client, |latency| latency.report()));
    }
}

/// Accesses the data that `accept` attached. The timer task and the client's thread share it, hence
/// the lock.
fn latency<R>(client: &Client, with: impl FnOnce(&mut Latency) -> R) -> R {
    match client.data::<Mutex<Latency>>() {
        Some(latency) => with(&mut latency.lock().unwrap_or_else(PoisonError::into_inner)),
        None => with(&mut Latency::default()), // no data attached
    }
}

/// Pings a client, unless an earlier ping is unanswered.
fn ping(client: &Client) -> Result<(), SendError> {
    latency(client, |latency| {
        if let Some((_, sent_at)) = latency.pending {
            println!("{} has not answered for {:?}", client.peer(), sent_at.elapsed());
            return Ok(());
        }
        client.ping(latency.sent.to_string().as_bytes())?; // fails with `SendError::Unsupported` for draft 0
        latency.pending = Some((latency.sent, Instant::now()));
        latency.sent += 1;
        Ok(())
    })
}

/// Shows the latency of every client, measured by ping and pong
#[derive(Parser)]
struct Flags {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:12345")]
    listen: String,
    /// Seconds between pings
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "2",
        value_parser = clws_examples::seconds_above_zero,
        allow_hyphen_values = true
    )]
    every: Duration,
}

fn main() -> std::process::ExitCode {
    clws_examples::exit_code("ping", async_std::task::block_on(run()))
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let clients = Group::new();
    let server = Server::bind(Config::default().listen(flags.listen).protocol_76_00_support(true))?;
    server.resources().register("/", Origins::any(), Ping { clients: clients.clone() })?;
    clws_examples::drain_on_signal(server.handle())?;
    clws_examples::announce(&server.local_addrs()?);
    task::spawn(async move {
        loop {
            task::sleep(flags.every).await;
            for client in clients.members() {
                let _ = ping(&client); // fails only for a disconnected client
            }
        }
    });
    clws_examples::say_report(&server.run().await?);
    Ok(())
}
