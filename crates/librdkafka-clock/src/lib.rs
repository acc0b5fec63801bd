//! Lets librdkafka's timed waits end by the monotonic clock.
//!
//! librdkafka waits with C11's `cnd_timedwait`, whose deadline is a time of day: when the wall clock is set back by two
//! hours, each wait that is under way takes two hours longer, and a client that nothing wakes neither connects nor sends
//! nor ends ([librdkafka #2145], open since 2018). A program that names this crate (`use librdkafka_clock as _;`) links a
//! `cnd_timedwait` of its own before the C library's: it waits as long as the deadline is away, by the monotonic clock.
//!
//! Linux with glibc 2.30 or later; elsewhere the crate is empty. Not here: anything that our own code waits for, which is
//! monotonic already.
//!
//! [librdkafka #2145]: https://github.com/confluentinc/librdkafka/issues/2145
