//! Tests of the published metrics, with a recorder that keeps what it gets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

use super::*;
use crate::config::Config;
use crate::server::Server;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, f64>>>);

struct Series(Kept, String);

impl Kept {
    fn series(&self, key: &Key) -> Arc<Series> {
        let labels = key.labels().map(|label| format!(",{}={}", label.key(), label.value()));
        Arc::new(Series(self.clone(), format!("{}{}", key.name(), labels.collect::<String>())))
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.lock().unwrap().get(name).copied()
    }

    fn change(&self, name: &str, change: impl FnOnce(f64) -> f64) {
        let mut values = self.0.lock().unwrap();
        let value = values.entry(name.to_owned()).or_insert(0.0);
        *value = change(*value);
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.0.change(&self.1, |before| before + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.0.change(&self.1, |_| value as f64);
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.0.change(&self.1, |before| before + value);
    }

    fn decrement(&self, value: f64) {
        self.0.change(&self.1, |before| before - value);
    }

    fn set(&self, value: f64) {
        self.0.change(&self.1, |_| value);
    }
}

impl HistogramFn for Series {
    fn record(&self, _: f64) {
        self.0.change(&self.1, |before| before + 1.0);
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        assert!(key.as_str().ends_with("_total"), "{key:?}");
        self.change(&format!("described {}", key.as_str()), |before| before + 1.0);
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        assert!(key.as_str().ends_with("_seconds"), "{key:?}");
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Histogram {
        ::metrics::Histogram::from_arc(self.series(key))
    }
}

#[test]
fn statistics_become_metrics() {
    let server = Server::bind(Config::default()).unwrap();
    let state = server.handle();
    let counters = state.shared_counters();
    let version = clws_handshake::Version::Rfc6455;
    let kept = Kept::default();
    let mut publisher = MetricsPublisher::new(server.handle()).label("server", "a");
    let mut publish = || with_local_recorder(&kept, || publisher.publish());
    publish();
    for (name, value) in [
        ("clws_handshakes_total,server=a,outcome=full,status=503", 0.0),
        ("clws_closes_total,server=a,code=1000,cause=closed", 0.0),
        ("clws_dropped_messages_total,server=a,reason=oldest", 0.0),
        ("clws_connections,server=a", 0.0),
        ("described clws_closes_total", 1.0),
    ] {
        assert_eq!(kept.get(name), Some(value), "{name}");
    }
    counters.note_rejected(404);
    counters.note_opened(version);
    counters.note_received(7);
    counters.note_dropped(DropReason::Full, 3);
    for _ in 0..10_000 {
        counters.note_turn(Duration::from_micros(100));
    }
    counters.note_turn(Duration::from_secs(1));
    publish();
    for (name, value) in [
        ("clws_handshakes_total,server=a,outcome=rejected,status=404", 1.0),
        ("clws_received_messages_total,server=a", 7.0),
        ("clws_dropped_messages_total,server=a,reason=full", 3.0),
        ("clws_clients,server=a,resource=(unregistered),version=13", 1.0),
        ("clws_turn_seconds,server=a", 1000.0), // 999 and 1 of 10,001
        ("described clws_closes_total", 1.0),
    ] {
        assert_eq!(kept.get(name), Some(value), "{name}");
    }
    counters.note_ended(version, clws_proto::CloseCode::new(4321), "panic", 0);
    publish();
    assert_eq!(kept.get("clws_closes_total,server=a,code=4xxx,cause=panic"), Some(1.0));
    assert_eq!(kept.get("clws_clients,server=a,resource=(unregistered),version=13"), Some(0.0));
    assert_eq!(kept.get("clws_turn_seconds,server=a"), Some(1000.0), "durations are published once");
}
