//! A complete echo server on `clws-proto` and `clws-handshake` alone, with blocking `std::net` and
//! one thread per client. The two crates need no runtime. The server speaks every draft.
//!
//! `cargo run --release -p clws-examples --bin custom_io -- 127.0.0.1:12345`

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use clws_handshake::{
    Acceptance, HandshakeLimits, HeadScanner, HttpRequest, Reject, Request, Status, Version,
};
use clws_proto::connection::{Connection, State};
use clws_proto::{CloseCode, Event, Limits};

/// The time for a client to answer a close frame and to end its side.
const PATIENCE: Duration = Duration::from_secs(2);

/// An echo server on blocking sockets, for every draft
#[derive(Parser)]
struct Flags {
    /// Address to listen on; port 0 selects a free port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:12345")]
    address: String,
}

fn main() -> std::process::ExitCode {
    clws_examples::exit_code("custom_io", run())
}

fn run() -> io::Result<()> {
    clws_examples::return_freed_memory();
    let Flags { address } = Flags::parse();
    let listener = TcpListener::bind(&address).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => "; another program listens there",
            ErrorKind::AddrNotAvailable | ErrorKind::PermissionDenied => "",
            _ => "; an address is written as `127.0.0.1:12345`",
        };
        io::Error::new(error.kind(), format!("cannot listen on `{address}`: {error}{remedy}"))
    })?;
    let clients = Arc::new(Clients::default());
    let all = Arc::clone(&clients);
    clws_examples::on_stop_signal(move || {
        let (closed, left) = all.close();
        clws_examples::say(&format!("stopped: {closed} clients closed, {left} cut"));
        std::process::exit(0);
    })?;
    println!("listening on ws://{}/", listener.local_addr()?);
    loop {
        let clients = Arc::clone(&clients);
        let accepted = listener.accept().and_then(|(stream, _)| {
            let client =
                move || serve(stream, &clients).inspect_err(|e| eprintln!("a connection failed: {e}"));
            thread::Builder::new().spawn(client)
        });
        if let Err(error) = accepted {
            eprintln!("cannot accept a client: {error}");
            thread::sleep(Duration::from_millis(100)); // descriptors or threads may be exhausted for a while
        }
    }
}

fn serve(stream: TcpStream, clients: &Clients) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(2 * PATIENCE))?;
    let Some((version, early)) = shake_hands(&stream)? else { return finish(&stream) };
    stream.set_read_timeout(None)?;
    let ws = Mutex::new(Connection::server(version, Limits::default()));
    let client = Arc::new(Client { stream, ws });
    let is_closing = clients.add(&client);
    let result = if is_closing { client.close() } else { Ok(()) };
    let result = result.and_then(|()| client.serve(early));
    clients.remove(&client);
    result
}

/// An open connection. Its own thread reads and answers, and another thread may close it.
struct Client {
    stream: TcpStream,
    ws: Mutex<Connection>,
}

impl Client {
    fn serve(&self, mut early: Vec<u8>) -> io::Result<()> {
        let mut state = self.update(|ws| echo(ws, &mut early))?;
        let mut buffer = vec![0; 64 * 1024];
        while state != State::Closed {
            let count = (&self.stream).read(&mut buffer)?;
            state = self.update(|ws| {
                if count == 0 {
                    ws.end_of_input();
                }
                echo(ws, &mut buffer[..count]);
            })?;
        }
        finish(&self.stream)?;
        match self.lock().end() {
            Some(Err(error)) => Err(io::Error::other(error)),
            _ => Ok(()),
        }
    }

    /// Changes the connection, then writes queued data. Returns the connection's state.
    fn update(&self, change: impl FnOnce(&mut Connection)) -> io::Result<State> {
        let mut ws = self.lock();
        change(&mut ws);
        ws.transmit(|slices| (&self.stream).write_vectored(slices))?;
        if ws.wants_shutdown() {
            let _ = self.stream.shutdown(Shutdown::Write); // it fails if the client has reset the connection
        }
        Ok(ws.state())
    }

    fn close(&self) -> io::Result<()> {
        self.update(|ws| {
            let _ = ws.close(CloseCode::GOING_AWAY, ""); // it fails if the client has begun to close
        })
        .map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.ws.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All open connections, to be closed when the server stops.
#[derive(Default)]
struct Clients(Mutex<Open>);

#[derive(Default)]
struct Open {
    connections: Vec<Arc<Client>>,
    is_closing: bool,
}

impl Clients {
    /// Adds a connection. Returns whether the server is stopping and must close it.
    fn add(&self, connection: &Arc<Client>) -> bool {
        let mut open = self.lock();
        open.connections.push(Arc::clone(connection));
        open.is_closing
    }

    fn remove(&self, connection: &Arc<Client>) {
        self.lock().connections.retain(|other| !Arc::ptr_eq(other, connection));
    }

    /// Closes all connections and waits for the clients' answers. Returns the number of clients that
    /// have answered, and that of the others.
    fn close(&self) -> (usize, usize) {
        let connections = {
            let mut open = self.lock();
            open.is_closing = true;
            open.connections.clone()
        };
        let count = connections.len();
        for connection in connections {
            // Writing to a client that does not read blocks.
            thread::spawn(move || connection.close());
        }
        let end = Instant::now() + PATIENCE;
        while !self.lock().connections.is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        let left = self.lock().connections.len();
        (count.saturating_sub(left), left)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends our side, then reads until the client ends its side. Dropping a socket with unread input
/// would reset the connection.
fn finish(stream: &TcpStream) -> io::Result<()> {
    let _ = stream.shutdown(Shutdown::Write); // fails if the connection is lost; then reading fails too
    stream.set_read_timeout(Some(PATIENCE))?;
    io::copy(&mut stream.take(1 << 20), &mut io::sink()).map(drop)
}

/// Reads the request and answers it. Returns the version and the input after the request.
fn shake_hands(mut stream: &TcpStream) -> io::Result<Option<(Version, Vec<u8>)>> {
    let (mut received, mut scanner) = (Vec::new(), HeadScanner::new());
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => received.extend_from_slice(&buffer[..count]),
        }
        match request(&received, &mut scanner, &HandshakeLimits::default().hixie(true).hixie_75(true)) {
            Ok(Status::Partial) => {}
            Ok(Status::Complete(request)) => {
                let accepted = request.accept(&Acceptance::new()).map_err(io::Error::other)?;
                stream.write_all(&accepted.response)?;
                return Ok(Some((accepted.version, received.split_off(accepted.consumed))));
            }
            Err(reject) => return stream.write_all(&reject.response_to(&received)).map(|()| None),
        }
    }
}

fn request<'a>(
    received: &'a [u8],
    scanner: &mut HeadScanner,
    limits: &HandshakeLimits,
) -> Result<Status<Request<'a>>, Reject> {
    match scanner.scan(received, limits)? {
        Status::Partial => Ok(Status::Partial),
        Status::Complete(end) => {
            HttpRequest::parse(&received[..end], limits)?.upgrade(&received[end..], limits)
        }
    }
}

fn echo(ws: &mut Connection, input: &mut [u8]) {
    let mut events = ws.receive(input);
    while let Some((event, sender)) = events.next() {
        // Sending fails only after a close frame. Then nothing must be sent.
        let _ = match event {
            Event::Text(text) => sender.forward_text(text),
            Event::Binary(payload) => sender.forward_binary(payload),
            _ => Ok(()), // the connection has answered pings and close frames
        };
    }
}
