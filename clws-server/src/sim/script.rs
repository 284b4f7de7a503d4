//! The scripts of clients, and the commands that they send to handlers.

use std::collections::VecDeque;

use clws_handshake::Version;

use crate::sim::plan::{Plan, pause};
use crate::sim::rng::Rng;
use crate::sim::{MICRO, MILLI};

/// The kind of resource that a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A resource whose handlers run on the shard.
    Inline,
    /// Like [`Self::Inline`], but it decides handshakes later.
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

    /// Whether messages are queued for a task.
    pub(super) const fn is_queued(self) -> bool {
        matches!(self, Self::Mailbox | Self::Async | Self::Listener)
    }
}

/// A step of a script.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// `count` messages of about `len` bytes, with commands of one kind.
    Messages {
        count: usize,
        len: usize,
        commands: Commands,
    },
    Ping,
    /// Begins the closing handshake.
    Close(u16),
    /// Ends the client's side.
    End,
    Reset,
    /// Sends and reads nothing more, without an end.
    Vanish,
    /// Stops or resumes reading.
    PauseReading(bool),
    /// Sends an invalid frame.
    InvalidFrame,
}

/// The kind of commands in a client's messages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Commands {
    Nothing,
    /// Requests for an answer.
    Answers,
    /// Also joins, leaves and sends to groups and topics.
    Groups,
    /// Any command.
    Any,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Always,
    /// With this delay before each read.
    Slowly(u64),
    Never,
}

/// The behaviour of a client.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) version: Version,
    pub(super) kind: Kind,
    pub(super) stream: bool,
    pub(super) deflate: bool,
    pub(super) reading: Reading,
    /// The delay before the client answers a close frame, or `None` if it does not.
    pub(super) close_answer_delay: Option<u64>,
    /// The client sends messages before its handshake is answered.
    pub(super) sends_early: bool,
    /// The delay between two parts of the request.
    pub(super) request_delay: Option<u64>,
    /// The client never sends the rest of its request.
    pub(super) never_completes_request: bool,
    pub(super) script: VecDeque<(u64, Op)>,
}

impl Profile {
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
            close_answer_delay: match rng.below(20) {
                0 => None,
                1 => Some(close + rng.time(close)),
                2..6 => Some(rng.time(close)),
                _ => Some(rng.time(MILLI)),
            },
            sends_early: !deflate && rng.percent(15),
            request_delay: match rng.below(10) {
                0 => Some(rng.time(2 * Plan::nanos(plan.config.handshake_timeout))),
                1 | 2 => Some(rng.time(10 * MILLI)),
                _ => None,
            },
            never_completes_request: rng.percent(3),
            script: script(rng, plan),
        }
    }
}

fn script(rng: &mut Rng, plan: &Plan) -> VecDeque<(u64, Op)> {
    let mut script = VecDeque::new();
    let wild = rng.percent(plan.wild);
    let crowd = plan.peers > 100;
    for _ in 0..rng.below(if crowd { 3 } else { 6 }) {
        let commands = match rng.below(10) {
            0..3 => Commands::Nothing,
            _ if wild => Commands::Any,
            3..8 => Commands::Answers,
            _ => Commands::Groups,
        };
        let op = match rng.below(20) {
            0..6 => Op::Messages { count: 1, len: 0, commands },
            6..9 => Op::Messages { count: 1 + rng.below(20), len: rng.magnitude(1, 1000), commands },
            9..12 if !crowd => {
                Op::Messages { count: rng.magnitude(20, 600), len: rng.magnitude(1, 60), commands }
            }
            12 => Op::Messages { count: 1 + rng.below(3), len: rng.magnitude(1000, 100_000), commands },
            13 if wild => Op::PauseReading(true),
            14 if wild => Op::PauseReading(false),
            15 | 16 => Op::Ping,
            _ => Op::Messages { count: 1 + rng.below(8), len: rng.magnitude(1, 200), commands },
        };
        script.push_back((pause(rng), op));
    }
    let last = match rng.below(20) {
        0..8 => Some(Op::Close(rng.pick(&[1000, 1001, 3000]))),
        8..13 => Some(Op::End),
        13 | 14 => Some(Op::Reset),
        15 => Some(Op::InvalidFrame),
        16 => Some(Op::Vanish),
        _ => None,
    };
    // Often right after the messages, so that it arrives while they are handled.
    let gap = if rng.percent(60) { rng.time(50 * MICRO) } else { pause(rng) };
    script.extend(last.map(|op| (gap, op)));
    script
}

impl Commands {
    /// A random command with its argument.
    pub(super) fn command(self, rng: &mut Rng, answer: usize) -> (char, usize) {
        match self {
            Self::Nothing => ('n', 0),
            Self::Answers if rng.percent(10) => ('n', 0),
            Self::Answers => ('a', rng.below(answer + 1)),
            Self::Groups => match rng.below(8) {
                0 | 1 => ('j', rng.below(4)),
                2 => ('l', rng.below(4)),
                3 => ('u', rng.below(3)),
                4 | 5 => ('g', rng.below(4)),
                6 => ('t', rng.below(3)),
                _ => ('a', rng.below(answer + 1)),
            },
            Self::Any => match rng.below(40) {
                0 => ('p', 0),
                1 => ('c', 0),
                8 | 9 => ('c', 1),
                2 => ('x', 0),
                3 => ('s', rng.magnitude(100, 1_000_000)),
                4 => ('i', 0),
                5 => ('d', 0),
                6 => ('r', 0),
                7 => ('w', rng.below(10_000)),
                _ => Self::Groups.command(rng, answer),
            },
        }
    }
}
