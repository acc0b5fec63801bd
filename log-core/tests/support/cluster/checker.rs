//! Judges what clients were told and what they read against what the log holds in the end. Decides only: it touches no
//! cluster, so that histories made by hand show that it finds each breach.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Where a record stands: partition and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub i32, pub i64);

/// A record as a reader sees it. Its id is `producer.sequence`: nobody else writes it, and one of a key's records that
/// was sent later has a higher sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: String,
    pub id: String,
}

impl Record {
    /// A value that carries the id and is as long as told.
    pub fn value(id: &str, bytes: usize) -> String {
        format!("{id:<bytes$}")
    }

    /// What a reader has of a record.
    pub fn read(key: &str, value: &str) -> Self {
        Self {
            key: key.to_owned(),
            id: value.trim_end().to_owned(),
        }
    }

    fn sequence(&self) -> u64 {
        let digits = self.id.rsplit('.').next().unwrap_or_default();
        digits.parse().expect("ids of ours end with a sequence")
    }
}

/// What a producer was told about a record.
#[derive(Clone, Debug)]
pub struct Report {
    pub id: String,
    pub key: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged(Place),
    /// Stored, librdkafka does not know where: the answer was lost, and one to a later batch of the producer's says so.
    AcknowledgedSomewhere,
    /// librdkafka gave the record up, with this code.
    Refused(String),
}

/// What a group's members saw and were told, in this order.
#[derive(Clone, Debug)]
pub enum GroupEvent {
    /// A member got the partition.
    Assigned { member: usize, partition: i32 },
    /// A member read this record. One that was cut off reads on until it hears that another has its partitions.
    Read {
        member: usize,
        place: Place,
        id: String,
    },
    /// A commit was acknowledged: the group goes on at `next`.
    Committed { partition: i32, next: i64 },
}

/// What the group did, and what the log says in the end about where it goes on.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub events: Vec<GroupEvent>,
    pub committed: BTreeMap<i32, i64>,
}

/// Everything that is judged.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub reports: Vec<Report>,
    pub reading: Reading,
    /// What a log may answer that has no room: the client is told, and the record must not be there.
    pub excused: Option<&'static str>,
    pub records: BTreeMap<Place, Record>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// It was acknowledged there and something else, or nothing, stands there.
    Lost { id: String, at: Place },
    /// It was acknowledged, and stands nowhere.
    LostSomewhere { id: String },
    /// It was given up, which no fault that heals is an excuse for.
    GivenUp { id: String, code: String },
    /// Its client was told that nothing was stored, and it is there.
    StoredAllTheSame { id: String },
    /// It stands twice.
    Doubled { id: String, at: [Place; 2] },
    /// Nobody sent it.
    Invented { id: String, at: Place },
    /// It stands before a record of its key that was sent earlier.
    Overtaken { id: String, by: String },
    /// A reader saw it there, and it is not there.
    Changed { id: String, at: Place },
    /// A member began below what was committed before it got the partition.
    WentBack { at: Place, committed: i64 },
    /// A member passed over records.
    Skipped { from: Place, to: i64 },
    /// The log forgot a commit that it had acknowledged.
    CommitLost {
        partition: i32,
        acknowledged: i64,
        found: Option<i64>,
    },
    /// A node has other records on its disk than were read.
    Differs { node: u32, at: Place },
}

impl History {
    /// Every breach that a client could have noticed.
    pub fn breaches(&self) -> Vec<Breach> {
        let mut breaches = Vec::new();
        self.find_lost(&mut breaches);
        self.find_doubled_and_invented(&mut breaches);
        self.find_overtaken(&mut breaches);
        self.find_misread(&mut breaches);
        self.find_lost_commits(&mut breaches);
        breaches
    }

    /// Fails with all of them.
    pub fn assert_kept(&self) {
        let breaches = self.breaches();
        let shown: Vec<_> = breaches.iter().take(20).collect();
        assert!(
            breaches.is_empty(),
            "{} broken promises: {shown:#?}",
            breaches.len()
        );
    }

    /// Records that their producers were told are stored.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&Report, Place)> {
        self.reports
            .iter()
            .filter_map(|report| match report.outcome {
                Outcome::Acknowledged(place) => Some((report, place)),
                Outcome::AcknowledgedSomewhere | Outcome::Refused(_) => None,
            })
    }

    /// How much was seen, so that a test which saw nothing is noticed.
    pub fn summary(&self) -> Summary {
        let count = |wanted: fn(&GroupEvent) -> bool| {
            self.reading
                .events
                .iter()
                .filter(|event| wanted(event))
                .count()
        };
        Summary {
            sent: self.reports.len(),
            acknowledged: self.acknowledged().count(),
            read_by_the_group: count(|event| matches!(event, GroupEvent::Read { .. })),
            commits: count(|event| matches!(event, GroupEvent::Committed { .. })),
        }
    }

    fn find_lost(&self, breaches: &mut Vec<Breach>) {
        let mut refused = Vec::new();
        let stored: BTreeSet<_> = self.records.values().map(|record| &record.id).collect();
        for report in &self.reports {
            let id = report.id.clone();
            match &report.outcome {
                Outcome::Acknowledged(at) => {
                    let found = self.records.get(at);
                    if found.is_none_or(|record| record.id != report.id || record.key != report.key)
                    {
                        breaches.push(Breach::Lost { id, at: *at });
                    }
                }
                Outcome::AcknowledgedSomewhere if stored.contains(&id) => {}
                Outcome::AcknowledgedSomewhere => breaches.push(Breach::LostSomewhere { id }),
                Outcome::Refused(code) if self.excused != Some(code) => {
                    let code = code.clone();
                    breaches.push(Breach::GivenUp { id, code });
                }
                Outcome::Refused(_) => refused.push(id),
            }
        }
        refused.retain(|id| stored.contains(id));
        breaches.extend(
            refused
                .into_iter()
                .map(|id| Breach::StoredAllTheSame { id }),
        );
    }

    fn find_doubled_and_invented(&self, breaches: &mut Vec<Breach>) {
        let mut unseen: BTreeMap<&str, Option<Place>> = self
            .reports
            .iter()
            .map(|report| (report.id.as_str(), None))
            .collect();
        for (place, record) in &self.records {
            let id = record.id.clone();
            match unseen.get_mut(record.id.as_str()) {
                None => breaches.push(Breach::Invented { id, at: *place }),
                Some(Some(first)) => breaches.push(Breach::Doubled {
                    id,
                    at: [*first, *place],
                }),
                Some(seen) => *seen = Some(*place),
            }
        }
    }

    fn find_overtaken(&self, breaches: &mut Vec<Breach>) {
        let mut newest: BTreeMap<&str, &Record> = BTreeMap::new();
        for record in self.records.values() {
            let Some(before) = newest.insert(&record.key, record) else {
                continue;
            };
            if record.sequence() < before.sequence() {
                breaches.push(Breach::Overtaken {
                    id: record.id.clone(),
                    by: before.id.clone(),
                });
            }
        }
    }

    fn find_misread(&self, breaches: &mut Vec<Breach>) {
        let mut partitions: BTreeMap<i32, Reached> = BTreeMap::new();
        let mut tenures: BTreeMap<(usize, i32), Tenure> = BTreeMap::new();
        for event in &self.reading.events {
            match event {
                GroupEvent::Assigned { member, partition } => {
                    let floor = partitions.entry(*partition).or_default().committed;
                    tenures.insert((*member, *partition), Tenure { floor, next: None });
                }
                GroupEvent::Committed { partition, next } => {
                    let reached = partitions.entry(*partition).or_default();
                    reached.committed = reached.committed.max(*next);
                }
                GroupEvent::Read { member, place, id } => {
                    let found = self.records.get(place);
                    if found.is_none_or(|record| record.id != *id) {
                        let id = id.clone();
                        breaches.push(Breach::Changed { id, at: *place });
                    }
                    let reached = partitions.entry(place.0).or_default();
                    let tenure = tenures.entry((*member, place.0)).or_default();
                    breaches.extend(tenure.read(*place, reached));
                }
            }
        }
    }

    fn find_lost_commits(&self, breaches: &mut Vec<Breach>) {
        let mut acknowledged: BTreeMap<i32, i64> = BTreeMap::new();
        for event in &self.reading.events {
            if let GroupEvent::Committed { partition, next } = event {
                let highest = acknowledged.entry(*partition).or_default();
                *highest = (*highest).max(*next);
            }
        }
        for (partition, acknowledged) in acknowledged {
            let found = self.reading.committed.get(&partition).copied();
            if found.is_none_or(|found| found < acknowledged) {
                breaches.push(Breach::CommitLost {
                    partition,
                    acknowledged,
                    found,
                });
            }
        }
    }
}

/// How far the group has come in a partition.
#[derive(Default)]
struct Reached {
    /// The highest commit that was acknowledged to anybody.
    committed: i64,
    /// The next record that nobody has read yet.
    unread: i64,
}

/// One member's time with a partition.
#[derive(Default)]
struct Tenure {
    /// What was committed when it began: it may not begin below.
    floor: i64,
    /// The next record that its member must read; not known before it has read one.
    next: Option<i64>,
}

impl Tenure {
    fn read(&mut self, place: Place, reached: &mut Reached) -> Option<Breach> {
        let Place(partition, offset) = place;
        // Where a tenure begins it may repeat what was read and not committed, and pass over nothing.
        let begin = (self.floor, reached.unread);
        let (least, most) = self.next.map_or(begin, |next| (next, next));
        self.next = Some(offset + 1);
        reached.unread = reached.unread.max(offset + 1);
        if offset < least {
            let committed = least;
            return Some(Breach::WentBack {
                at: place,
                committed,
            });
        }
        let from = Place(partition, most);
        (most < offset).then_some(Breach::Skipped { from, to: offset })
    }
}

/// How much a test saw.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub sent: usize,
    pub acknowledged: usize,
    pub read_by_the_group: usize,
    pub commits: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent,
            acknowledged,
            read_by_the_group,
            commits,
        } = self;
        write!(
            f,
            "{acknowledged} of {sent} records acknowledged, {read_by_the_group} read by the group, {commits} commits"
        )
    }
}
