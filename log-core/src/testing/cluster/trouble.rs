//! What goes wrong: power, processes, links, disks, clocks, bits.

use rand::Rng;

use super::event::Event;
use super::node::{Ended, SimNode};
use super::plan::Troubles;
use super::{Cluster, Planted, ms};
use crate::ids::LeaderEpoch;

/// A leader with a slow disk beside quick ones is another's follower by then: 3 s after a client's first record there, and
/// what a client may take to come.
const SLOW_LEADER_MS: u64 = 5_000;

impl Cluster {
    /// One fault, and the next one after a while.
    pub(super) fn trouble(&mut self) {
        if self.is_calm() {
            return;
        }
        self.within(self.plan.trouble_within, Event::Trouble);
        let node = self.chance.random_range(0..self.plan.nodes);
        let kinds = match self.plan.troubles {
            Troubles::Everything => 28,
            Troubles::Power => 8,
            Troubles::SlowDisks => return self.slow_disks_and_kill(),
            Troubles::SlowLeaders => return self.slow_leader(),
        };
        match self.chance.random_range(0..kinds) {
            0..=2 => self.cut_power(node),
            3..=4 => self.cut_power_at_an_operation(node),
            5 => self.cut_power_everywhere(),
            6..=7 => self.kill(node),
            8..=10 => self.cut_link(node),
            11..=12 => self.cut_off(node),
            13 => self.slow_disk(node),
            14..=15 => self.pause(node),
            16 if self.chance.random_bool(0.5) => self.fill_disks_everywhere(),
            16 => self.fill_disk(node),
            17 => self.fail_sync(node),
            18 => self.flip_bit(node),
            19 => self.jump_clock(node),
            20..=21 => self.lose_machine(node),
            22..=23 => self.hand_over(node),
            24 => self.slow_disks_everywhere(),
            25 => self.pause_leader(),
            26 => self.stop(node),
            _ => self.dismiss(node),
        }
    }

    fn cut_power(&mut self, node: usize) {
        if self.nodes[node].is_out() || self.nodes[node].is_rotten() {
            return;
        }
        self.coverage.count("power cuts");
        self.nodes[node].disk().crash();
        if self.plan.planted == Some(Planted::RefilledNodeVotesEarly) {
            let seed = self.chance.random();
            self.nodes[node].lose_disk(seed);
        }
        self.ended(node, Ended::PowerCut);
    }

    fn cut_power_at_an_operation(&mut self, node: usize) {
        let disk = self.nodes[node].disk();
        disk.crash_at(disk.operations() + self.chance.random_range(1..40));
    }

    pub(super) fn cut_power_everywhere(&mut self) {
        self.coverage.count("power cuts everywhere");
        (0..self.plan.nodes).for_each(|node| self.cut_power(node));
    }

    fn kill(&mut self, node: usize) {
        if !self.nodes[node].is_up() {
            return;
        }
        self.coverage.count("kills");
        self.ended(node, Ended::Killed);
    }

    fn stop(&mut self, node: usize) {
        if self.nodes[node].is_up() && !self.nodes[node].is_paused() {
            self.coverage.count("nodes asked to stop");
            self.with_node(node, SimNode::stop);
        }
    }

    fn cut_link(&mut self, from: usize) {
        self.coverage.count("links cut one way");
        let to = self.chance.random_range(0..self.plan.nodes);
        self.network.cut((from, to));
        self.within(ms(3_000), Event::Heal { link: (from, to) });
    }

    fn cut_off(&mut self, node: usize) {
        self.coverage.count("nodes cut off");
        for other in 0..self.plan.nodes {
            for link in [(node, other), (other, node)] {
                self.network.cut(link);
                self.within(ms(3_000), Event::Heal { link });
            }
        }
    }

    fn slow_disk(&mut self, node: usize) {
        self.coverage.count("disks slow");
        let longest = ms(self.chance.random_range(100..3_000));
        self.nodes[node].slow_down(longest);
        self.within(ms(5_000), Event::Quick { node });
    }

    fn slow_disks_everywhere(&mut self) {
        self.coverage.count("disks slow everywhere");
        (0..self.plan.nodes).for_each(|node| self.slow_disk(node));
    }

    fn slow_disks_and_kill(&mut self) {
        self.coverage.count("disks slow everywhere");
        for node in 0..self.plan.nodes {
            let longest = ms(self.chance.random_range(100..1_500));
            self.nodes[node].slow_down(longest);
        }
        if let Some(leader) = self.leader().filter(|_| self.chance.random_bool(0.5)) {
            self.kill(leader);
        }
    }

    /// One at a time: beside another slow disk it may lead on.
    fn slow_leader(&mut self) {
        if self.nodes.iter().any(SimNode::is_slow) {
            return;
        }
        let Some(leader) = self.leader() else { return };
        let epoch = self.nodes[leader].leads().expect("just seen");
        self.coverage.count("leaders slow beside quick ones");
        let longest = ms(self.chance.random_range(1_000..3_000));
        self.nodes[leader].slow_down(longest);
        let overdue = Event::Overdue {
            node: leader,
            epoch,
        };
        self.at(ms(SLOW_LEADER_MS), overdue);
    }

    /// Whether it still leads is what the plan's promise is about, unless all was healed meanwhile; then its disk is mended.
    pub(super) fn overdue(&mut self, node: usize, epoch: LeaderEpoch) {
        if self.nodes[node].is_slow() && self.nodes[node].leads() == Some(epoch) {
            self.history.slow_leader_leads_on(node, epoch);
        }
        self.nodes[node].speed_up();
    }

    fn leader(&self) -> Option<usize> {
        let leads = |node: &usize| self.nodes[*node].leads().is_some();
        (0..self.plan.nodes).find(leads)
    }

    /// For longer than what was last heard of the others is good for.
    fn pause_leader(&mut self) {
        let leader = self.leader().filter(|node| !self.nodes[*node].is_paused());
        if let Some(node) = leader {
            self.coverage.count("leaders paused");
            self.nodes[node].pause();
            self.at(ms(3_500), Event::Resume { node });
        }
    }

    /// Its process stands still; what comes for it waits.
    fn pause(&mut self, node: usize) {
        if self.nodes[node].is_up() && !self.nodes[node].is_paused() {
            self.coverage.count("processes paused");
            self.nodes[node].pause();
            self.within(ms(2_500), Event::Resume { node });
        }
    }

    fn fill_disk(&mut self, node: usize) {
        if self.nodes[node].is_out() {
            return;
        }
        self.coverage.count("disks full");
        let spare = self.chance.random_range(0..40 << 10);
        self.nodes[node].fill_disk(spare);
        self.within(ms(3_000), Event::Room { node });
    }

    fn fill_disks_everywhere(&mut self) {
        self.coverage.count("disks full everywhere");
        (0..self.plan.nodes).for_each(|node| self.fill_disk(node));
    }

    fn fail_sync(&mut self, node: usize) {
        let which = self.chance.random_range(1..20);
        self.nodes[node].fail_sync(which);
    }

    /// Never in more files than the cluster survives, and after a kill, without a power cut before the next start: that
    /// together with the rot of the very last batch is the limit that the journal states.
    fn flip_bit(&mut self, node: usize) {
        if !self.nodes[node].is_up() || !self.can_do_without(node) {
            return;
        }
        self.coverage.count("bits flipped");
        self.kill(node);
        let path = self.nodes[node].flip_bit(&mut self.chance);
        if self.prints {
            println!("a bit of {path:?} of node {node} is flipped");
        }
    }

    fn hand_over(&mut self, node: usize) {
        self.coverage.count("leaders asked to hand over");
        if !self.nodes[node].is_paused() {
            self.with_node(node, SimNode::hand_over);
        }
    }

    fn jump_clock(&mut self, node: usize) {
        self.coverage.count("clocks jumped");
        let clock = self.nodes[node].clock();
        let (minutes, hours, days) = (60_000, 3_600_000, 86_400_000_i64);
        let most = match self.chance.random_range(0..4) {
            0 => 2 * minutes,
            1 => 14 * hours,
            2 => 3_650 * days,
            _ => {
                // Up to twice as fast, or standing still.
                clock.drift_wall(self.chance.random_range(-1_000_000..=1_000_000));
                return self.coverage.count("clocks drift");
            }
        };
        let by = self.chance.random_range(-most..most);
        if days < by.abs() {
            self.coverage.count("clocks jumped by years");
        }
        clock.jump_wall(by);
    }

    /// A node has ended. Its disk may have lost power in the middle of something; it comes back in a while, unless its
    /// files are damaged.
    pub(super) fn ended(&mut self, node: usize, ended: Ended) {
        match &ended {
            Ended::PowerCut => self.coverage.count("ends by power cut"),
            Ended::DiskFailed => self.coverage.count("ends by a failing disk"),
            Ended::Damaged => self.coverage.count("damage found"),
            Ended::Broke(error) => self.history.broke(node, error),
            Ended::Stopped => self.coverage.count("clean ends"),
            Ended::Killed => {}
        }
        let was_out = self.nodes[node].is_out();
        for asker in self.nodes[node].end(&ended) {
            self.within(ms(50), Event::GiveUp { asker });
        }
        self.paused[node].clear();
        if !self.nodes[node].is_out() {
            self.within(self.plan.restart_within, Event::Restart { node });
        } else if !was_out {
            self.call_operator(node);
        }
    }

    /// The faults are over. Whose files `verify` finds damaged is replaced.
    pub(super) fn heal(&mut self) {
        self.network.heal_all();
        for node in 0..self.plan.nodes {
            self.nodes[node].heal();
            if self.plan.troubles != Troubles::SlowDisks {
                self.nodes[node].speed_up();
            }
            if self.nodes[node].is_flipped() && !self.nodes[node].is_out() {
                self.ended(node, Ended::Damaged);
            }
            self.at(ms(0), Event::Resume { node });
            self.within(ms(100), Event::Restart { node });
        }
    }
}
