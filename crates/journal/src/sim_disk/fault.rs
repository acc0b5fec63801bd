//! What becomes of unsynced changes when the power is cut.

use rand::Rng;

/// What a power cut may tear apart: the unit that a disk writes whole.
pub(crate) const SECTOR_BYTES: usize = 512;

/// How much of what was not synced a power cut takes, in percent. Drawn anew for each cut: were each write drawn alone,
/// "nothing was kept" and "all was kept" would hardly ever be seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roughness {
    lost: u32,
    torn: u32,
}

impl Roughness {
    pub(super) const EVEN: Self = Self { lost: 33, torn: 33 };
    const KINDS: [Self; 6] = [
        Self { lost: 100, torn: 0 },
        Self { lost: 0, torn: 0 },
        Self { lost: 50, torn: 0 },
        Self { lost: 10, torn: 60 },
        Self { lost: 60, torn: 30 },
        Self::EVEN,
    ];

    pub(super) fn draw(chance: &mut impl Rng) -> Self {
        Self::KINDS[chance.random_range(0..Self::KINDS.len())]
    }

    pub(super) fn unsynced_write(self, chance: &mut impl Rng) -> UnsyncedWrite {
        match chance.random_range(0..100) {
            drawn if drawn < self.lost => UnsyncedWrite::Lost,
            drawn if drawn < self.lost + self.torn => UnsyncedWrite::Torn,
            _ => UnsyncedWrite::Kept,
        }
    }
}

/// What becomes of one unsynced change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnsyncedWrite {
    Kept,
    Lost,
    Torn,
}
