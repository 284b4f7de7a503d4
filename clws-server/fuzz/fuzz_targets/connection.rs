//! One connection under a script, see `clws-server/src/connection/fuzzing.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clws_server::fuzzing::run(data));
