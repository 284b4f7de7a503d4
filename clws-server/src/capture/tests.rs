//! Recordings from their first byte to the reader, damaged files, and limits.

use std::fs;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::executor::block_on;

use crate::capture::packet::MAX_PAYLOAD;
use crate::capture::recorder::Recorder;
use crate::capture::tap::Tap;
use crate::capture::{Capture, Content, Recording, RecordingError, Side};
use crate::config::address::Peer;
use crate::guard::DebugOn;

/// A directory that is removed with its files.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("clws-capture-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn capture(&self) -> Capture {
        Capture::new(&self.0).peers(|_| true)
    }

    /// The files, in the order of their recordings. The names end with numbers.
    fn files(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> = fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().path()).collect();
        paths.sort_by_key(|path| path.to_string_lossy().rsplit_once('-').unwrap().1.to_owned());
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(capture: Capture) -> Arc<Recorder> {
    Recorder::start(capture, DebugOn::default()).unwrap()
}

fn begin(recorder: &Arc<Recorder>, peer: Peer) -> Tap {
    recorder.begin_for(peer, || None).expect("a recording")
}

fn flush(recorder: &Recorder) {
    block_on(recorder.flush());
}

/// The content of the entries of one side.
fn contents(recording: &Recording, from: Side) -> Vec<Content> {
    let entries = recording.entries().iter().filter(|entry| entry.from == from);
    entries.map(|entry| entry.content.clone()).collect()
}

#[test]
fn a_recording_is_read_again() {
    for peer in [
        Peer::Tcp("192.0.2.7:4711".parse().unwrap()),
        Peer::Tcp("[2001:db8::7]:4711".parse().unwrap()),
        Peer::Unix,
    ] {
        let directory = Directory::new();
        let recorder = start(directory.capture());
        let mut tap = begin(&recorder, peer);
        tap.read(b"hello");
        tap.written(&[IoSlice::new(b"he"), IoSlice::new(b"l"), IoSlice::new(b"lo?")], 4);
        tap.read(&vec![7; 2 * MAX_PAYLOAD + 1]);
        tap.end(Side::Client);
        tap.end(Side::Server);
        tap.end(Side::Server);
        drop(tap);
        flush(&recorder);
        let files = directory.files();
        let recording = Recording::parse(&files[0]).unwrap();
        let whole = Content::Bytes(vec![7; MAX_PAYLOAD]);
        assert_eq!(
            contents(&recording, Side::Client),
            [Content::Bytes(b"hello".into()), whole.clone(), whole, Content::Bytes(vec![7]), Content::End]
        );
        assert_eq!(contents(&recording, Side::Server), [Content::Bytes(b"hell".into()), Content::End]);
        assert!(recording.is_complete());
        if let Peer::Tcp(address) = peer {
            assert_eq!((recording.client(), recording.server().port()), (address, 80));
        }
        assert_eq!(files.len(), 1);
        assert!(files[0].len() <= recorder.stats().size, "{} of {:?}", files[0].len(), recorder.stats());
    }
}

#[test]
fn a_dropped_connection_is_reset_or_ended() {
    let directory = Directory::new();
    let recorder = start(directory.capture());
    drop(begin(&recorder, Peer::Unix));
    let mut tap = begin(&recorder, Peer::Unix);
    tap.end(Side::Client);
    drop(tap);
    let mut tap = begin(&recorder, Peer::Unix);
    tap.reset();
    drop(tap);
    let open = begin(&recorder, Peer::Unix);
    flush(&recorder);
    let files = directory.files();
    let recordings: Vec<_> = files.iter().map(|file| Recording::parse(file).unwrap()).collect();
    assert_eq!(contents(&recordings[0], Side::Server), [Content::Reset]);
    assert_eq!(contents(&recordings[1], Side::Server), [Content::End]);
    assert_eq!(contents(&recordings[2], Side::Client), [Content::Reset]);
    let complete: Vec<_> = recordings.iter().map(Recording::is_complete).collect();
    assert_eq!(complete, [true, true, true, false]);
    drop(open);
}

#[test]
fn bytes_that_do_not_fit_into_the_queue_are_a_gap() {
    let directory = Directory::new();
    let recorder = start(directory.capture().max_queued(2_000));
    let mut tap = begin(&recorder, Peer::Unix);
    tap.read(b"first");
    tap.read(&[0; 2_000]);
    tap.read(&[0; 2_000]);
    tap.written(&[IoSlice::new(&[0; 2_500])], 2_500);
    tap.read(b"last");
    drop(tap);
    flush(&recorder);
    let recording = Recording::parse(&directory.files()[0]).unwrap();
    assert_eq!(
        contents(&recording, Side::Client),
        [Content::Bytes(b"first".into()), Content::Missing(4_000), Content::Bytes(b"last".into())]
    );
    assert_eq!(contents(&recording, Side::Server), [Content::Missing(2_500), Content::Reset]);
    assert_eq!(recording.bytes(Side::Client), b"first");
    assert_eq!(recording.check_gaps(), Err(RecordingError::Gap { after: 5, missing: 4_000 }));
    assert_eq!(recorder.stats().missing, 6_500);
}

#[test]
fn limits_bound_the_files() {
    // The size of a file.
    let directory = Directory::new();
    let recorder = start(directory.capture().max_file_size(20_000));
    let mut tap = begin(&recorder, Peer::Unix);
    for _ in 0..100 {
        tap.read(&[1; 1_000]);
        tap.written(&[IoSlice::new(&[2; 10])], 10);
    }
    drop(tap);
    flush(&recorder);
    let file = directory.files().remove(0);
    assert!((15_000..=20_000).contains(&file.len()), "{}", file.len());
    assert!(!Recording::parse(&file).unwrap().is_complete());

    // The size of all files.
    let directory = Directory::new();
    let recorder = start(directory.capture().max_total_size(20_000));
    let mut taps = [begin(&recorder, Peer::Unix), begin(&recorder, Peer::Unix)];
    for _ in 0..100 {
        for tap in &mut taps {
            tap.read(&[1; 500]);
        }
    }
    assert!(recorder.begin_for(Peer::Unix, || None).is_none());
    assert_eq!(recorder.stats().recordings, 2, "the third has not begun");
    flush(&recorder);
    let total: usize = directory.files().iter().map(Vec::len).sum();
    assert!((10_000..=20_000).contains(&total), "{total}");

    // The number of files.
    let directory = Directory::new();
    let recorder = start(directory.capture().max_recordings(2));
    drop((begin(&recorder, Peer::Unix), begin(&recorder, Peer::Unix)));
    assert!(recorder.begin_for(Peer::Unix, || None).is_none());
    flush(&recorder);
    assert_eq!((directory.files().len(), recorder.stats().recordings), (2, 2));
}

#[test]
fn servers_may_share_a_directory() {
    let directory = Directory::new();
    let recorders = [start(directory.capture()), start(directory.capture())];
    for recorder in &recorders {
        drop(begin(recorder, Peer::Unix));
        flush(recorder);
        assert!(!recorder.stats().has_failed);
    }
    assert_eq!(directory.files().len(), 2);
}

#[test]
fn a_rule_chooses_and_may_panic() {
    let directory = Directory::new();
    let rule = |peer: &Peer| match peer {
        Peer::Unix => panic!("the test asked for it"),
        Peer::Stream => false,
        Peer::Tcp(_) => true,
    };
    let recorder = start(Capture::new(&directory.0).peers(rule));
    assert!(recorder.begin_for(Peer::Unix, || None).is_none());
    assert!(recorder.begin_for(Peer::Stream, || None).is_none());
    drop(begin(&recorder, Peer::Tcp("192.0.2.7:1".parse().unwrap())));
    assert!(start(Capture::new(&directory.0)).begin_for(Peer::Unix, || None).is_none(), "there is no rule");
    flush(&recorder);
    assert_eq!(directory.files().len(), 1);
}

#[test]
fn a_failure_to_write_ends_recording() {
    let directory = Directory::new();
    let recorder = start(directory.capture());
    fs::remove_dir(&directory.0).unwrap();
    let mut tap = begin(&recorder, Peer::Unix);
    flush(&recorder);
    tap.read(b"nothing waits for this");
    assert!(recorder.stats().has_failed);
    assert!(recorder.begin_for(Peer::Unix, || None).is_none());
}

/// A file with several blocks and a gap.
fn file() -> Vec<u8> {
    let directory = Directory::new();
    let recorder = start(directory.capture().max_queued(1_000));
    let mut tap = begin(&recorder, Peer::Tcp("[::1]:5".parse().unwrap()));
    tap.read(b"GET / HTTP/1.1\r\n\r\n");
    tap.written(&[IoSlice::new(b"HTTP/1.1 404 Not Found\r\n\r\n")], 26);
    tap.read(&[0; 2_000]);
    tap.end(Side::Client);
    drop(tap);
    flush(&recorder);
    directory.files().remove(0)
}

#[test]
fn a_truncated_file_is_an_error_or_ends_earlier() {
    let file = file();
    let whole = Recording::parse(&file).unwrap();
    let mut ends = 0;
    for length in 0..file.len() {
        match Recording::parse(&file[..length]) {
            Ok(recording) => {
                assert!(whole.entries().starts_with(recording.entries()));
                ends += 1;
            }
            Err(RecordingError::Truncated { at }) => assert!(at <= length),
            Err(RecordingError::Empty) => assert!(length < 400),
            Err(error) => panic!("{length}: {error}"),
        }
    }
    assert!(ends < 10, "{ends} lengths end with a block");
}

#[test]
fn files_of_other_programs_are_errors() {
    let cases: [(&[u8], &str); 4] = [
        (b"\xD4\xC3\xB2\xA1\x02\x00\x04\x00 and so on", "it is no pcapng file"),
        (b"GET / HTTP/1.1\r\n\r\n", "it is no pcapng file"),
        (b"\n\r\r\n\x1C\0\0\0\x1A\x2B\x3C\x4D and so on", "little-endian"),
        (b"\n\r\r\n\x05\0\0\0\x4D\x3C\x2B\x1A", "impossible length"),
    ];
    for (file, why) in cases {
        let error = Recording::parse(file).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let mut ethernet = file();
    let interface = ethernet.windows(4).position(|bytes| bytes == [101, 0, 0, 0]).unwrap();
    ethernet[interface] = 1;
    let error = Recording::parse(&ethernet).unwrap_err().to_string();
    assert!(error.contains("link type 101"), "{error}");
}

/// Damaged files cause errors or other recordings, and never a panic or more memory than the file.
#[test]
fn damaged_files_do_no_harm() {
    let whole = file();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % end
    };
    for _ in 0..20_000 {
        let mut file = whole.clone();
        for _ in 0..below(4) + 1 {
            let at = below(file.len());
            match below(4) {
                0 => file[at] = u8::try_from(below(256)).unwrap(),
                1 => file[at] ^= 1 << below(8),
                2 => drop(file.remove(at)),
                _ => file.truncate(at.max(100)),
            }
        }
        if let Ok(recording) = Recording::parse(&file) {
            let bytes = recording.bytes(Side::Client).len() + recording.bytes(Side::Server).len();
            assert!(bytes <= file.len() && recording.entries().len() <= file.len());
            let _ = (recording.transcript(), recording.check_gaps(), recording.is_complete());
        }
    }
}
