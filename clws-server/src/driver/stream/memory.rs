//! The memory of one stream: its charge, and whether it is held back or dropped.

use std::sync::Arc;
use std::task::Context;

use crate::budget::Charged;
use crate::connection::Connection;
use crate::driver::state::DriverState;
use crate::driver::streams::{ENDED, Holder, TICK};
use crate::guard::Scope;
use crate::runtime;
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
    /// Expires when the stream tries again.
    recheck: Option<runtime::Timer>,
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
    /// tick, and may read a little in its turn.
    pub(super) fn may_read(&mut self, connection: &Connection, cx: &mut Context<'_>) -> bool {
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
            if streams.turns().take(self.key, || budget.reads_per_tick(1)) {
                (self.waits, self.recheck) = (false, None);
                return true;
            }
            let recheck = self.recheck.get_or_insert_with(|| runtime::timer(now() + TICK));
            if recheck.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.recheck = None;
            streams.search_again();
        }
    }

    /// Stops waiting for a turn, because the connection may be read from, or does not want input.
    pub(super) fn stop_waiting(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.recheck = None;
            self.state.streams.turns().leave(self.key);
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
