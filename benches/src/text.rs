//! Reproducible JSON and chat lines for compression.
//!
//! Field names, names and common words repeat as in real traffic. Numbers, identifiers, times and
//! every fourth word do not, and nothing repeats with a fixed period. The compression ratios are
//! therefore no better than those of real lines.

use std::fmt::Write as _;

use crate::random::SplitMix;

const WORDS: &[&str] = &[
    "the", "to", "I", "a", "and", "is", "it", "you", "of", "that", "in", "for", "we", "on", "not", "this",
    "have", "be", "with", "was", "but", "so", "are", "just", "what", "they", "if", "can", "there", "at",
    "do", "my", "no", "now", "about", "yes", "all", "think", "know", "from", "would", "get", "like", "will",
    "me", "out", "or", "how", "when", "one", "then", "some", "need", "time", "work", "see", "good", "same",
    "still", "really", "where", "because", "server", "today", "back", "here", "two", "people", "maybe",
    "again", "thanks", "right", "tomorrow", "after", "before", "which", "their", "message", "look", "than",
    "take", "him", "table", "window", "first", "last", "week", "never", "wait", "sure", "ship", "train",
    "night", "coffee", "meeting", "order", "number", "later", "letter", "house", "river", "market",
    "question", "answer", "light", "summer", "build", "release", "branch", "review", "paint", "garden",
    "morning", "phone", "ticket", "station", "weather", "music", "kitchen", "bridge", "between",
];
#[rustfmt::skip]
const FIRST: &[&str] = &[
    "Grace", "Ada", "Linus", "Amina", "Jürgen", "Chloé", "Mateo", "Yuki", "Priya", "Noah", "Olga",
    "Kwame", "Ines", "Tariq", "Mei", "Sven", "Lucía", "Dmitri", "Aoife", "Hassan",
];
#[rustfmt::skip]
const LAST: &[&str] = &[
    "Okafor", "Hopper", "Lindqvist", "Tanaka", "Moreau", "García", "Novák", "Schmidt", "Rossi",
    "Haddad", "Nguyen", "Kowalski", "Brown", "Silva", "Iyer", "Petrov", "Jensen", "O'Neill", "Yılmaz",
    "Mbeki",
];
#[rustfmt::skip]
const EVENTS: &[&str] = &[
    "order.updated", "order.created", "payment.captured", "cart.changed", "shipment.moved", "user.seen",
    "price.changed", "stock.low", "refund.requested",
];
#[rustfmt::skip]
const TAGS: &[&str] = &[
    "priority", "gift", "fragile", "export", "returning", "coupon", "preorder", "bulk", "night", "b2b",
];
#[rustfmt::skip]
const CITIES: &[&str] = &[
    "Lagos", "Berlin", "Kyoto", "Montréal", "São Paulo", "Gdańsk", "Pune", "Cork", "Lyon", "Oslo",
    "Turin", "Hanoi", "Quito",
];
#[rustfmt::skip]
const SYLLABLES: &[&str] = &[
    "ka", "lo", "mer", "ti", "van", "su", "pre", "don", "chi", "ra", "el", "bo", "nix", "gar", "is",
    "qu", "fen", "or", "th", "ul",
];
const SIGNS: &[&str] = &["", ".", "!", "?", " :)", "...", " 🙂", " 👍", ", no?", " 😂"];

/// A kind of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Shop events, one JSON object per line.
    Json,
    /// Chat messages, each with a time and a name.
    Chat,
}

/// An endless sequence of lines of one kind.
#[derive(Debug, Clone)]
pub struct Lines {
    kind: Kind,
    random: SplitMix,
    /// Milliseconds since midnight.
    clock: u64,
}

impl Lines {
    /// Creates a sequence. Different seeds give different lines.
    #[must_use]
    pub fn new(kind: Kind, seed: u64) -> Self {
        Self { kind, random: SplitMix(seed), clock: 31_000_000 }
    }

    /// The next lines, cut to exactly `size` bytes.
    pub fn message(&mut self, size: usize) -> String {
        let mut text = String::with_capacity(size + 512);
        while text.len() < size {
            self.line(&mut text);
        }
        let end = (0..=size).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.extend(std::iter::repeat_n('.', size - end));
        text
    }

    fn line(&mut self, out: &mut String) {
        self.clock = (self.clock + self.random.next() % 20_000) % 86_400_000;
        let (second, milli) = (self.clock / 1000, self.clock % 1000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        // Writing to a String cannot fail.
        let _ = match self.kind {
            Kind::Json => {
                let (id, event) = (self.random.next(), self.random.skewed(EVENTS));
                let _ = write!(
                    out,
                    r#"{{"id":"{id:016x}","ts":"2026-11-22T{hour:02}:{minute:02}:{second:02}.{milli:03}Z","type":"{event}","#
                );
                self.record(out);
                writeln!(out, "}}")
            }
            Kind::Chat => {
                let name = self.random.skewed(FIRST);
                let _ = write!(out, "[{hour:02}:{minute:02}:{second:02}] <{name}> ");
                let words = 2 + self.random.below(18);
                self.words(out, words);
                writeln!(out, "{}", self.random.skewed(SIGNS))
            }
        };
    }

    /// Writes one of three kinds of JSON objects, without its braces.
    fn record(&mut self, out: &mut String) {
        let random = &mut self.random;
        let money = |cents: usize| format!("{}.{:02}", cents / 100, cents % 100);
        let degrees = |angle: usize| format!("{}.{:05}", angle / 100_000, angle % 100_000);
        let (number, cents) = (random.below(90_000), random.below(40_000));
        let _ = match random.below(3) {
            0 => {
                let (first, last) = (random.skewed(FIRST), random.skewed(LAST));
                let (city, seen) = (random.skewed(CITIES), random.below(2) == 0);
                let name = format!("{first} {last}");
                write!(out, r#""user":{{"id":{number},"name":"{name}","city":"{city}","online":{seen}}}"#)
            }
            1 => {
                let _ = write!(out, r#""order":{number},"items":["#);
                for item in 0..=random.below(3) {
                    let comma = if item > 0 { "," } else { "" };
                    let (word, quantity, price) =
                        (random.next(), 1 + random.below(5), money(random.below(9_000)));
                    let [a, b] = [word % 26, word / 26 % 26].map(|n| char::from(b'A' + n.to_le_bytes()[0]));
                    let sku = format!("{a}{b}-{:04}", word / 676 % 10_000);
                    let _ = write!(out, r#"{comma}{{"sku":"{sku}","qty":{quantity},"price":{price}}}"#);
                }
                let (total, tag) = (money(cents), random.skewed(TAGS));
                write!(out, r#"],"total":{total},"tags":["{tag}"]"#)
            }
            _ => {
                let (north, east) = (degrees(random.below(18_000_000)), degrees(random.below(36_000_000)));
                let _ = write!(out, r#""pos":[{north},{east}],"note":""#);
                let words = 3 + random.below(9);
                self.words(out, words);
                write!(out, r#"","retry":{}"#, number % 4)
            }
        };
    }

    /// Writes this many words. Every fourth word, on average, is invented.
    fn words(&mut self, out: &mut String, words: usize) {
        for word in 0..words {
            out.push_str(if word > 0 { " " } else { "" });
            if self.random.below(4) > 0 {
                out.push_str(self.random.skewed(WORDS));
            } else {
                for _ in 0..2 + self.random.below(3) {
                    out.push_str(SYLLABLES[self.random.below(SYLLABLES.len())]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn messages_have_the_requested_size_and_never_repeat() {
        for kind in [Kind::Json, Kind::Chat] {
            let mut lines = Lines::new(kind, 1);
            for size in [0, 1, 2, 16, 125, 1024, 70_000] {
                assert_eq!(lines.message(size).len(), size);
            }
            let messages: HashSet<String> = (0..2000).map(|_| lines.message(125)).collect();
            assert_eq!(messages.len(), 2000);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_lines() {
        let one = || Lines::new(Kind::Json, 7).message(1000);
        assert_eq!(one(), one());
        assert!(one().starts_with(r#"{"id":""#), "{}", one());
        assert_ne!(one(), Lines::new(Kind::Json, 8).message(1000));
    }
}
