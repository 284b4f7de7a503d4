//! The statistics of a server for the facade crate `metrics`, with the feature `metrics`.

mod names;

use std::collections::HashSet;
use std::time::Duration;

use ::metrics::{Label, counter, gauge, histogram};

use crate::server::handle::ServerHandle;
use crate::stats::histogram::Histogram;
use crate::stats::kinds::{DropReason, HandshakeOutcome};
use crate::stats::snapshot::Stats;

/// The most durations of one histogram that are given to the recorder at once. Recorders keep each
/// of them for a while.
const MAX_DURATIONS: u64 = 1000;

/// Publishes the statistics of a server through the facade crate `metrics`, with the feature
/// `metrics`.
///
/// Install a recorder, make a publisher, and call [`publish`](Self::publish) before each scrape, or
/// every few seconds. Nothing is published between two calls, so messages cost nothing more.
///
/// ```
/// # use clws_server::Server;
/// use clws_server::MetricsPublisher;
///
/// # fn watch(server: &Server) {
/// let mut publisher = MetricsPublisher::new(server.handle()).label("server", "public");
/// publisher.publish();
/// # }
/// ```
///
/// The chapter [metrics](crate::guide::metrics) lists all metrics.
#[derive(Debug)]
pub struct MetricsPublisher {
    handle: ServerHandle,
    /// The labels of all metrics.
    labels: Vec<Label>,
    /// The resources and versions of which clients were published.
    published: HashSet<(Box<str>, u8)>,
    last: Option<Stats>,
    is_described: bool,
}

impl MetricsPublisher {
    /// Publishes the statistics of one server.
    #[must_use]
    pub fn new(handle: ServerHandle) -> Self {
        Self { handle, labels: Vec::new(), published: HashSet::new(), last: None, is_described: false }
    }

    /// Adds a label to all metrics, to tell the servers of one process apart.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push(Label::new(name, value.into()));
        self
    }

    /// Publishes the present statistics to the recorder that is installed.
    ///
    /// Counters get their absolute value. A histogram gets the durations since the last call, but
    /// at most about 1000 of them, in the right proportions: so its quantiles are right, and its
    /// count is not the number of turns or messages.
    pub fn publish(&mut self) {
        if !std::mem::replace(&mut self.is_described, true) {
            names::describe(); // now, because the recorder may have been installed after `new`
        }
        let stats = self.handle.stats();
        #[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
        for (name, value) in [
            (names::CONNECTIONS, stats.connections as f64),
            (names::QUEUED, stats.queued_bytes as f64),
            (names::BUFFERED, stats.buffered as f64),
            (names::BUFFERED_LIMIT, stats.max_buffered as f64),
        ] {
            gauge!(name, self.labels.clone()).set(value);
        }
        self.publish_clients(&stats);
        for (name, value) in [
            (names::RECEIVED_MESSAGES, stats.received.messages),
            (names::RECEIVED_BYTES, stats.received.bytes),
            (names::SENT_MESSAGES, stats.sent.messages),
            (names::SENT_BYTES, stats.sent.bytes),
            (names::UNDELIVERED, stats.undelivered),
            (names::DISCARDED, stats.discarded_bytes),
        ] {
            self.count(name, [], value);
        }
        self.publish_kinds(&stats);
        let last = self.last.take().unwrap_or_default();
        self.publish_durations(names::HANDLER, &stats.handler_time.since(&last.handler_time));
        self.publish_durations(names::TURN, &stats.turn_time.since(&last.turn_time));
        self.publish_durations(names::RTT, &stats.rtt.since(&last.rtt));
        self.last = Some(stats);
    }

    /// The gauges of clients. Those whose clients have left fall to 0.
    fn publish_clients(&mut self, stats: &Stats) {
        let mut gone = std::mem::take(&mut self.published);
        for entry in &stats.clients {
            let key = (entry.resource.clone(), entry.version.number());
            #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 clients")]
            self.gauge_clients(&key, entry.count as f64);
            gone.remove(&key);
            self.published.insert(key);
        }
        for key in gone {
            self.gauge_clients(&key, 0.0);
        }
    }

    fn gauge_clients(&self, (resource, version): &(Box<str>, u8), count: f64) {
        let own = [Label::new("resource", resource.to_string()), Label::new("version", version.to_string())];
        gauge!(names::CLIENTS, self.labelled(own)).set(count);
    }

    /// The counters with a label for each kind. Kinds that are always possible begin with 0, so
    /// that a rate over their first event is right.
    fn publish_kinds(&self, stats: &Stats) {
        let status = |status: Option<u16>| {
            let text = status.map_or_else(String::new, |status| status.to_string());
            Label::new("status", text)
        };
        for outcome in HandshakeOutcome::ALL {
            let found = stats.handshakes.iter().any(|entry| entry.outcome == outcome);
            if !found && outcome != HandshakeOutcome::Rejected {
                let own = [Label::from_static_parts("outcome", outcome.name()), status(outcome.status())];
                self.count(names::HANDSHAKES, own, 0);
            }
        }
        for entry in &stats.handshakes {
            let own = [Label::from_static_parts("outcome", entry.outcome.name()), status(entry.status)];
            self.count(names::HANDSHAKES, own, entry.count);
        }
        let close =
            |code, cause| [Label::from_static_parts("code", code), Label::from_static_parts("cause", cause)];
        if stats.closes.is_empty() {
            self.count(names::CLOSES, close("1000", "closed"), 0);
        }
        for entry in &stats.closes {
            self.count(names::CLOSES, close(entry.code, entry.cause), entry.count);
        }
        for reason in DropReason::ALL {
            let own = [Label::from_static_parts("reason", reason.name())];
            self.count(names::DROPPED, own, stats.dropped_for(reason));
        }
    }

    fn publish_durations(&self, name: &'static str, later: &Histogram) {
        let recorder = histogram!(name, self.labels.clone());
        for (duration, times) in thinned(later) {
            for _ in 0..times {
                recorder.record(duration.as_secs_f64());
            }
        }
    }

    fn count<const N: usize>(&self, name: &'static str, own: [Label; N], value: u64) {
        counter!(name, self.labelled(own)).absolute(value);
    }

    fn labelled<const N: usize>(&self, own: [Label; N]) -> Vec<Label> {
        self.labels.iter().cloned().chain(own).collect()
    }
}

/// About [`MAX_DURATIONS`] durations with the same distribution. Each bucket keeps at least one, so
/// that the longest durations stay visible.
fn thinned(histogram: &Histogram) -> impl Iterator<Item = (Duration, u64)> {
    let count = histogram.count();
    histogram.buckets().map(move |(duration, times)| {
        let kept = u128::from(times) * u128::from(MAX_DURATIONS) / u128::from(count.max(1));
        let kept = if count <= MAX_DURATIONS { times } else { u64::try_from(kept).unwrap_or(times) };
        (duration, kept.max(1))
    })
}

#[cfg(test)]
mod tests;
