//! What a journal may hold: commands and checkpoints of any bytes. Nothing panics, and what is read is written alike.
//!
//! `cargo +nightly fuzz run state`
#![no_main]

use libfuzzer_sys::fuzz_target;
use log_core::testing::state::{Envelope, State};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::decode(bytes) {
        assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
    }
    if let Ok(state) = State::decode(bytes) {
        assert_eq!(State::decode(&state.encode()), Ok(state));
    }
});
