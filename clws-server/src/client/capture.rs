//! Recordings that the application wants of its clients.

use clws_handshake::client::ClientRequest;
use clws_handshake::{Acceptance, HandshakeLimits, Status, parse};
#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;

use crate::capture::error::CaptureError;
use crate::capture::recorder::Request;
use crate::client::Client;

impl Client {
    /// Records the connection from now on into a file: see [`capture`](crate::capture). The file
    /// contains private data.
    ///
    /// The recording begins between two messages, when everything that is queued has been written.
    /// A client that is busy all the time, or never reads, may not come to that point. The request
    /// and the response at the beginning of the file are rebuilt from what the server has kept of
    /// the handshake. Compressed messages that refer to messages before the recording cannot be
    /// decompressed.
    ///
    /// It has no effect on a client that is recorded already.
    /// [`Accept::capture`](crate::Accept::capture) records a connection from its first byte.
    ///
    /// # Errors
    ///
    /// The server does not record, the limit on recordings is reached, or the connection has ended.
    pub fn capture(&self) -> Result<(), CaptureError> {
        let recorder = self.0.context.shared.recorder.get().ok_or(CaptureError::Off)?;
        if self.is_disconnected() {
            return Err(CaptureError::Closed);
        }
        let (received, sent) = self.rebuilt_handshake();
        recorder.request(self.0.id.number(), Request { received, sent, is_late: true })?;
        if self.is_disconnected() {
            self.forget_capture(); // its driver may have looked before the request was there
            return Err(CaptureError::Closed);
        }
        self.wake();
        Ok(())
    }

    /// Forgets the request for a recording, because the connection has ended.
    pub(crate) fn forget_capture(&self) {
        if let Some(recorder) = self.0.context.shared.recorder.get()
            && recorder.has_requests()
        {
            recorder.forget(self.0.id.number());
        }
    }

    /// A request and a response that lead to this connection. The key is another one.
    pub(crate) fn rebuilt_handshake(&self) -> (Vec<u8>, Vec<u8>) {
        let is_own = |name: &str| {
            let name = name.to_ascii_lowercase();
            name.starts_with("sec-")
                || ["host", "upgrade", "connection", "origin", "websocket-protocol"].contains(&&*name)
        };
        let headers: Vec<_> = self.headers().iter().filter(|(name, _)| !is_own(name)).collect();
        self.handshake(&headers).or_else(|| self.handshake(&[])).unwrap_or_default()
    }

    fn handshake(&self, headers: &[(&str, &str)]) -> Option<(Vec<u8>, Vec<u8>)> {
        let head = &self.0.head;
        let query = head.query().map(|query| format!("?{query}")).unwrap_or_default();
        let host = if head.host().is_empty() { "localhost" } else { head.host() };
        let url = format!("ws://{host}{}{query}", head.path());
        let mut request = ClientRequest::new(self.0.version, &url);
        let mut acceptance = Acceptance::new();
        if let Some(origin) = head.origin().or_else(|| self.0.version.is_hixie().then_some("null")) {
            request = request.origin(origin);
        }
        if let Some(name) = self.subprotocol() {
            request = request.subprotocol(name);
            acceptance = acceptance.subprotocol(name);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        #[cfg(feature = "deflate")]
        let deflate = self.deflate().map(|params| {
            DeflateConfig::default()
                .server_no_context_takeover(params.server_no_context_takeover)
                .client_no_context_takeover(params.client_no_context_takeover)
                .server_max_window_bits(params.server_max_window_bits)
                .client_max_window_bits(params.client_max_window_bits)
        });
        #[cfg(feature = "deflate")]
        if let Some(config) = &deflate {
            request = request.deflate(config);
            acceptance = acceptance.deflate(config);
        }
        let (bytes, _) = request.build(&mut |key: &mut [u8]| key.fill(0x5A)).ok()?;
        let limits = HandshakeLimits::default().max_head_bytes(usize::MAX).hixie(true).hixie_75(true);
        let response = match parse(&bytes, &limits) {
            Ok(Status::Complete(request)) => request.accept(&acceptance).ok()?.response,
            _ => return None,
        };
        Some((bytes, response))
    }
}
