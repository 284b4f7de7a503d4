//! A pong between shared messages, or inside one, does not change the memory charged for them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use crate::common::*;
use clws_proto::buffer::Meter;
use clws_proto::{Sender, SharedMessage, Version};

#[derive(Debug, Default)]
struct Counts {
    held: AtomicIsize,
    charges: AtomicUsize,
}

impl Meter for Counts {
    fn charge(&self, bytes: usize) {
        self.held.fetch_add(isize::try_from(bytes).unwrap(), Ordering::Relaxed);
        self.charges.fetch_add(1, Ordering::Relaxed);
    }

    fn release(&self, bytes: usize) {
        self.held.fetch_sub(isize::try_from(bytes).unwrap(), Ordering::Relaxed);
    }
}

#[test]
fn a_split_message_is_charged_once() {
    for frame_size in [None, NonZeroUsize::new(700)] {
        for written in [1, 704, 1000, 5000, 9000] {
            let counts = Arc::new(Counts::default());
            let message = SharedMessage::text("m".repeat(3000)).frame_size(frame_size);
            let meter: Arc<dyn Meter> = Arc::<Counts>::clone(&counts);
            message.set_meter(&meter);
            let mut sender = Sender::server(Version::Rfc6455);
            (0..10).for_each(|_| sender.shared(&message).unwrap());
            let held = counts.held.load(Ordering::Relaxed);
            assert!(held >= 3000);
            sender.consume(written);
            for pinned in [0, 1500, 4000, 8000] {
                sender.pin(pinned);
                sender.answer_ping(b"?");
            }
            assert_eq!(counts.held.load(Ordering::Relaxed), held, "{frame_size:?} {written}");
            let last = sender.queued() - 10;
            sender.consume(last);
            assert_eq!(counts.held.load(Ordering::Relaxed), held, "the last message is queued");
            drain(&mut sender);
            assert_eq!(counts.held.load(Ordering::Relaxed), 0);
            assert_eq!(counts.charges.load(Ordering::Relaxed), 1);
        }
    }
}
