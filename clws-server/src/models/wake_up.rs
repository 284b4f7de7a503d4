//! Commands from other threads to a shard that may be asleep.

use std::ops::Range;
use std::sync::Arc;

use shuttle::thread;

use crate::models::{Fault, Model};
use crate::sim::poller::Waker;
use crate::sync::Bell;
use crate::wake::{ShardCommand, ShardHandle, WakeBatch, WakeTarget};

/// A shard that sleeps whenever it may sees each command once, in the order of each sender. After
/// it has ended, the sender gets the command back.
fn a_sleeping_shard_sees_commands() {
    let bell = Bell::default();
    let shard_handle = Arc::new(ShardHandle::new(Waker::Model(bell.clone())));
    let shard = {
        let shard_handle = Arc::clone(&shard_handle);
        thread::spawn(move || shard(&shard_handle, &bell))
    };
    let many = {
        let shard_handle = Arc::clone(&shard_handle);
        thread::spawn(move || {
            let mut batch = WakeBatch::default();
            for slot in [10, 11] {
                batch.add(&WakeTarget::Shard(Arc::clone(&shard_handle), slot));
            }
        })
    };
    let target = WakeTarget::Shard(Arc::clone(&shard_handle), 1);
    target.wake();
    target.wake();
    many.join().unwrap();
    let late = {
        let shard_handle = Arc::clone(&shard_handle);
        thread::spawn(move || shard_handle.send(ShardCommand::Wake(99)))
    };
    shard_handle.send(ShardCommand::Stop).unwrap();
    let seen = shard.join().unwrap();
    let late = late.join().unwrap();
    let of = |slots: Range<u32>| seen.iter().filter(|slot| slots.contains(slot)).collect::<Vec<_>>();
    assert_eq!(of(0..10), [&1, &1]);
    assert_eq!(of(10..20), [&10, &11]);
    assert_eq!(of(99..100).len(), usize::from(late.is_ok()), "the last command is seen or returned");
}

/// The turns of a shard, reduced to its commands. Returns the woken slots.
fn shard(shard_handle: &ShardHandle, bell: &Bell) -> Vec<u32> {
    shard_handle.register_current_thread();
    let (mut seen, mut commands, mut stopped) = (Vec::new(), Vec::new(), false);
    while !stopped {
        if shard_handle.may_sleep() {
            bell.wait();
        } else {
            bell.clear();
        }
        shard_handle.take(&mut commands);
        for command in commands.drain(..) {
            stopped |= record(command, &mut seen);
        }
    }
    for command in shard_handle.close() {
        record(command, &mut seen);
    }
    seen
}

/// Records a command. Returns whether it is a stop.
fn record(command: ShardCommand, seen: &mut Vec<u32>) -> bool {
    match command {
        ShardCommand::Wake(slot) => seen.push(slot),
        ShardCommand::WakeAll(mut slots) => seen.append(&mut slots),
        _ => return true,
    }
    false
}

const MODEL: Model = Model("a shard woken by commands", a_sleeping_shard_sees_commands);

#[test]
fn holds() {
    MODEL.holds(5000);
}

#[test]
fn fails_when_a_sender_checks_the_flag_too_early() {
    MODEL.fails(Fault::WakesBeforeCommand, "deadlock");
}

#[test]
fn fails_when_the_shard_checks_its_queue_too_early() {
    MODEL.fails(Fault::LooksBeforeFlag, "deadlock");
}

#[test]
fn fails_when_the_queue_stays_open() {
    MODEL.fails(Fault::EndsWithoutClosing, "seen or returned");
}
