//! The memory of one stream: its charge, and whether it is held back or dropped.

use std::sync::Arc;
use std::task::Context;

use futures::FutureExt;

use crate::budget::{Charged, HOLD_BACK_ABOVE};
use crate::connection::Connection;
use crate::driver::state::DriverState;
use crate::driver::streams::{ENDED, Holder, TICK};
use crate::guard::Scope;
use crate::runtime::handle::Timer;
use crate::sync::atomic::Ordering;
use crate::sync::broken;
use crate::task_waker::TaskWaker;
use crate::time::now;

pub(super) struct Memory {
    state: Arc<DriverState>,
    holder: Arc<Holder>,
    key: usize,
    charged: Charged,
    /// The driver has seen that the stream is dropped.
    has_seen_drop: bool,
    /// The stream is held back, and waits for a turn.
    waits: bool,
    /// The stream is the favored one, or was it.
    was_favored: bool,
    /// Expires when the stream tries again.
    recheck: Option<Timer>,
}

impl Memory {
    pub(super) fn new(state: &Arc<DriverState>, waker: &Arc<TaskWaker>) -> Self {
        let holder = Arc::new(Holder { waker: Arc::clone(waker), ..Holder::default() });
        let key = state.streams.holders().insert(Arc::clone(&holder));
        let charged = Charged::default();
        Self {
            state: Arc::clone(state),
            holder,
            key,
            charged,
            has_seen_drop: false,
            waits: false,
            was_favored: false,
            recheck: None,
        }
    }

    /// The account of this stream, which other threads read.
    pub(super) const fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// Whether the client must be dropped. Returns true once.
    pub(super) fn must_drop(&mut self) -> bool {
        self.note_seen(0);
        self.holder.dropped.load(Ordering::Relaxed) && !std::mem::replace(&mut self.has_seen_drop, true)
    }

    /// Records that the memory of the dropped stream is about to be freed.
    fn note_seen(&self, then: usize) {
        let held = self.holder.dropping.swap(then, Ordering::Relaxed);
        self.state.streams.note_drop_seen(held);
    }

    /// Charges for the memory that the connection holds now.
    pub(super) fn note(&mut self, connection: &Connection) {
        let input = connection.held_input();
        self.charged.update(input, self.state.budget());
        self.holder.input.store(input, Ordering::Relaxed);
        if self.state.budget().is_over() {
            self.state.relieve_streams();
        }
    }

    /// Whether the connection may be read from. A connection that is held back tries again after a
    /// tick, and may read a little in its turn. One of them may read as usual.
    pub(super) fn may_read(
        &mut self,
        connection: &Connection,
        has_peer_ended: impl Fn() -> bool,
        cx: &mut Context<'_>,
    ) -> bool {
        if !connection.is_held_back(self.state.budget()) {
            self.stop_waiting();
            return true;
        }
        let (streams, budget) = (&self.state.streams, self.state.budget());
        if !std::mem::replace(&mut self.waits, true) {
            connection.note_held();
            streams.turns().join(self.key);
        }
        loop {
            // Reading the rest of a message frees memory.
            let has_ended = connection.held_input() > HOLD_BACK_ABOVE && has_peer_ended();
            if streams.turns().favor(self.key, has_ended, budget) {
                (self.was_favored, self.recheck) = (true, None);
                return true;
            }
            if streams.turns().take(self.key, || budget.reads_per_tick(1)) {
                (self.waits, self.recheck) = (false, None);
                return true;
            }
            let recheck = self.recheck.get_or_insert_with(|| self.state.runtime().timer(now() + TICK));
            if recheck.poll_unpin(cx).is_pending() {
                return false;
            }
            self.recheck = None;
            streams.search_again();
        }
    }

    /// Stops waiting for a turn, because the connection may be read from, or does not want input.
    pub(super) fn stop_waiting(&mut self) {
        if std::mem::take(&mut self.waits) | std::mem::take(&mut self.was_favored) {
            self.recheck = None;
            let streams = &self.state.streams;
            let next = streams.turns().leave(self.key);
            let next = next.and_then(|next| streams.holders().get(next).map(Arc::clone));
            if let Some(next) = next {
                next.waker.wake();
            }
        }
    }
}

/// The client of the stream, for the log. It is known after the handshake.
impl Scope for Memory {
    fn resource(&self) -> Option<String> {
        self.holder.client.get().and_then(Scope::resource)
    }

    fn peer(&self) -> Option<String> {
        self.holder.client.get().and_then(Scope::peer)
    }

    fn client(&self) -> Option<String> {
        self.holder.client.get().and_then(Scope::client)
    }

    fn id(&self) -> Option<String> {
        self.holder.client.get().and_then(Scope::id)
    }

    fn version(&self) -> Option<u8> {
        self.holder.client.get().and_then(Scope::version)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop_waiting();
        let holder = self.state.streams.holders().try_remove(self.key);
        drop(holder);
        self.charged.clear(self.state.budget());
        broken!(GoesUnseen, return self.note_seen(0));
        self.note_seen(ENDED);
    }
}

#[cfg(all(test, not(shuttle)))]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use clws_handshake::client::ClientRequest;
    use clws_proto::Input;

    use super::*;
    use crate::client::watchers::Watcher;
    use crate::config::Config;
    use crate::config::address::Peer;
    use crate::connection::context::Context;
    use crate::connection::share::Share;
    use crate::resource::Resource;
    use crate::time::virtual_clock;
    use crate::wake::WakeTargetRef;
    use clws_handshake::{Origins, Version};

    struct Silent;

    impl Resource for Silent {}

    /// A client that has sent the first `len` bytes of a message.
    fn holding(state: &Arc<DriverState>, waker: &Arc<TaskWaker>, len: usize) -> (Connection, Memory) {
        let memory = Memory::new(state, waker);
        let new_client = Some(&memory.holder.client);
        let context = Context { new_client, ..state.connection_context(WakeTargetRef::Stream(waker)) };
        let mut connection = Connection::new(Peer::Stream, &context);
        let request = ClientRequest::new(Version::Rfc6455, "ws://server/");
        let mut request = request.build(&mut |bytes: &mut [u8]| bytes.fill(0x5A)).unwrap().0;
        connection.handle_input(Input::Lent(&mut request), &mut Share::new(now), &context);
        let mut message = vec![0x82, 0xFF, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]; // of 8 MiB
        message.resize(message.len() + len, 0);
        connection.handle_input(Input::Lent(&mut message), &mut Share::new(now), &context);
        assert!(connection.held_input() >= len);
        (connection, memory)
    }

    /// Searches for a client to drop while another one is being dropped.
    struct Asks(Arc<DriverState>);

    impl Watcher for Asks {
        fn notice(&self) {
            self.0.streams.drop_biggest(&self.0.context);
        }
    }

    #[test]
    fn one_stream_at_a_time_reads_on() {
        let state = DriverState::new(Config::default().max_buffered(1 << 20));
        state.resources.register("/", Origins::any(), Silent).unwrap();
        let waker = Arc::default();
        let [(first, mut memory_of_first), (second, mut memory_of_second)] =
            [(); 2].map(|()| holding(&state, &waker, 100 << 10));
        let (some, much) = (state.budget().limit() / 16 * 13, state.budget().limit() / 4);
        state.budget().charge_bytes(some + much);
        let cx = &mut std::task::Context::from_waker(futures::task::noop_waker_ref());
        assert!(memory_of_first.may_read(&first, || false, cx), "its turn");
        assert!(!memory_of_first.may_read(&first, || false, cx), "the tick has one turn");
        for _ in 0..3 {
            assert!(memory_of_first.may_read(&first, || true, cx));
            assert!(!memory_of_second.may_read(&second, || true, cx), "the first one reads");
        }
        drop(memory_of_first);
        assert!(memory_of_second.may_read(&second, || true, cx));
        memory_of_second.stop_waiting();
        assert!(!memory_of_second.may_read(&second, || false, cx), "it was favored no more");
        state.budget().release_bytes(much);
        state.budget().give_back();

        // Without an end, a stream is favored for a tick.
        assert!(state.budget().is_pressed() && state.budget().has_some_left());
        let start = now();
        virtual_clock::set(Some(start));
        let [mut memory_of_first, mut memory_of_second] = [(); 2].map(|()| Memory::new(&state, &waker));
        for tick in [0, 2] {
            virtual_clock::set(Some(start + tick * TICK));
            assert!(memory_of_first.may_read(&first, || false, cx), "tick {tick}");
            assert!(memory_of_first.may_read(&first, || false, cx));
            virtual_clock::set(Some(start + (tick + 1) * TICK));
            memory_of_first.may_read(&first, || false, cx); // in its turn
            assert!(memory_of_second.may_read(&second, || false, cx), "the next one");
            assert!(memory_of_second.may_read(&second, || false, cx));
        }
        virtual_clock::set(None);
        state.budget().release_bytes(some);
    }

    #[test]
    fn the_same_bytes_drop_one_client_only() {
        let state = DriverState::new(Config::default().max_buffered(1 << 20));
        state.resources.register("/", Origins::any(), Silent).unwrap();
        let waker = Arc::default();
        let (big, mut memory_of_big) = holding(&state, &waker, 700 << 10);
        let (small, mut memory_of_small) = holding(&state, &waker, 600 << 10);
        let asks: Arc<dyn Watcher> = Arc::new(Asks(Arc::clone(&state)));
        big.client().unwrap().watch(&asks);
        memory_of_big.note(&big);
        memory_of_small.note(&small);
        assert_eq!((memory_of_big.must_drop(), memory_of_small.must_drop()), (true, false));
    }
}
