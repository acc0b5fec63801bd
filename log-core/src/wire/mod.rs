//! Kafka frames and requests: bytes to values and back, over the `kafka_protocol` codec.
//!
//! Not here: sockets, policy, what a request means. Invariants: no bytes make this room panic; what a frame claims
//! takes no memory before it is checked; only what [`versions`] lists is decoded.
//!
//! Source: the Kafka protocol guide and Kafka's message definitions; KIP-482 (tagged fields), KIP-511 (ApiVersions).

pub mod answer;
pub mod assignment;
pub mod extension;
pub mod frame;
pub mod offset_spec;
pub mod request;
pub mod response;
pub mod subscription;
pub mod values;
pub mod versions;

mod bounded;

pub use answer::{AnswerError, decode_answer, encode_request};
pub use frame::{FrameError, LENGTH_BYTES, frame_length};
pub use request::{DecodeError, Incoming, Request, RequestBody, decode_request};
pub use response::{EncodeError, Reply, ResponseBody, encode_response};
pub use versions::{SERVED, ServedApi, served};
#[cfg(any(test, feature = "testing"))]
pub use versions::{Versions, codec_version};
