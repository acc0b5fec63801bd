//! Descriptors that are held open to be given up when there are no others.

use std::{
    fs::File,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// How many are held.
const SPARES: usize = 8;

/// The spare descriptors. There is one table of descriptors in a process, and so one of these.
pub(super) struct Spares {
    held: Mutex<Vec<File>>,
}

/// A descriptor that was given up, taken back when dropped, if the system has one by then.
pub(super) struct GivenUp(&'static Spares);

impl Spares {
    /// Those of this process, opened when first asked for.
    pub(super) fn of_process() -> &'static Self {
        static SPARES_OF_PROCESS: OnceLock<Spares> = OnceLock::new();
        SPARES_OF_PROCESS.get_or_init(|| {
            let spares = Spares {
                held: Mutex::default(),
            };
            spares.refill();
            spares
        })
    }

    /// Gives one up, so that the process can open one other descriptor. None: they are all given up already.
    pub(super) fn give_up(&'static self) -> Option<GivenUp> {
        let spare = self.held().pop()?;
        drop(spare);
        Some(GivenUp(self))
    }

    /// Opens what is missing, as far as the system lets us. Whether all are held.
    pub(super) fn refill(&self) -> bool {
        let mut held = self.held();
        while held.len() < SPARES {
            let Ok(spare) = File::open("/dev/null") else {
                return false;
            };
            held.push(spare);
        }
        true
    }

    fn held(&self) -> MutexGuard<'_, Vec<File>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.refill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spare_that_is_given_up_is_taken_back() {
        let spares = Spares::of_process();
        let given_up = spares.give_up().unwrap();

        drop(given_up);

        assert_eq!(spares.held().len(), SPARES);
    }
}
