//! permessage-deflate (RFC 7692) of the load generator: the offer, compression in advance, and
//! inflation.
//!
//! Each message is compressed by itself before the clock starts. This is valid with context
//! takeover too, because a message may refer to earlier messages but need not. The server must
//! still keep the client's context, and its own messages do refer to earlier ones.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::error::Error;

/// A sender removes these bytes, and a receiver appends them (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// zlib's default level, which browsers use.
const LEVEL: i32 = 6;
/// The largest window.
const MOST_BITS: u8 = 15;

/// The requested parameters. The server must accept exactly these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    takeover: bool,
    bits: u8,
}

impl Offer {
    /// Creates an offer with windows of at most 2 to the power of `bits` in both directions.
    #[must_use]
    pub const fn new(takeover: bool, bits: u8) -> Self {
        Self { takeover, bits }
    }

    /// Whether the server's messages may refer to earlier messages.
    #[must_use]
    pub const fn has_takeover(&self) -> bool {
        self.takeover
    }

    /// The header line of the request.
    #[must_use]
    pub fn header(&self) -> String {
        let mut value = String::from("permessage-deflate");
        if !self.takeover {
            value += "; server_no_context_takeover; client_no_context_takeover";
        }
        match self.bits {
            MOST_BITS => value += "; client_max_window_bits",
            bits => value += &format!("; server_max_window_bits={bits}; client_max_window_bits={bits}"),
        }
        format!("Sec-WebSocket-Extensions: {value}\r\n")
    }

    /// Finds and checks the accepted parameters in the head of the response. Returns them as the
    /// server sent them.
    ///
    /// # Errors
    /// [`Error::Handshake`] if the server declined the offer or answered with other parameters.
    pub fn agreed(&self, head: &[u8]) -> Result<String, Error> {
        let wrong = |why: String| Err(Error::Handshake(why));
        let head = String::from_utf8_lossy(head);
        let values: Vec<&str> = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Extensions"))
            .map(|(_, value)| value.trim())
            .collect();
        let [value] = values[..] else {
            return wrong("the server does not take permessage-deflate: enable compression there".into());
        };
        let mut words = value.split(';').map(str::trim);
        if words.next() != Some("permessage-deflate") {
            return wrong(format!("permessage-deflate was offered, but the server accepted {value:?}"));
        }
        let (mut forgets, mut server_bits) = (false, MOST_BITS);
        for word in words {
            let (name, number) = word.split_once('=').unwrap_or((word, ""));
            let bits = number.trim_matches('"').parse().ok().filter(|bits| (8..=MOST_BITS).contains(bits));
            match (name, bits) {
                ("server_no_context_takeover", None) => forgets = true,
                ("client_no_context_takeover", None) => {}
                ("server_max_window_bits", Some(bits)) => server_bits = bits,
                ("client_max_window_bits", Some(bits)) if bits >= self.bits => {}
                ("client_max_window_bits", Some(bits)) => {
                    return wrong(format!(
                        "the server requires windows of {bits} bits: use --deflate-window {}",
                        bits.max(9)
                    ));
                }
                _ => return wrong(format!("unexpected parameter {word:?} in {value:?}")),
            }
        }
        match (forgets, self.takeover) {
            (true, true) => wrong(format!("the server keeps no context: use --deflate ({value:?})")),
            (false, false) => {
                wrong(format!("the server did not accept server_no_context_takeover: {value:?}"))
            }
            _ if server_bits > self.bits => {
                wrong(format!("the offer was for windows of {} bits: {value:?}", self.bits))
            }
            _ => Ok(value.to_owned()),
        }
    }
}

/// Compresses each message by itself.
pub struct Compressor(Deflate);

impl Compressor {
    /// Creates a compressor with the window of the offer.
    #[must_use]
    pub fn new(offer: &Offer) -> Self {
        Self(Deflate::new_with_config(DeflateConfig {
            level: LEVEL,
            window_bits: -i32::from(offer.bits), // raw
            ..DeflateConfig::default()
        }))
    }

    /// Compresses one message to the payload of its frames.
    ///
    /// # Errors
    /// Never in practice, because the output buffer is always large enough.
    pub fn compress(&mut self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.reset();
        let mut out = vec![0; payload.len() + payload.len() / 64 + 128];
        let done = self.0.compress(payload, &mut out, DeflateFlush::SyncFlush);
        let written = usize::try_from(self.0.total_out()).unwrap_or(usize::MAX);
        let bytes = out.get(..written).and_then(|bytes| bytes.strip_suffix(&TAIL));
        match (done, bytes) {
            (Ok(Status::Ok), Some(bytes)) if self.0.total_in() == payload.len() as u64 => Ok(bytes.to_vec()),
            (done, _) => Err(Error::Usage(format!("cannot compress a message: {done:?}"))),
        }
    }
}

/// Inflates the messages of one connection.
pub struct Inflater {
    inflate: Inflate,
    takeover: bool,
    output: Vec<u8>,
}

impl Inflater {
    /// Creates an inflater. `takeover` says whether messages may refer to earlier ones.
    #[must_use]
    pub fn new(takeover: bool) -> Self {
        Self { inflate: Inflate::new(false, MOST_BITS), takeover, output: Vec::new() }
    }

    /// Inflates one message. Returns `None` if the input is corrupt or the message is longer than
    /// `longest`.
    pub fn inflate(&mut self, bytes: &[u8], longest: usize) -> Option<&[u8]> {
        if !self.takeover {
            self.inflate.reset(false);
        }
        self.output.resize(longest + 16, 0); // spare output makes inflate emit all output
        let mut written = 0;
        for mut part in [bytes, &TAIL] {
            while !part.is_empty() {
                let (read, wrote) = (self.inflate.total_in(), self.inflate.total_out());
                let space = self.output.get_mut(written..).filter(|space| !space.is_empty())?;
                let status = self.inflate.decompress(part, space, InflateFlush::SyncFlush).ok()?;
                let read = usize::try_from(self.inflate.total_in() - read).ok()?;
                let wrote = usize::try_from(self.inflate.total_out() - wrote).ok()?;
                if status == Status::StreamEnd || (read == 0 && wrote == 0) {
                    return None; // no known server ends the DEFLATE stream
                }
                part = part.get(read..)?;
                written += wrote;
            }
        }
        self.output.get(..written).filter(|message| message.len() <= longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(offer: Offer, value: &str) -> Result<String, String> {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-extensions: {value}\r\n\r\n");
        offer.agreed(head.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn rejects_parameters_that_differ_from_the_offer() {
        let (none, all, small) = (Offer::new(false, 15), Offer::new(true, 15), Offer::new(true, 12));
        assert!(none.agreed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").is_err());
        assert!(agreed(none, "x-webkit-deflate-frame").is_err());
        assert!(
            agreed(none, "permessage-deflate")
                .unwrap_err()
                .contains("did not accept server_no_context_takeover")
        );
        assert!(agreed(none, "permessage-deflate; server_no_context_takeover").is_ok());
        assert!(agreed(all, "permessage-deflate; server_no_context_takeover").is_err());
        assert!(agreed(all, "permessage-deflate; client_no_context_takeover").is_ok());
        assert!(
            agreed(all, "permessage-deflate; client_max_window_bits=12").unwrap_err().contains("window 12")
        );
        assert!(agreed(small, "permessage-deflate; client_max_window_bits=12").is_err());
        assert!(agreed(small, "permessage-deflate; server_max_window_bits=\"10\"").is_ok());
        assert!(agreed(all, "permessage-deflate; server_max_window_bits=16").is_err());
        assert!(agreed(all, "permessage-deflate; gzip").is_err());
    }

    #[test]
    fn headers_contain_the_offered_parameters() {
        assert!(
            Offer::new(false, 15).header().contains("; client_no_context_takeover; client_max_window_bits\r")
        );
        assert!(!Offer::new(true, 15).header().contains("no_context"));
        assert!(
            Offer::new(true, 9).header().ends_with("server_max_window_bits=9; client_max_window_bits=9\r\n")
        );
    }

    #[test]
    fn inflates_compressed_messages() {
        for bits in 9..=15 {
            let mut compressor = Compressor::new(&Offer::new(true, bits));
            // Messages without back references, read by an inflater that keeps its context.
            let mut inflater = Inflater::new(true);
            for size in [0, 1, 16, 1000, 70_000] {
                let message = "Grüße, мир ".repeat(size / 16 + 1).into_bytes();
                let bytes = compressor.compress(&message[..size]).unwrap();
                assert_eq!(inflater.inflate(&bytes, size), Some(&message[..size]), "{bits} {size}");
                assert_eq!(Inflater::new(false).inflate(&bytes, size), Some(&message[..size]));
                assert!(size == 0 || Inflater::new(false).inflate(&bytes, size - 1).is_none());
            }
        }
        assert!(Inflater::new(false).inflate(&[0xff; 20], 100).is_none());
    }
}
