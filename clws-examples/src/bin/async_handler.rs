//! A server with one async function per client. The state of a client is in local variables.
//!
//! It shows [`WebSocket`]'s `next` and `send`, a timeout, waiting for two events at once, and
//! reading and writing in separate tasks.
//!
//! `cargo run --release -p clws-examples --bin async_handler`, then one of
//! `cargo run --release -p clws-examples --bin client -- ws://127.0.0.1:12345/guess`
//! (or `/clock`, or `/jobs`).

use std::pin::pin;
use std::time::Duration;

use async_std::channel;
use async_std::future::timeout;
use async_std::task;
use clap::Parser;
use clws_server::{ByteString, Config, Message, Origins, SendError, Server, WebSocket, async_handler};
use futures::FutureExt;
use futures::select;

/// A guessing game. A client that thinks for too long is disconnected.
async fn guess(mut socket: WebSocket, patience: Duration) -> Result<(), SendError> {
    // Random enough for a game: the system picks the port of the next client.
    let secret = 1 + socket.client().remote_port().unwrap_or_default() % 100;
    socket.send("guess my number, from 1 to 100").await?;
    for tries in 1.. {
        let text = match timeout(patience, socket.next()).await {
            Ok(Some(Message::Text(text))) => text,
            Ok(Some(_)) => ByteString::new(),
            Ok(None) => break, // the client has disconnected
            Err(_) => return socket.send("too slow: goodbye").await,
        };
        match text.trim().parse::<u16>() {
            Err(_) => socket.send("that is no number").await?,
            Ok(number) if number < secret => socket.send("more").await?,
            Ok(number) if number > secret => socket.send("less").await?,
            Ok(_) => return socket.send(format!("yes, after {tries} tries: goodbye")).await,
        }
    }
    Ok(())
}

/// A clock whose interval the client sets. It waits for the next tick and for the client at the
/// same time.
async fn clock(mut socket: WebSocket) -> Result<(), SendError> {
    let mut pace = Duration::from_secs(1);
    for tick in 0_u32.. {
        let mut pause = pin!(task::sleep(pace).fuse());
        loop {
            // Dropping an unfinished `next` loses no message, so each round can start a new one.
            select! {
                () = pause => break,
                message = socket.next().fuse() => match message {
                    Some(Message::Text(text)) => match text.parse().map(Duration::try_from_secs_f64) {
                        Ok(Ok(wanted)) if wanted >= Duration::from_millis(10) => pace = wanted,
                        _ => socket.send("say the seconds from tick to tick, 0.01 or more").await?,
                    },
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
        socket.send(format!("tick {tick}")).await?;
    }
    Ok(())
}

/// Slow work: accepts jobs while others are in progress, with at most eight in the queue.
async fn jobs(socket: WebSocket) {
    let (mut reader, mut writer) = socket.split();
    let (queue, waiting) = channel::bounded(8);
    let worker = task::spawn(async move {
        while let Ok(job) = waiting.recv().await {
            task::sleep(Duration::from_millis(100)).await;
            writer.send(format!("done: {job}")).await?;
        }
        Ok::<_, SendError>(())
    });
    while let Some(message) = reader.next().await {
        if let Message::Text(job) = message {
            // With a full queue this waits. The client's messages then stay unread, and TCP makes
            // the client wait.
            if queue.send(job).await.is_err() {
                break; // the worker has ended because the client does not read
            }
        }
    }
    drop(queue);
    let _ = worker.await; // fails only if the client has disconnected
}

/// A server that serves each client with an async function
#[derive(Parser)]
struct Flags {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:12345")]
    listen: String,
    /// Seconds to think about a guess
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "30",
        value_parser = clws_examples::seconds_above_zero,
        allow_hyphen_values = true
    )]
    patience: Duration,
}

fn main() -> std::process::ExitCode {
    clws_examples::exit_code("async_handler", async_std::task::block_on(run()))
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let server = Server::bind(Config::default().listen(flags.listen).protocol_76_00_support(true))?;
    // The result of a handler function is ignored, because an undelivered answer needs no action.
    server.resources().register(
        "/guess",
        Origins::any(),
        async_handler(move |socket| guess(socket, flags.patience)),
    )?;
    server.resources().register("/clock", Origins::any(), async_handler(clock))?;
    server.resources().register("/jobs", Origins::any(), async_handler(jobs))?;
    clws_examples::drain_on_signal(server.handle())?;
    clws_examples::announce(&server.local_addrs()?);
    clws_examples::say_report(&server.run().await?);
    Ok(())
}
