//! A complete echo server on `clws-proto` and `clws-handshake` alone, over blocking `std::net`, a thread per client: the
//! proof that the two crates need no runtime. Every draft is spoken.
//!
//! `cargo run --release -p clws-examples --bin custom_io -- 127.0.0.1:12345`

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use clws_handshake::{Caps, HeadScanner, HttpRequest, Offer, Reject, Request, Status, Version};
use clws_proto::{Event, Limits, Receiver, Role, Sender};

fn main() -> io::Result<()> {
    clws_examples::return_freed_memory();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:12345".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on ws://{}/", listener.local_addr()?);
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue }; // a client that gave up while it waited
        std::thread::spawn(move || serve(&stream).inspect_err(|e| eprintln!("a client is lost: {e}")));
    }
    Ok(())
}

fn serve(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let Some((version, mut early)) = shake_hands(stream)? else { return finish(stream) };
    stream.set_read_timeout(None)?;
    let mut receiver = Receiver::new(version, Role::Server, Limits::default());
    let mut sender = Sender::server(version);
    echo(&mut receiver, &mut sender, &mut early);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        sender.write_to(&mut stream)?;
        if sender.close_sent() {
            return finish(stream);
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => echo(&mut receiver, &mut sender, &mut buffer[..count]),
        }
    }
}

/// Ends our side, then reads to the end of the client's: to drop a socket with unread input resets the connection.
fn finish(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
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
        match request(&received, &mut scanner, &Caps::default().with_hixie(true).with_hixie_75(true)) {
            Ok(Status::Partial) => {}
            Ok(Status::Complete(request)) => {
                let accepted = request.accept(&Offer::new()).map_err(io::Error::other)?;
                stream.write_all(&accepted.response)?;
                return Ok(Some((accepted.version, received.split_off(accepted.consumed))));
            }
            Err(reject) => return stream.write_all(&reject.response()).map(|()| None),
        }
    }
}

fn request<'a>(all: &'a [u8], scanner: &mut HeadScanner, caps: &Caps) -> Result<Status<Request<'a>>, Reject> {
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
