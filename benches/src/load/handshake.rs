//! The opening handshake.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use clws_handshake::client::{ClientRequest, Established, Pending};
use clws_handshake::{HandshakeLimits, Status};
use clws_proto::{CodecPool, DeflateConfig, Input, Limits, Receiver, Role, Sender};
use socket2::{Domain, Protocol, Socket, Type};

use super::args::{Common, MAX_SIZE};
use super::client::{Client, Pool};
use super::error::Error;
use super::link::Link;
use super::ring::Ring;
use super::tls::Connector;
use crate::random::SplitMix;

/// Opens connections of one load. All of them send the same request.
pub(super) struct Opener<'a> {
    common: &'a Common,
    offer: Option<DeflateConfig>,
    limits: Arc<Limits>,
    codecs: CodecPool,
    tls: Option<Connector>,
    /// The bytes of the request.
    request: Vec<u8>,
    /// The response before its first byte.
    pub(super) pending: Pending,
}

impl<'a> Opener<'a> {
    /// Prepares the request for `--path`, or for this default.
    pub(super) fn new(common: &'a Common, path: &str, offer: Option<DeflateConfig>) -> Result<Self, Error> {
        Self::resuming(common, path, offer, 0)
    }

    /// The same, for connections that resume the TLS sessions of this many slots; 0 resumes none.
    pub(super) fn resuming(
        common: &'a Common,
        path: &str,
        offer: Option<DeflateConfig>,
        slots: usize,
    ) -> Result<Self, Error> {
        let (url, origin) = (common.url(path), common.origin());
        let mut request = ClientRequest::new(common.draft, &url).origin(&origin);
        if let Some(offer) = &offer {
            request = request.deflate(offer);
        }
        let mut random = SplitMix(0x5eed); // the keys need not be secret on a loopback connection
        let (request, pending) = request
            .build(&mut |bytes: &mut [u8]| bytes.fill_with(|| random.next().to_le_bytes()[0]))
            .map_err(|error| Error::Usage(format!("{url}: {error}")))?;
        let max = usize::try_from(MAX_SIZE).unwrap_or(usize::MAX);
        let limits = Arc::new(Limits::default().max_message_size(max).max_frame_size(max));
        let codecs = CodecPool::new(&offer.unwrap_or_default());
        let tls = common.tls.tls.then(|| Connector::new(&common.tls, slots)).transpose()?;
        Ok(Self { common, offer, limits, codecs, tls, request, pending })
    }

    /// Opens an unconnected socket, bound to this source address if there is one.
    pub(super) fn socket(&self, source: Option<IpAddr>) -> Result<Socket, Error> {
        let socket = Socket::new(Domain::for_address(self.common.target), Type::STREAM, Some(Protocol::TCP))
            .map_err(|e| Error::io("opening a socket", e))?;
        socket.set_tcp_nodelay(true).map_err(|e| Error::io("TCP_NODELAY", e))?;
        if let Some(source) = source {
            socket
                .bind(&SocketAddr::new(source, 0).into())
                .map_err(|e| Error::io(format!("binding to {source}"), e))?;
        }
        Ok(socket)
    }

    /// Sends the request on a connected socket. With TLS, the request follows the TLS handshake,
    /// which the reads of the response drive. Returns also the size of the request in bytes.
    pub(super) fn request(&self, socket: TcpStream, slot: usize) -> Result<(Link, usize), Error> {
        let tls = self.tls.as_ref().map(|connector| connector.session(slot)).transpose()?;
        let mut link = Link::new(socket, tls);
        link.write_all(&self.request).map_err(|e| Error::io("sending the opening handshake", e))?;
        Ok((link, self.request.len()))
    }

    /// Connects and shakes hands, blocking. Returns also the properties of TLS and the accepted
    /// extension parameters.
    pub(super) fn open(
        &self,
        number: usize,
        source: Option<IpAddr>,
        ring: &Ring,
    ) -> Result<(Client, String), Error> {
        let (target, patience) = (self.common.target, Duration::from_secs_f64(self.common.stall));
        let socket = self.socket(source)?;
        socket
            .connect_timeout(&target.into(), patience)
            .map_err(|e| Error::io(format!("connecting to {target}"), e))?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(patience)).map_err(|e| Error::io("SO_RCVTIMEO", e))?;
        stream.set_write_timeout(Some(patience)).map_err(|e| Error::io("SO_SNDTIMEO", e))?;
        let (mut link, _) = self.request(stream, number)?;
        let (mut input, mut part, mut pending) = (Vec::new(), [0; 1024], self.pending.clone());
        loop {
            let read =
                link.read(&mut part).map_err(|e| Error::io("waiting for the handshake response", e))?;
            if read.ended {
                return Err(Error::Handshake("the server closed the connection instead of answering".into()));
            }
            input.extend_from_slice(&part[..read.bytes]);
            if let Some(established) = check(&mut pending, &input)? {
                let agreed = self.agreed(&established)?;
                let note = [link.tls(), agreed].into_iter().filter(|text| !text.is_empty());
                let note = note.collect::<Vec<_>>().join("; ");
                let early = established.consumed;
                let mut client = self.client(link, number, &established);
                client.decode(Input::Lent(&mut input[early..]), ring, &Pool::default())?;
                return Ok((client, note));
            }
        }
    }

    /// The connection after its handshake.
    pub(super) fn client(&self, link: Link, number: usize, established: &Established<'_>) -> Client {
        let mut receiver = Receiver::new(self.common.draft, Role::Client, Arc::clone(&self.limits));
        if let Some(params) = established.deflate {
            receiver = receiver.deflate(params, &self.codecs);
        }
        // The sender sends control frames only.
        Client::new(link, number, receiver, Sender::client(self.common.draft, || [0x11, 0x22, 0x33, 0x44]))
    }

    /// The accepted extension parameters as the server sent them. They must be the offered ones.
    fn agreed(&self, established: &Established<'_>) -> Result<String, Error> {
        let Some(offer) = &self.offer else { return Ok(String::new()) };
        let value = established.headers.get("Sec-WebSocket-Extensions").unwrap_or_default();
        let why = match established.deflate {
            None => "the server does not take permessage-deflate: enable compression there".to_owned(),
            Some(params) if params.server_no_context_takeover && !offer.server_no_context_takeover => {
                format!("the server keeps no context: use --deflate ({value:?})")
            }
            Some(params) if params.client_max_window_bits < offer.client_max_window_bits => {
                let bits = params.client_max_window_bits;
                format!("the server requires windows of {bits} bits: use --deflate-window {}", bits.max(9))
            }
            Some(_) => return Ok(value.to_owned()),
        };
        Err(Error::Handshake(why))
    }
}

/// Checks the response. Returns `None` while it is incomplete.
pub(super) fn check<'a>(pending: &mut Pending, received: &'a [u8]) -> Result<Option<Established<'a>>, Error> {
    match pending.check(received, &HandshakeLimits::default()) {
        Ok(Status::Complete(established)) => Ok(Some(established)),
        Ok(Status::Partial) => Ok(None),
        Err(error) => Err(Error::Handshake(error.to_string())),
    }
}
