//! Which links are cut. A link is one way.

use std::collections::BTreeSet;

use rand::Rng;

pub(super) struct Network {
    nodes: usize,
    cut: BTreeSet<(usize, usize)>,
}

impl Network {
    pub(super) fn between(nodes: usize) -> Self {
        Self {
            nodes,
            cut: BTreeSet::new(),
        }
    }

    pub(super) fn is_cut(&self, link: (usize, usize)) -> bool {
        self.cut.contains(&link)
    }

    pub(super) fn cut(&mut self, link: (usize, usize)) {
        assert!(link.0 < self.nodes && link.1 < self.nodes);
        self.cut.insert(link);
    }

    pub(super) fn heal(&mut self, link: (usize, usize)) {
        self.cut.remove(&link);
    }

    pub(super) fn heal_all(&mut self) {
        self.cut.clear();
    }

    /// Whether the answer to a producer gets lost on its way.
    pub(super) fn loses_answer(&self, chance: &mut impl Rng, calm: bool) -> bool {
        !calm && chance.random_bool(0.05)
    }
}
