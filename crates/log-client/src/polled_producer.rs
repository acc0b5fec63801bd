//! A producer with a thread that hands out its delivery reports, like rdkafka's `ThreadedProducer` but for what it costs
//! while nothing happens.
//!
//! `BaseProducer::poll` counts in whole milliseconds: what is left of its time after the last whole one it spends asking
//! the clock without a pause. `ThreadedProducer` polls ten times a second and so spends a hundredth of a core on nothing.
//! Here the time ends just after a whole millisecond, and it is long.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    error::KafkaError,
    producer::{BaseProducer, ProducerContext},
};

/// How soon the thread sees that the producer was dropped. The microseconds are what the kernel is late with a wake-up
/// anyway: without them the wait would be rounded down to a millisecond less, and that one spent on the clock.
const POLL_TIMEOUT: Duration = Duration::from_micros(500_050);

/// Sends, and calls its context from a thread of its own. Dropped, it is gone within half a second.
pub struct PolledProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    stop: Arc<AtomicBool>,
}

impl<C: ProducerContext + 'static> PolledProducer<C> {
    /// Starts the thread. The log need not be there.
    ///
    /// # Errors
    ///
    /// librdkafka refuses the settings.
    ///
    /// # Panics
    ///
    /// The process can start no thread.
    pub fn connect(config: &ClientConfig, context: C) -> Result<Self, KafkaError> {
        let producer: Arc<BaseProducer<C>> = Arc::new(config.create_with_context(context)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&producer), Arc::clone(&stop));
        thread::Builder::new()
            .name("log-producer".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    polled.poll(POLL_TIMEOUT);
                }
            })
            .expect("a process that cannot start a thread cannot go on");
        Ok(Self { producer, stop })
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for PolledProducer<C> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
