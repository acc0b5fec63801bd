//! Mistakes that the tests put back into the fold, one at a time, to see that its laws find them. Outside the tests there are none.

/// A mistake in the fold of a call's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// An accept without `alertId` passes over alerts that were ended.
    EndMovesBinding,
    /// A withdrawal takes back whatever it names.
    WithdrawalTakesAnothers,
    /// The rank is the place among those who stand.
    RankChanges,
    /// An end whose time is later stands against a reopening that came after it.
    ReopenedLosesToOlderEnd,
    /// A reopening clears who is on the way or there, but not who accepted.
    ClearedAcceptStands,
    /// Any house corrects the caller's words.
    CorrectionByStranger,
}

#[cfg(not(test))]
pub(super) fn is_planted(_: Mistake) -> bool {
    false
}

#[cfg(test)]
pub(super) use planting::{is_planted, with_mistake};

#[cfg(test)]
mod planting {
    use std::cell::Cell;

    use super::Mistake;

    thread_local! {
        static PLANTED: Cell<Option<Mistake>> = const { Cell::new(None) };
    }

    pub(in crate::fold) fn is_planted(mistake: Mistake) -> bool {
        PLANTED.get() == Some(mistake)
    }

    /// What `work` gives in a thread whose fold has the mistake.
    pub(in crate::fold) fn with_mistake<T>(mistake: Mistake, work: impl FnOnce() -> T) -> T {
        PLANTED.set(Some(mistake));
        let given = work();
        PLANTED.set(None);
        given
    }
}
