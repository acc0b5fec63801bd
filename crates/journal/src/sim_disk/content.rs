//! The bytes of one simulated file: as a process sees them, as they are on the plate, and the changes in between.

use rand::Rng;

use super::fault::{Roughness, SECTOR_BYTES, UnsyncedWrite};

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Oldest first.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Bytes { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Content {
    pub(super) fn cached(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn len(&self) -> u64 {
        self.cached.len() as u64
    }

    pub(super) fn read_at(&self, buffer: &mut [u8], position: u64) -> usize {
        let from = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(self.cached.len());
        let found = &self.cached[from..];
        let count = found.len().min(buffer.len());
        buffer[..count].copy_from_slice(&found[..count]);
        count
    }

    pub(super) fn write_at(&mut self, bytes: &[u8], position: u64) {
        let at = usize::try_from(position).expect("simulated files are small");
        self.change(Change::Bytes {
            at,
            bytes: bytes.to_vec(),
        });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let len = usize::try_from(len).expect("simulated files are small");
        self.change(Change::Length(len));
    }

    fn change(&mut self, change: Change) {
        change.apply_to(&mut self.cached);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply_to(&mut self.durable);
        }
    }

    /// The power is cut: of what was not synced, chance keeps what it likes.
    pub(super) fn lose_unsynced(&mut self, chance: &mut impl Rng, roughness: Roughness) {
        self.write_some_back(chance, roughness);
        self.cached.clone_from(&self.durable);
    }

    /// Some of the unsynced changes reach the plate; the others never will. The cache still shows them all.
    pub(super) fn write_some_back(&mut self, chance: &mut impl Rng, roughness: Roughness) {
        for change in self.unsynced.drain(..) {
            match roughness.unsynced_write(chance) {
                UnsyncedWrite::Lost => {}
                UnsyncedWrite::Kept => change.apply_to(&mut self.durable),
                UnsyncedWrite::Torn => change.apply_some_sectors_to(&mut self.durable, chance),
            }
        }
    }

    pub(super) fn flip_bit(&mut self, byte: usize, bit: u8) {
        for bytes in [&mut self.cached, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1 << bit;
            }
        }
        assert!(
            byte < self.cached.len(),
            "byte {byte} of a file of {}",
            self.cached.len()
        );
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.cached.truncate(len);
        self.durable.truncate(len);
    }

    /// The same bytes, all of them on the plate.
    pub(super) fn settled(&self) -> Self {
        Self {
            cached: self.cached.clone(),
            durable: self.cached.clone(),
            unsynced: Vec::new(),
        }
    }
}

impl Change {
    fn apply_to(&self, content: &mut Vec<u8>) {
        match self {
            Self::Bytes { at, bytes } => put(content, *at, bytes),
            Self::Length(len) => content.resize(*len, 0),
        }
    }

    fn apply_some_sectors_to(&self, content: &mut Vec<u8>, chance: &mut impl Rng) {
        let Self::Bytes { at, bytes } = self else {
            return self.apply_to(content);
        };
        let (mut at, mut rest) = (*at, bytes.as_slice());
        while !rest.is_empty() {
            let to_sector_end = SECTOR_BYTES - at % SECTOR_BYTES;
            let (sector, more) = rest.split_at(rest.len().min(to_sector_end));
            if chance.random_bool(0.5) {
                put(content, at, sector);
            }
            at += sector.len();
            rest = more;
        }
    }
}

/// Writes behind the end leave zeros in between, as a file system does.
fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}
