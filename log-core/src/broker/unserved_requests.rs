//! What clients ask for that is not served: their connection is closed, and the operator is told, in a bounded way.

use std::collections::BTreeMap;
use std::time::Duration;

/// One line in this time for each API and version.
const AGAIN_AFTER: Duration = Duration::from_secs(600);
/// APIs and versions that are remembered; beyond it none is told until one is forgotten.
const REMEMBERED_MAX: usize = 64;

/// When a line was last written for each API and version.
#[derive(Default)]
pub(super) struct UnservedRequests {
    told: BTreeMap<(i16, i16), Duration>,
}

impl UnservedRequests {
    /// Notes such a request; whether the operator is to be told of it.
    pub(super) fn note(&mut self, key: i16, version: i16, now: Duration) -> bool {
        self.told
            .retain(|_, at| now.saturating_sub(*at) < AGAIN_AFTER);
        if self.told.contains_key(&(key, version)) || self.told.len() == REMEMBERED_MAX {
            return false;
        }
        self.told.insert((key, version), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_not_served_is_told_once_in_a_while_and_a_flood_of_them_is_bounded() {
        let at = Duration::from_secs;
        let mut requests = UnservedRequests::default();
        assert!(requests.note(71, 0, at(1)));
        assert!(!requests.note(71, 0, at(2)), "told a second ago");
        assert!(requests.note(71, 1, at(2)), "another version");
        assert!(requests.note(71, 0, at(601)));

        let told = (0..1_000).filter(|version| requests.note(99, *version, at(602)));
        assert!(told.count() < REMEMBERED_MAX);
    }
}
