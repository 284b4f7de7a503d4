//! Commands of other threads to a shard that may be asleep.

use std::ops::Range;
use std::sync::Arc;

use shuttle::thread;

use super::{Fault, Model};
use crate::home::{Command, Home, Remote, Touches};
use crate::poll::Waker;
use crate::sync::Bell;

/// A shard that sleeps when it may sees each command once, in the order of each thread. When it has ended, the sender has it
/// back.
fn a_sleeping_shard_sees_commands() {
    let bell = Bell::default();
    let remote = Arc::new(Remote::new(Waker::Model(bell.clone())));
    let shard = {
        let remote = Arc::clone(&remote);
        thread::spawn(move || shard(&remote, &bell))
    };
    let many = {
        let remote = Arc::clone(&remote);
        thread::spawn(move || {
            let mut touches = Touches::default();
            for slot in [10, 11] {
                touches.add(&Home::Shard(Arc::clone(&remote), slot));
            }
        })
    };
    let home = Home::Shard(Arc::clone(&remote), 1);
    home.touch();
    home.touch();
    many.join().unwrap();
    let late = {
        let remote = Arc::clone(&remote);
        thread::spawn(move || remote.send(Command::Touch(99)))
    };
    remote.send(Command::Stop).unwrap();
    let seen = shard.join().unwrap();
    let late = late.join().unwrap();
    let of = |slots: Range<u32>| seen.iter().filter(|slot| slots.contains(slot)).collect::<Vec<_>>();
    assert_eq!(of(0..10), [&1, &1]);
    assert_eq!(of(10..20), [&10, &11]);
    assert_eq!(of(99..100).len(), usize::from(late.is_ok()), "the last command is seen or given back");
}

/// The turns of a shard, as far as other threads see them; the slots that they touched.
fn shard(remote: &Remote, bell: &Bell) -> Vec<u32> {
    remote.settle_here();
    let (mut seen, mut commands, mut stopped) = (Vec::new(), Vec::new(), false);
    while !stopped {
        if remote.may_sleep() {
            bell.wait();
        } else {
            bell.clear();
        }
        remote.take(&mut commands);
        for command in commands.drain(..) {
            stopped |= note(command, &mut seen);
        }
    }
    for command in remote.close() {
        note(command, &mut seen);
    }
    seen
}

/// Whether it is to stop.
fn note(command: Command, seen: &mut Vec<u32>) -> bool {
    match command {
        Command::Touch(slot) => seen.push(slot),
        Command::TouchAll(mut slots) => seen.append(&mut slots),
        _ => return true,
    }
    false
}

const MODEL: Model = Model("a shard, woken by commands", a_sleeping_shard_sees_commands);

#[test]
fn holds() {
    MODEL.holds(5000);
}

#[test]
fn fails_when_a_sender_looks_too_early() {
    MODEL.fails(Fault::WakesBeforeCommand, "deadlock");
}

#[test]
fn fails_when_the_shard_looks_too_early() {
    MODEL.fails(Fault::LooksBeforeFlag, "deadlock");
}

#[test]
fn fails_when_the_queue_stays_open() {
    MODEL.fails(Fault::EndsWithoutClosing, "seen or given back");
}
