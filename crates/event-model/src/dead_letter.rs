//! Headers that a dead letter carries besides its own: where it comes from, and why it is one.

/// The topic it was read from.
pub const TOPIC: &str = "dlt-topic";
/// The partition it was read from.
pub const PARTITION: &str = "dlt-partition";
/// The offset at which it was read.
pub const OFFSET: &str = "dlt-offset";
/// Why it could not be read, in a sentence.
pub const ERROR: &str = "dlt-error";
/// How often it was tried.
pub const ATTEMPTS: &str = "dlt-attempts";
/// When it was given up, RFC 3339.
pub const TIME: &str = "dlt-time";
/// Who gave it up.
pub const READER: &str = "dlt-reader";

/// All of them: what a replay leaves out.
pub const ALL: [&str; 7] = [TOPIC, PARTITION, OFFSET, ERROR, ATTEMPTS, TIME, READER];
