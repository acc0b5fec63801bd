//! No body makes the door panic, and none is attributed to anybody but its caller.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| producer_api::fuzzing::read_bodies(body));
