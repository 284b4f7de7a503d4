//! Latency by ping and pong: every client is pinged every so often, and the time until its pong is shown. It shows a
//! [`Group`] that a timer goes through, data of one's own in each client, and what an old client cannot do.
//!
//! `cargo run --release -p clws-examples --bin ping`, then open any client, a browser's `new WebSocket(..)` for instance:
//! clients answer pings by themselves. One that sends a text is told its own figures.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_std::task;
use clap::Parser;
use clws_server::{
    Accept, Client, Close, Config, Disconnect, Group, Opening, Origins, Payload, Reject, Resource, SendError,
    Server, Text,
};

/// What is known of a client's latency.
#[derive(Default)]
struct Latency {
    /// The ping that is under way: its number and when it was sent.
    pending: Option<(u64, Instant)>,
    sent: u64,
    answered: u32,
    last: Duration,
    least: Duration,
    sum: Duration,
}

impl Latency {
    /// Takes note of a pong. One that answers no ping of ours is nobody's time: a client may send pongs unasked.
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
            "draft 0 has no pings: your latency cannot be told".to_owned()
        } else {
            latency(client, |latency| latency.report())
        };
        // It fails only if the client is gone: while it does not read its answers, its messages wait.
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

/// What `accept` gave the client. The timer's task and the client's thread both come to it, hence the lock.
fn latency<R>(client: &Client, with: impl FnOnce(&mut Latency) -> R) -> R {
    match client.data::<Mutex<Latency>>() {
        Some(latency) => with(&mut latency.lock().unwrap_or_else(PoisonError::into_inner)),
        None => with(&mut Latency::default()), // not ours
    }
}

/// Pings a client, unless a ping to it is under way.
fn ping(client: &Client) -> Result<(), SendError> {
    latency(client, |latency| {
        if let Some((_, sent_at)) = latency.pending {
            println!("{} has not answered for {:?}", client.peer(), sent_at.elapsed());
            return Ok(());
        }
        client.ping(latency.sent.to_string().as_bytes())?; // draft 0 has no pings: `SendError::Unsupported`
        latency.pending = Some((latency.sent, Instant::now()));
        latency.sent += 1;
        Ok(())
    })
}

/// Shows the latency of every client by ping and pong.
#[derive(Parser)]
struct Flags {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:12345")]
    listen: String,
    /// Seconds from ping to ping.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    every: f64,
}

#[async_std::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let every = Duration::try_from_secs_f64(flags.every)?;

    let clients = Group::new();
    let server = Server::bind(Config::default().listen(flags.listen).protocol_76_00_support(true))?;
    server.resources().register("/", Origins::any(), Ping { clients: clients.clone() })?;
    let handle = server.handle();
    clws_examples::on_stop_signal(move || handle.stop())?;
    for address in server.local_addrs()? {
        println!("listening on ws://{address}/");
    }
    task::spawn(async move {
        loop {
            task::sleep(every).await;
            for client in clients.members() {
                let _ = ping(&client); // one that is gone needs none
            }
        }
    });
    server.run().await?;
    Ok(())
}
