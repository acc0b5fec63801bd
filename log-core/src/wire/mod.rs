//! Kafka frames and requests: bytes to values and back.
