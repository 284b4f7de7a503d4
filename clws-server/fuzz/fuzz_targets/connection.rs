//! A connection over time, see `clws-server/src/session/fuzzing.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clws_server::fuzzing::run(data));
