//! No body makes the service panic, and none is attributed to another caller.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| producer_api::fuzzing::read_bodies(body));
