//! The simulated world: whole clusters on simulated disks, and a clock that moves when told. All chance comes from a
//! seed, so that a run replays.
//!
//! Also what fuzzers and wire tests look at, which no other program needs: [`wire`], [`peers`], [`state`].

pub mod cluster;
mod sim_clock;

pub use sim_clock::SimClock;

/// What a client's bytes are read with.
pub mod wire {
    pub use crate::wire::{
        LENGTH_BYTES, SERVED, ServedApi, Versions, codec_version, decode_request, frame_length,
    };
}

/// What the bytes of another node are read with.
pub mod peers {
    pub use crate::broker::peers::frame::{
        FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameKind, body_len, put_frame, read_frame,
    };
    pub use crate::broker::peers::hear;
}

/// What the bytes of a journal's entries and of a checkpoint are read with.
pub mod state {
    pub use crate::state::{Envelope, State};
}
