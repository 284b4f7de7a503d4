//! A complete echo server on `clws-proto` and `clws-handshake` alone, over blocking `std::net`, a thread per client: the
//! proof that the two crates need no runtime. Every draft is spoken.
//!
//! `cargo run --release -p clws-examples --bin custom_io -- 127.0.0.1:12345`

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clws_handshake::{
    Acceptance, HandshakeLimits, HeadScanner, HttpRequest, Reject, Request, Status, Version,
};
use clws_proto::{CloseCode, Event, Limits, Receiver, Role, Sender};

/// How long a client may take to answer a close frame, and to end its side.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> io::Result<()> {
    clws_examples::return_freed_memory();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:12345".to_owned());
    let listener = TcpListener::bind(address)?;
    let clients = Arc::new(Clients::default());
    let all = Arc::clone(&clients);
    clws_examples::on_stop_signal(move || {
        all.close();
        std::process::exit(0);
    })?;
    println!("listening on ws://{}/", listener.local_addr()?);
    loop {
        let clients = Arc::clone(&clients);
        let accepted = listener.accept().and_then(|(stream, _)| {
            let client = move || serve(stream, &clients).inspect_err(|e| eprintln!("a client is lost: {e}"));
            thread::Builder::new().spawn(client)
        });
        if let Err(error) = accepted {
            eprintln!("a client is not served: {error}");
            thread::sleep(Duration::from_millis(100)); // there may be no descriptor, or no thread, for a while
        }
    }
}

fn serve(stream: TcpStream, clients: &Clients) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(2 * PATIENCE))?;
    let Some((version, early)) = shake_hands(&stream)? else { return finish(&stream) };
    stream.set_read_timeout(None)?;
    let connection = Arc::new(Connection { stream, version, sender: Mutex::new(Sender::server(version)) });
    let is_closing = clients.add(&connection);
    let result = if is_closing { connection.close() } else { Ok(()) };
    let result = result.and_then(|()| connection.serve(early));
    clients.remove(&connection);
    result
}

/// An open connection: its own thread reads and answers, another one may close it.
struct Connection {
    stream: TcpStream,
    version: Version,
    sender: Mutex<Sender>,
}

impl Connection {
    fn serve(&self, mut early: Vec<u8>) -> io::Result<()> {
        let mut receiver = Receiver::new(self.version, Role::Server, Limits::default());
        let mut closed = self.send(|sender| echo(&mut receiver, sender, &mut early))?;
        let mut buffer = vec![0; 64 * 1024];
        while !closed {
            match (&self.stream).read(&mut buffer)? {
                0 => return Ok(()),
                count => closed = self.send(|sender| echo(&mut receiver, sender, &mut buffer[..count]))?,
            }
        }
        finish(&self.stream)
    }

    /// Queues something and writes it; whether a close frame was sent, now or before.
    fn send(&self, queue: impl FnOnce(&mut Sender)) -> io::Result<bool> {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        queue(&mut sender);
        sender.write_to(&mut &self.stream)?;
        Ok(sender.close_sent())
    }

    fn close(&self) -> io::Result<()> {
        let close = |sender: &mut Sender| {
            let _ = sender.close(CloseCode::GOING_AWAY, ""); // it fails where the client has begun to close
        };
        self.send(close)?;
        if self.version.has_close_frame() {
            return Ok(());
        }
        self.stream.shutdown(Shutdown::Write) // that is how hixie-75 closes
    }
}

/// Everybody who is connected, to be closed when the server ends.
#[derive(Default)]
struct Clients(Mutex<Open>);

#[derive(Default)]
struct Open {
    connections: Vec<Arc<Connection>>,
    is_closing: bool,
}

impl Clients {
    /// Adds one; whether the server ends, and with it this connection.
    fn add(&self, connection: &Arc<Connection>) -> bool {
        let mut open = self.lock();
        open.connections.push(Arc::clone(connection));
        open.is_closing
    }

    fn remove(&self, connection: &Arc<Connection>) {
        self.lock().connections.retain(|other| !Arc::ptr_eq(other, connection));
    }

    /// Closes all of them, and waits until they have answered.
    fn close(&self) {
        let connections = {
            let mut open = self.lock();
            open.is_closing = true;
            open.connections.clone()
        };
        for connection in connections {
            // One that does not read holds up whoever writes to it.
            thread::spawn(move || connection.close());
        }
        let end = Instant::now() + PATIENCE;
        while !self.lock().connections.is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends our side, then reads to the end of the client's: to drop a socket with unread input resets the connection.
fn finish(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    io::copy(&mut stream.take(1 << 20), &mut io::sink()).map(drop)
}

/// Reads the request and answers it; what the client sent behind it comes back with the version.
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
    all: &'a [u8],
    scanner: &mut HeadScanner,
    caps: &HandshakeLimits,
) -> Result<Status<Request<'a>>, Reject> {
    match scanner.scan(all, caps)? {
        Status::Partial => Ok(Status::Partial),
        Status::Complete(head) => HttpRequest::parse(&all[..head], caps)?.upgrade(&all[head..], caps),
    }
}

fn echo(receiver: &mut Receiver, sender: &mut Sender, input: &mut [u8]) {
    let version = receiver.version();
    let mut events = receiver.receive(input);
    loop {
        // A message fails only behind a close frame, where nothing is to be sent.
        let _ = match events.next() {
            Ok(Some(Event::Text(text))) => sender.text(&text, None),
            Ok(Some(Event::Binary(payload))) => sender.binary(&payload, None),
            Ok(Some(Event::Ping(payload))) => {
                sender.answer_ping(&payload);
                continue;
            }
            Ok(Some(Event::Close(frame))) => break sender.answer_close(frame.as_ref()),
            Ok(Some(_)) => continue,
            Ok(None) => break,
            Err(error) => sender.close(error.close_code(version), &error.to_string()),
        };
    }
}
