//! How far the reading is: a bar for a person, lines for the log.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::info;

use crate::config::Progress;

/// So many times a run says in the log how far it is.
const LOG_LINES: u64 = 10;

/// Counts records.
#[derive(Debug)]
pub(crate) struct Meter {
    bar: ProgressBar,
    read: u64,
    all: u64,
}

impl Meter {
    pub(crate) fn new(progress: Progress, all: u64) -> Self {
        let target = match progress {
            Progress::Bar => ProgressDrawTarget::stderr(),
            Progress::Silent => ProgressDrawTarget::hidden(),
        };
        let template = "{bar:40} {human_pos} of {human_len} records, {per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        Self {
            bar: ProgressBar::with_draw_target(Some(all), target).with_style(style),
            read: 0,
            all,
        }
    }

    /// So many records of all are done.
    pub(crate) fn set(&mut self, read: u64) {
        let step = (self.all / LOG_LINES).max(1);
        if self.read / step < read / step {
            info!(records_read = read, records = self.all, "reading");
        }
        self.read = read;
        self.bar.set_position(read);
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
