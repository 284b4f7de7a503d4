//! The sweep of a shard whose clients are silent, and what it costs.

use super::*;
use crate::connection::Connection;
use crate::connection::activity::CHECKS;
use crate::connection::share::Share;
use crate::time::ticks;
use crate::wake::WakeTargetRef;
use clws_proto::Input;

/// Answers each message with more than a socket takes.
struct Talkative;

impl crate::resource::Resource for Talkative {
    fn binary(&self, client: &crate::client::Client, _: clws_proto::Payload<'_>) {
        let _ = client.send(vec![7; 4 << 20]);
    }
}

fn silent() -> (Silence, UnixStream) {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let (shard, theirs) = open(Echo);
    theirs.set_nonblocking(true).unwrap();
    (Silence { shard, now }, theirs)
}

/// The bytes that the client has received.
fn received(mut theirs: &UnixStream) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let count = std::io::Read::read(&mut theirs, &mut bytes).unwrap_or(0);
    bytes.truncate(count);
    bytes
}

#[test]
fn a_sweep_pings_a_silent_client() {
    let (mut silence, mut theirs) = silent();
    silence.wait(20 * SECOND);
    assert!(received(&theirs).is_empty());
    silence.wait(3 * SECOND);
    let ping = received(&theirs);
    assert_eq!((ping.len(), &ping[..2]), (18, &[0x89, 16][..]));
    // Its pong is life, and measures the time.
    silence.wait(SECOND);
    let pong = [&[0x8A, 0x80 | 16, 0, 0, 0, 0][..], &ping[2..]].concat();
    std::io::Write::write_all(&mut theirs, &pong).unwrap();
    silence.read();
    let rtt = silence.shard.connections[0].connection.client().unwrap().rtt().unwrap();
    // The ping came within the last three seconds of the wait.
    assert!((SECOND..5 * SECOND).contains(&rtt), "{rtt:?}");
    silence.wait(20 * SECOND);
    assert!(received(&theirs).is_empty());
    silence.wait(6 * SECOND);
    assert_eq!(received(&theirs).len(), 18);
    // No answer: the client is read once, and gets its close frame.
    silence.wait(19 * SECOND);
    assert_eq!(silence.shard.connections.len(), 1);
    silence.wait(2 * SECOND);
    assert_eq!(received(&theirs)[..4], [0x88, 21, 0x03, 0xF3]);
    silence.wait(6 * SECOND);
    assert_eq!(silence.shard.connections.len(), 0);
    assert!(silence.shard.deadlines.is_empty());
}

#[test]
fn input_that_arrived_before_the_deadline_counts() {
    let (mut silence, mut theirs) = silent();
    silence.wait(23 * SECOND);
    assert_eq!(received(&theirs).len(), 18);
    std::io::Write::write_all(&mut theirs, &[0x82, 0x80, 0, 0, 0, 0]).unwrap();
    // The shard is held up. No event has told it of the input.
    silence.set(silence.now + 100 * SECOND);
    silence.shard.sweep();
    silence.shard.expire();
    assert_eq!(silence.shard.connections.len(), 1);
    assert_eq!(received(&theirs)[..2], [0x82, 0]);
}

#[test]
fn a_sweep_finds_messages_that_do_not_advance() {
    let (mut silence, mut theirs) = silent();
    // Slow bytes are life for keepalive, and not for the message.
    std::io::Write::write_all(&mut theirs, &[0x82, 0xFE, 0x10, 0, 0, 0, 0, 0]).unwrap();
    for _ in 0..30 {
        std::io::Write::write_all(&mut theirs, &[7]).unwrap();
        silence.read();
        silence.wait(5 * SECOND);
        if silence.shard.connections.is_empty() {
            break;
        }
    }
    assert_eq!(received(&theirs)[..4], [0x88, 25, 0x03, 0xF0]);
    assert!(silence.now < silence.shard.started + 100 * SECOND);
}

/// Two times begin in one turn: the client continues at the first, and must have read by the second.
#[test]
fn a_throttled_client_that_reads_nothing_is_dropped() {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let config = Config::default()
        .ping_interval(None)
        .write_timeout(30 * SECOND)
        .min_rate(0)
        .max_messages_per_second(1);
    let mut shard = shard(config);
    let mut theirs = open_in(&mut shard, Talkative);
    let mut silence = Silence { shard, now };
    std::io::Write::write_all(&mut theirs, &[0x82, 0x80, 0, 0, 0, 0].repeat(2)).unwrap();
    silence.read();
    assert!(silence.shard.connections[0].flags.has(Flags::BLOCKED));
    silence.wait(29 * SECOND);
    assert_eq!(silence.shard.connections.len(), 1);
    silence.wait(2 * SECOND);
    assert_eq!(silence.shard.connections.len(), 0);
}

/// A client in the middle of a message of 1 MiB, while memory is short.
fn holds_much() -> (Silence, UnixStream) {
    let (mut silence, mut theirs) = silent();
    let begin = [&[0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0][..], &[7; 100_000]].concat();
    std::io::Write::write_all(&mut theirs, &begin).unwrap();
    silence.read();
    silence.shard.state.budget().charge_bytes(silence.shard.state.budget().limit());
    (silence, theirs)
}

/// Nothing has come from the client, so it does not matter that it would not be read.
#[test]
fn silence_counts_while_memory_is_short() {
    let (mut silence, theirs) = holds_much();
    silence.wait(26 * SECOND);
    assert_eq!(received(&theirs).len(), 18, "a ping");
    silence.wait(22 * SECOND);
    assert_eq!(received(&theirs)[..4], [0x88, 21, 0x03, 0xF3], "no answer");
    silence.wait(6 * SECOND);
    assert_eq!(silence.shard.connections.len(), 0);
}

#[test]
fn the_clock_stands_still_while_input_waits_for_memory() {
    let (mut silence, mut theirs) = holds_much();
    write_more(&mut theirs, 50_000);
    silence.read();
    assert_eq!(silence.shard.relief.held_back, [0]);
    let start = silence.now;
    for seconds in 1..100 {
        silence.set(start + seconds * SECOND); // other clients have the turns of all these ticks
        silence.shard.sweep();
    }
    assert!(received(&theirs).is_empty());
    // It is read, and the clock restarts.
    silence.wait(19 * SECOND);
    assert!(silence.shard.relief.held_back.is_empty() && received(&theirs).is_empty());
    silence.wait(7 * SECOND);
    assert_eq!(received(&theirs).len(), 18, "a ping");
}

/// The input was read when memory was not short.
#[test]
fn silence_counts_when_memory_is_short_again() {
    let (mut silence, mut theirs) = holds_much();
    write_more(&mut theirs, 50_000);
    silence.read();
    let state = Arc::clone(&silence.shard.state);
    state.budget().release_bytes(state.budget().limit());
    state.budget().give_back();
    silence.read();
    assert!(!silence.shard.connections[0].flags.has(Flags::READABLE));
    state.budget().charge_bytes(state.budget().limit());
    silence.wait(26 * SECOND);
    assert_eq!(received(&theirs).len(), 18, "a ping");
}

/// The same between the ping and the pong.
#[test]
fn the_time_for_a_pong_stands_still_while_input_waits_for_memory() {
    let (mut silence, theirs) = holds_much();
    silence.wait(26 * SECOND);
    assert_eq!(received(&theirs).len(), 18, "a ping");
    silence.shard.drive(0);
    silence.shard.connections[0].flags.set(Flags::READABLE, true); // input may be there
    silence.shard.hold_back(0);
    silence.shard.drive(0);
    silence.set(silence.now + 100 * SECOND);
    silence.shard.sweep();
    silence.shard.drive(0);
    assert!(received(&theirs).is_empty());
    // Nothing was there.
    silence.wait(25 * SECOND);
    assert_eq!(received(&theirs)[..4], [0x88, 21, 0x03, 0xF3], "no answer");
}

/// Few clients are swept seldom, and many in small steps. Each is examined in time.
#[test]
fn a_sweep_examines_each_client_in_time() {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let mut shard = shard(Config::default().handshake_timeout(Duration::MAX));
    let _theirs: Vec<_> = (0..600).map(|_| add_connection(&mut shard)).collect();
    let mut silence = Silence { shard, now };
    let period = 20 * SECOND / 8;
    let (mut steps, end) = (0, now + 4 * period);
    while let Some(next) = silence.shard.next_wake_up().filter(|at| *at <= end) {
        silence.set(next);
        silence.shard.sweep();
        steps += 1;
    }
    assert!((6..20).contains(&steps), "{steps}");
}

/// A shard without connections does not wake up to look for silent clients.
#[test]
fn an_empty_shard_does_not_sweep() {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let shard = shard(Config::default());
    let mut silence = Silence { shard, now };
    assert_eq!(silence.shard.next_wake_up(), None);
    drop(add_connection(&mut silence.shard));
    silence.read();
    silence.wait(10 * SECOND);
    silence.shard.release_at = None;
    assert_eq!(silence.shard.next_wake_up(), None);
}

/// The processor time of this thread, or the time of the clock where the system does not tell.
fn thread_time() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// Idle clients answer a ping in each interval. It prints the cost of their timers, and of all
/// without system calls: `CLWS_IDLE_CLIENTS=100000 cargo test --release -p clws-server --lib
/// cost_of_idle -- --nocapture`.
#[test]
fn cost_of_idle_clients() {
    const TURNS: u32 = 1200;
    let number = std::env::var("CLWS_IDLE_CLIENTS").map_or(1000, |number| number.parse().unwrap());
    let start = Instant::now();
    virtual_clock::set(Some(start));
    let shard = shard(Config::default());
    shard.state.resources.register("/", clws_handshake::Origins::any(), Echo).unwrap();
    let context = |slot| shard.state.connection_context(WakeTargetRef::Shard(&shard.shard_handle, slot));
    let all = |slices: &[io::IoSlice<'_>]| Ok(slices.iter().map(|slice| slice.len()).sum());
    let open = |slot| {
        let mut connection = Connection::new(Peer::Unix, &context(slot));
        let mut request = REQUEST.to_vec();
        connection.handle_input(Input::Lent(&mut request), &mut Share::new(now), &context(slot));
        connection.transmit(&mut all.clone()).unwrap();
        connection
    };
    let mut connections: Vec<_> = (0..number).map(open).collect();
    let least = shard.state.context.shared.least_silence();
    let steps = usize::try_from(least / CHECKS).unwrap();
    let (mut spent, mut pings, mut idle) = (Duration::ZERO, 0, Duration::ZERO);
    for turn in 0..TURNS {
        let at = start + TICK * turn;
        virtual_clock::set(Some(at));
        let part = connections.len() / steps;
        let first = part * (turn as usize % steps);
        let before = thread_time();
        let tick = ticks(at.saturating_duration_since(shard.state.context.shared.started));
        for (slot, connection) in (0..).zip(&mut connections).skip(first).take(part) {
            if !connection.must_check(tick, least) || !connection.check(&context(slot)) {
                continue;
            }
            let mut pong = [0; 22];
            pong[..6].copy_from_slice(&[0x8A, 0x80 | 16, 0, 0, 0, 0]);
            let write = &mut |slices: &[io::IoSlice<'_>]| {
                pong[6..].copy_from_slice(&slices[0][2..]);
                all(slices)
            };
            connection.transmit(write).unwrap();
            let _ = connection.poll_action(&context(slot));
            connection.handle_input(Input::Lent(&mut pong), &mut Share::new(now), &context(slot));
            pings += 1;
        }
        spent += thread_time() - before;
        if turn < least {
            idle = spent; // nothing is due yet
        }
    }
    let share = |time: Duration, turns| 100.0 * time.as_secs_f64() / (TICK * turns).as_secs_f64();
    println!("{number} clients: {:.3} % of a core to look at them", share(idle, least));
    println!("{pings} pings with their pongs: {:.3} % of a core in all", share(spent, TURNS));
    // A ping comes after 20 s to 25 s of silence.
    assert!((4 * number..=6 * number).contains(&pings), "{pings} pings");
    assert!(connections.iter().all(|connection| connection.client().is_some()), "a client was dropped");
    virtual_clock::set(None);
}
