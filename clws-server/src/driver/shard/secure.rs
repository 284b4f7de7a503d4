//! The TLS sessions of a shard's connections. Without a feature for TLS there are none.

use std::io;

#[cfg(feature = "__tls")]
use {
    crate::guard::{Nowhere, discard},
    crate::net::tls::buffers::TlsBuffers,
    crate::net::tls::handle::Tls,
    crate::net::tls::info::TlsCell,
    crate::net::transport::TlsTransport,
    crate::time::now,
    std::collections::VecDeque,
    std::sync::Arc,
    std::time::{Duration, Instant},
};

use crate::config::Config;
use crate::net::socket::Socket;

/// The time of a turn for TLS handshakes. No handshake begins after it. A full handshake takes 0.1 to
/// 0.5 ms, so a burst of them would hold up the messages of other clients.
#[cfg(feature = "__tls")]
const HANDSHAKE_TIME: Duration = Duration::from_millis(1);

/// The sessions, by the slots of their connections.
#[derive(Default)]
pub(super) struct Secure {
    /// Empty as long as no connection has had TLS.
    #[cfg(feature = "__tls")]
    transports: Vec<Option<Box<TlsTransport>>>,
    #[cfg(feature = "__tls")]
    buffers: TlsBuffers,
    /// The time of this turn that handshakes have used.
    #[cfg(feature = "__tls")]
    used: Duration,
    /// Slots with input of a handshake that wait for the next turn.
    #[cfg(feature = "__tls")]
    waiting: VecDeque<u32>,
    /// A slot that has waited is being served.
    #[cfg(feature = "__tls")]
    serves_waiting: bool,
}

/// The session of one slot, if there is one, and what it needs.
pub(super) struct SlotTls<'a> {
    #[cfg(feature = "__tls")]
    pub(super) transport: Option<&'a mut TlsTransport>,
    #[cfg(feature = "__tls")]
    pub(super) buffers: &'a mut TlsBuffers,
    #[cfg(feature = "__tls")]
    used: &'a mut Duration,
    #[cfg(feature = "__tls")]
    pub(super) config: &'a Config,
    #[cfg(not(feature = "__tls"))]
    _none: std::marker::PhantomData<&'a ()>,
}

#[cfg(feature = "__tls")]
impl Secure {
    /// Adds a session if the socket is for TLS. Returns the cell for the result of its handshake.
    pub(super) fn add(
        &mut self,
        slot: u32,
        socket: &Socket,
        tls: Option<&Tls>,
    ) -> io::Result<Option<Arc<TlsCell>>> {
        if !socket.is_tls() {
            return Ok(None);
        }
        let tls = tls.ok_or(io::ErrorKind::NotFound)?;
        let info = Arc::new(TlsCell::new());
        let transport = TlsTransport::new(tls, Arc::clone(&info)).map_err(io::Error::other)?;
        let index = slot as usize;
        if self.transports.len() <= index {
            self.transports.resize_with(index + 1, || None);
        }
        if let Some(space) = self.transports.get_mut(index) {
            *space = Some(Box::new(transport));
        }
        Ok(Some(info))
    }

    /// Forgets a slot whose connection is dropped.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32, config: &Config) {
        if let Some(transport) = self.transports.get_mut(slot as usize).and_then(Option::take) {
            // This may be the last session with a config of the application, whose code runs in the drop.
            discard(config.debug_on(), &Nowhere, transport);
        }
    }

    #[inline]
    pub(super) fn of<'a>(&'a mut self, slot: u32, config: &'a Config) -> SlotTls<'a> {
        let transport = self.transports.get_mut(slot as usize).and_then(Option::as_deref_mut);
        SlotTls { transport, buffers: &mut self.buffers, used: &mut self.used, config }
    }

    /// The bytes of memory for ciphertext.
    #[inline]
    pub(super) fn held(&self, slot: u32) -> usize {
        self.transport(slot).map_or(0, TlsTransport::held)
    }

    pub(super) const fn begin_turn(&mut self) {
        self.used = Duration::ZERO;
    }

    /// Whether the slot must wait, because handshakes have used their time of this turn, or others
    /// wait already. Otherwise new handshakes could use all of the time, turn after turn.
    #[inline]
    pub(super) fn must_wait(&self, slot: u32) -> bool {
        let is_behind = !self.waiting.is_empty() && !self.serves_waiting;
        (is_behind || self.used >= HANDSHAKE_TIME)
            && self.transport(slot).is_some_and(TlsTransport::is_handshaking)
    }

    pub(super) fn wait(&mut self, slot: u32) {
        self.waiting.push_back(slot);
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next slot that waits, if there is time left for it. The caller serves it, and calls again
    /// until there is none.
    pub(super) fn next_waiting(&mut self) -> Option<u32> {
        let next = if self.used < HANDSHAKE_TIME { self.waiting.pop_front() } else { None };
        self.serves_waiting = next.is_some();
        next
    }

    #[inline]
    fn transport(&self, slot: u32) -> Option<&TlsTransport> {
        self.transports.get(slot as usize)?.as_deref()
    }
}

#[cfg(feature = "__tls")]
impl SlotTls<'_> {
    /// Begins to measure the time of a handshake. `None` if it is complete.
    pub(super) fn handshake_started(&self) -> Option<Instant> {
        self.transport.as_ref().is_some_and(|transport| transport.is_handshaking()).then(now)
    }

    pub(super) fn handshake_paused(&mut self, started: Instant) {
        *self.used += now().saturating_duration_since(started);
    }
}

#[cfg(not(feature = "__tls"))]
#[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "there are no sessions")]
impl Secure {
    pub(super) fn add(&mut self, _: u32, _: &Socket, _: Option<()>) -> io::Result<Option<()>> {
        Ok(None)
    }

    pub(super) const fn remove(&mut self, _: u32, _: &Config) {}

    pub(super) const fn of<'a>(&'a mut self, _: u32, _: &'a Config) -> SlotTls<'a> {
        SlotTls { _none: std::marker::PhantomData }
    }

    pub(super) const fn held(&self, _: u32) -> usize {
        0
    }

    pub(super) const fn begin_turn(&mut self) {}

    pub(super) const fn must_wait(&self, _: u32) -> bool {
        false
    }

    pub(super) const fn wait(&mut self, _: u32) {}

    pub(super) const fn has_waiting(&self) -> bool {
        false
    }

    pub(super) const fn next_waiting(&mut self) -> Option<u32> {
        None
    }
}

#[cfg(all(test, feature = "__tls"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// New handshakes wait behind the earlier ones, although the new turn has time for them.
    #[test]
    fn handshakes_are_served_in_the_order_of_their_wait() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let tls = Tls::from_pem(made.cert.pem(), made.signing_key.serialize_pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut secure = Secure::default();
        for slot in 0..2 {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            secure.add(slot, &Socket::tcp(stream, true), Some(&tls)).unwrap().unwrap();
        }
        assert!(!secure.must_wait(0));
        secure.used = HANDSHAKE_TIME;
        assert!(secure.must_wait(0));
        secure.wait(0);
        assert_eq!(secure.next_waiting(), None);

        secure.begin_turn();
        assert!(secure.must_wait(1), "behind the first");
        secure.wait(1);
        for slot in 0..2 {
            assert_eq!(secure.next_waiting(), Some(slot));
            assert!(!secure.must_wait(slot));
        }
        assert_eq!(secure.next_waiting(), None);
        assert!(!secure.must_wait(1));
    }
}
