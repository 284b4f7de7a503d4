//! Recordings of simulated connections: they change nothing in the run, and can be read.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::capture::recorder::Recorder;
use crate::capture::recording::{Recording, Side};
use crate::capture::settings::Capture;
use crate::driver::state::DriverState;
use crate::guard::DebugOn;
use crate::sim::tests::simulate;

thread_local! {
    static RECORDER: RefCell<Option<Arc<Recorder>>> = const { RefCell::new(None) };
}

/// Gives the simulated server the recorder of the test.
pub(super) fn install(server: &DriverState) {
    if let Some(recorder) = RECORDER.take() {
        drop(server.context.shared.recorder.set(recorder));
    }
}

#[test]
fn recording_changes_no_run() {
    let directory = std::env::temp_dir().join(format!("clws-sim-{}", std::process::id()));
    let mut bytes = 0;
    for seed in 0..15 {
        let plain = simulate(seed, false);
        let count = AtomicUsize::new(0);
        let directory = directory.join(seed.to_string());
        let capture = Capture::new(&directory)
            .peers(move |_| count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2))
            .max_total_size(16 << 20)
            .max_recordings(usize::MAX);
        let recorder = Recorder::start(capture, DebugOn::default()).unwrap();
        RECORDER.set(Some(Arc::clone(&recorder)));
        let recorded = simulate(seed, false);
        assert_eq!((recorded.hash, recorded.steps), (plain.hash, plain.steps), "seed {seed}");
        futures::executor::block_on(recorder.flush());
        let stats = recorder.stats();
        assert!(!stats.has_failed, "seed {seed}: {stats:?}");
        let mut size = 0;
        for file in std::fs::read_dir(&directory).unwrap() {
            let file = std::fs::read(file.unwrap().path()).unwrap();
            let recording = Recording::parse(&file).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            size += file.len();
            bytes += recording.bytes(Side::Client).len() + recording.transcript().answers.len();
            assert!(stats.missing > 0 || recording.check_gaps().is_ok());
        }
        assert!(size <= stats.size, "seed {seed}: {size} bytes, {stats:?}");
    }
    let _ = std::fs::remove_dir_all(directory);
    assert!(bytes > 100_000, "{bytes}");
}
