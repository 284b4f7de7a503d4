//! A driver with a buffer pool: a large message is assembled in a pooled buffer and forwarded
//! without a copy. The buffer returns to the pool once it is written.

use std::cell::RefCell;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use clws_proto::buffer::BufferPool;
use clws_proto::{CloseCode, Event, Limits, Receiver, Role, SendError, Sender, SharedMessage, Version};

#[derive(Debug, Default)]
struct Pool {
    buffers: RefCell<Vec<Vec<u8>>>,
    taken: RefCell<usize>,
}

impl BufferPool for Pool {
    fn acquire(&self, _: usize, _: usize) -> Vec<u8> {
        *self.taken.borrow_mut() += 1;
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    fn release(&self, buffer: Vec<u8>) {
        self.buffers.borrow_mut().push(buffer);
    }
}

/// A client's bytes for one message.
fn wire(text: bool, len: usize) -> Vec<u8> {
    let mut sender = Sender::client(Version::Rfc6455, || [1, 2, 3, 4]);
    if text {
        sender.text(&"x".repeat(len), None).unwrap();
    } else {
        sender.binary(&vec![7; len], None).unwrap();
    }
    drain(&mut sender, &clws_proto::buffer::NoPool)
}

fn drain(sender: &mut Sender, pool: &dyn BufferPool) -> Vec<u8> {
    let mut bytes = Vec::new();
    while sender.queued() > 0 {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = sender.io_slices(&mut slices);
        let before = bytes.len();
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        sender.consume_with(bytes.len() - before, pool);
    }
    bytes
}

#[test]
fn a_forwarded_message_uses_one_buffer() {
    for text in [false, true] {
        let pool = Pool::default();
        pool.release(Vec::with_capacity(100_000));
        let address = pool.buffers.borrow()[0].as_ptr();
        let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
        let mut sender = Sender::server(Version::Rfc6455);
        for _ in 0..3 {
            for piece in wire(text, 100_000).chunks_mut(30_000) {
                let mut events = receiver.receive_with(piece, &pool);
                while let Some(event) = events.next().unwrap() {
                    match event {
                        Event::Text(text) => sender.forward_text(text).unwrap(),
                        Event::Binary(payload) => sender.forward_binary(payload).unwrap(),
                        other => panic!("{other:?}"),
                    }
                }
            }
            let mut slices = [IoSlice::new(&[]); 4];
            assert_eq!(sender.io_slices(&mut slices), 2, "a header, and the payload where it was assembled");
            assert_eq!(slices[1].as_ptr(), address);
            assert_eq!(slices[1].len(), 100_000);
            drain(&mut sender, &pool);
            assert_eq!(pool.buffers.borrow().len(), 1, "the buffer is returned");
        }
        assert_eq!(*pool.taken.borrow(), 3);
    }
}

/// A message that is read directly grows when its buffer is full, and asks the pool first.
#[test]
fn a_message_that_is_read_directly_moves_to_a_pooled_buffer() {
    const SIZE: usize = 4 << 20;
    let pool = Pool::default();
    pool.release(vec![0; SIZE]);
    let address = pool.buffers.borrow()[0].as_ptr();
    let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
    let mut bytes = wire(false, SIZE);
    let (first, mut rest) = bytes.split_at_mut(64 * 1024);
    assert!(receiver.receive_with(first, &pool).next().unwrap().is_none());
    let mut messages = 0;
    while !rest.is_empty() {
        let count = match receiver.spare_capacity(&pool) {
            Some(room) => {
                let count = room.len().min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                count
            }
            None => 0,
        };
        let mut events = if count > 0 {
            receiver.receive_direct(count, &pool)
        } else {
            receiver.receive_with(std::mem::take(&mut rest), &pool)
        };
        while let Some(event) = events.next().unwrap() {
            let Event::Binary(payload) = event else { panic!("{event:?}") };
            assert_eq!((payload.len(), payload.as_ptr()), (SIZE, address));
            messages += 1;
        }
        drop(events);
        rest = &mut rest[count..];
    }
    assert_eq!(messages, 1);
}

#[test]
fn a_borrowed_message_returns_its_buffer() {
    let pool = Pool::default();
    let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
    for _ in 0..2 {
        for piece in wire(false, 50_000).chunks_mut(30_000) {
            let mut events = receiver.receive_with(piece, &pool);
            while let Some(event) = events.next().unwrap() {
                assert!(matches!(event, Event::Binary(payload) if payload.len() == 50_000));
            }
        }
        assert_eq!(pool.buffers.borrow().len(), 1);
    }
    assert_eq!(receiver.held(), 0);
}

#[test]
fn a_kept_message_keeps_its_buffer() {
    let pool = Pool::default();
    let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
    let mut kept = Vec::new();
    for piece in wire(true, 50_000).chunks_mut(30_000) {
        let mut events = receiver.receive_with(piece, &pool);
        while let Some(event) = events.next().unwrap() {
            if let Event::Text(text) = event {
                kept.push(text.into_bytes());
            }
        }
    }
    assert_eq!(kept[0].len(), 50_000);
    assert!(pool.buffers.borrow().is_empty());
}

#[test]
fn a_small_message_does_not_use_the_pool() {
    let pool = Pool::default();
    let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
    let mut bytes = wire(false, 1000);
    let mut events = receiver.receive_with(&mut bytes, &pool);
    assert!(events.next().unwrap().is_some());
    drop(events);
    assert_eq!(*pool.taken.borrow(), 0);
}

/// A large buffer in the pool does not raise the memory that a peer can make the receiver hold.
#[test]
fn little_input_holds_little_memory() {
    let pool = Pool::default();
    pool.release(Vec::with_capacity(16 << 20));
    for len in [1, 1000, 20_000, 100_000, 1_000_000] {
        for text in [false, true] {
            let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
            let mut bytes = wire(text, 8 << 20);
            bytes.truncate(14 + len);
            while receiver.receive_with(&mut bytes, &pool).next().unwrap().is_some() {}
            let _ = receiver.spare_capacity(&pool);
            assert!(receiver.held() <= 4 * 2 * len + 1024, "{} held of {len}", receiver.held());
        }
    }
    assert!(
        pool.buffers.borrow().iter().any(|buffer| buffer.capacity() == 16 << 20),
        "the large buffer is still in the pool"
    );
}

/// Keeps discarded bytes, like a driver that holds a lock.
#[derive(Debug, Default)]
struct Deferred(RefCell<Vec<Bytes>>);

impl BufferPool for Deferred {
    fn acquire(&self, _: usize, _: usize) -> Vec<u8> {
        Vec::new()
    }

    fn release(&self, _: Vec<u8>) {}

    fn discard(&self, bytes: Bytes) {
        self.0.borrow_mut().push(bytes);
    }
}

/// Bytes with an owner, and a reference that shows whether the owner is alive.
fn owned(len: usize) -> (Bytes, Arc<()>) {
    struct Owner(Vec<u8>, #[expect(dead_code, reason = "its references are counted")] Arc<()>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let alive = Arc::new(());
    (Bytes::from_owner(Owner(vec![7; len], Arc::clone(&alive))), alive)
}

#[test]
fn bytes_of_the_caller_are_discarded_by_the_pool() {
    for written in [true, false] {
        let (pool, mut sender) = (Deferred::default(), Sender::server(Version::Rfc6455));
        let (first, first_alive) = owned(20_000);
        let (second, second_alive) = owned(30_000);
        sender.binary_owned(first).unwrap();
        sender.text("between", None).unwrap();
        sender.binary_bytes(&second).unwrap();
        drop(second);
        sender.shared(&SharedMessage::binary(vec![1; 5000])).unwrap();
        if written {
            drain(&mut sender, &pool);
        } else {
            sender.abandon_with(&pool);
            assert_eq!((sender.queued(), sender.text("x", None)), (0, Err(SendError::Closed)));
        }
        let kept: Vec<_> = pool.0.borrow().iter().map(Bytes::len).collect();
        assert_eq!(kept, [20_000, 30_000], "written: {written}");
        assert_eq!((Arc::strong_count(&first_alive), Arc::strong_count(&second_alive)), (2, 2));
        drop(pool);
        assert_eq!((Arc::strong_count(&first_alive), Arc::strong_count(&second_alive)), (1, 1));
    }
}

#[test]
fn the_caller_still_owns_a_message_that_is_copied_or_refused() {
    let mut sender = Sender::server(Version::Rfc6455);
    let (small, alive) = owned(100);
    sender.binary_bytes(&small).unwrap();
    drop(small);
    assert_eq!((Arc::strong_count(&alive), sender.queued()), (1, 102), "a small message is copied");

    sender.close(CloseCode::NORMAL, "").unwrap();
    let (refused, alive) = owned(20_000);
    assert_eq!(sender.binary_bytes(&refused), Err(SendError::Closed));
    assert_eq!(Arc::strong_count(&alive), 2, "the caller still owns it");
    assert_eq!(Sender::server(Version::Hybi00).binary_bytes(&refused), Err(SendError::Unsupported));
}
