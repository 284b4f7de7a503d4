//! A `tracing` subscriber that keeps the events of the server.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// The events, each with its level and its fields as `name=value`.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("clws_server")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Log {
    /// Collects the events of the whole process. A test that calls it is alone in its process.
    pub fn start() -> Self {
        let log = Self::default();
        tracing::subscriber::set_global_default(log.clone()).unwrap();
        log
    }

    pub fn lines(&self) -> MutexGuard<'_, Vec<(Level, String)>> {
        self.0.lock().unwrap()
    }

    /// Waits for a line that contains all parts.
    #[track_caller]
    pub fn expect_all(&self, level: Level, parts: &[&str]) {
        super::eventually(&format!("{parts:?}"), || {
            let fits = |line: &str| parts.iter().all(|part| line.contains(part));
            self.lines().iter().any(|(at, line)| *at == level && fits(line))
        });
    }

    #[track_caller]
    pub fn expect(&self, level: Level, part: &str) {
        self.expect_all(level, &[part]);
    }
}
