//! What clients do, and what they ask handlers for.

use std::collections::VecDeque;

use clws_handshake::Version;

use crate::sim::plan::{Plan, pause};
use crate::sim::rng::Rng;
use crate::sim::{MICRO, MILLI};

/// What stands behind the path that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A resource whose handlers run on the shard.
    Inline,
    /// The same, which decides on its clients later.
    Later,
    Mailbox,
    Async,
    Listener,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Inline, Self::Later, Self::Mailbox, Self::Async, Self::Listener];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Inline => "/inline",
            Self::Later => "/later",
            Self::Mailbox => "/mailbox",
            Self::Async => "/async",
            Self::Listener => "/listener",
        }
    }

    /// Whether its messages are queued for a task.
    pub(super) const fn is_queued(self) -> bool {
        matches!(self, Self::Mailbox | Self::Async | Self::Listener)
    }
}

/// A step of a client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// So many messages, of about that length, that ask for the same kinds of things.
    Messages {
        count: usize,
        len: usize,
        asks: Asks,
    },
    Ping,
    /// Begins the closing handshake.
    Close(u16),
    /// Ends its side.
    End,
    Reset,
    /// Reads no more, or again.
    Deaf(bool),
    /// Breaks the protocol.
    Nonsense,
}

/// What the messages of a client ask handlers for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asks {
    Nothing,
    /// An answer.
    Answers,
    /// Groups and topics, too.
    Company,
    /// Anything.
    Anything,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Always,
    /// With such pauses.
    Slowly(u64),
    Never,
}

/// A client's nature.
#[derive(Debug)]
pub(super) struct Nature {
    pub(super) version: Version,
    pub(super) kind: Kind,
    pub(super) stream: bool,
    pub(super) deflate: bool,
    pub(super) reading: Reading,
    /// How long it takes to answer a close frame, if it does.
    pub(super) answers: Option<u64>,
    /// It sends messages before its handshake is answered.
    pub(super) early: bool,
    /// How long it takes for its request, in two parts.
    pub(super) hesitates: Option<u64>,
    /// The second never comes.
    pub(super) is_mute: bool,
    pub(super) script: VecDeque<(u64, Op)>,
}

impl Nature {
    pub(super) fn new(rng: &mut Rng, plan: &Plan) -> Self {
        let version = rng.pick(&[Version::Rfc6455, Version::Rfc6455, Version::Rfc6455, Version::Hybi00]);
        let others = [Version::Hybi07, Version::Hybi08, Version::Hixie75];
        let other = rng.pick(&others);
        let version = rng.pick(&[version, version, version, other, other]);
        let close = Plan::nanos(plan.config.close_timeout);
        let kind = match rng.below(10) {
            0..4 => Kind::Inline,
            4 => Kind::Later,
            5..7 => Kind::Mailbox,
            7 | 8 => Kind::Async,
            _ => Kind::Listener,
        };
        let deflate = cfg!(feature = "deflate") && version.has_extensions() && rng.percent(40);
        Self {
            version,
            kind,
            stream: rng.percent(plan.streams),
            deflate,
            reading: match rng.below(20) {
                0 => Reading::Never,
                1 | 2 => Reading::Slowly(rng.time(40 * MILLI)),
                _ => Reading::Always,
            },
            answers: match rng.below(20) {
                0 => None,
                1 => Some(close + rng.time(close)),
                2..6 => Some(rng.time(close)),
                _ => Some(rng.time(MILLI)),
            },
            early: !deflate && rng.percent(15),
            hesitates: match rng.below(10) {
                0 => Some(rng.time(2 * Plan::nanos(plan.config.handshake_timeout))),
                1 | 2 => Some(rng.time(10 * MILLI)),
                _ => None,
            },
            is_mute: rng.percent(3),
            script: script(rng, plan),
        }
    }
}

fn script(rng: &mut Rng, plan: &Plan) -> VecDeque<(u64, Op)> {
    let mut script = VecDeque::new();
    let wild = rng.percent(plan.wild);
    let crowd = plan.peers > 100;
    for _ in 0..rng.below(if crowd { 3 } else { 6 }) {
        let asks = match rng.below(10) {
            0..3 => Asks::Nothing,
            _ if wild => Asks::Anything,
            3..8 => Asks::Answers,
            _ => Asks::Company,
        };
        let op = match rng.below(20) {
            0..6 => Op::Messages { count: 1, len: 0, asks },
            6..9 => Op::Messages { count: 1 + rng.below(20), len: rng.magnitude(1, 1000), asks },
            9..12 if !crowd => {
                Op::Messages { count: rng.magnitude(20, 600), len: rng.magnitude(1, 60), asks }
            }
            12 => Op::Messages { count: 1 + rng.below(3), len: rng.magnitude(1000, 100_000), asks },
            13 if wild => Op::Deaf(true),
            14 if wild => Op::Deaf(false),
            15 | 16 => Op::Ping,
            _ => Op::Messages { count: 1 + rng.below(8), len: rng.magnitude(1, 200), asks },
        };
        script.push_back((pause(rng), op));
    }
    let last = match rng.below(20) {
        0..8 => Some(Op::Close(rng.pick(&[1000, 1001, 3000]))),
        8..13 => Some(Op::End),
        13 | 14 => Some(Op::Reset),
        15 => Some(Op::Nonsense),
        _ => None,
    };
    // Often right behind its messages, so that it arrives when they are being handled.
    let gap = if rng.percent(60) { rng.time(50 * MICRO) } else { pause(rng) };
    script.extend(last.map(|op| (gap, op)));
    script
}

impl Asks {
    /// A command to a handler, with its argument.
    pub(super) fn command(self, rng: &mut Rng, answer: usize) -> (char, usize) {
        match self {
            Self::Nothing => ('n', 0),
            Self::Answers if rng.percent(10) => ('n', 0),
            Self::Answers => ('a', rng.below(answer + 1)),
            Self::Company => match rng.below(8) {
                0 | 1 => ('j', rng.below(4)),
                2 => ('l', rng.below(4)),
                3 => ('u', rng.below(3)),
                4 | 5 => ('g', rng.below(4)),
                6 => ('t', rng.below(3)),
                _ => ('a', rng.below(answer + 1)),
            },
            Self::Anything => match rng.below(40) {
                0 => ('p', 0),
                1 => ('c', 0),
                8 | 9 => ('c', 1),
                2 => ('x', 0),
                3 => ('s', rng.magnitude(100, 1_000_000)),
                4 => ('i', 0),
                5 => ('d', 0),
                6 => ('r', 0),
                7 => ('w', rng.below(10_000)),
                _ => Self::Company.command(rng, answer),
            },
        }
    }
}
