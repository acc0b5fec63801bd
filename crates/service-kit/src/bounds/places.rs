//! The places of one stage: who may have a connection there, and who makes room. Decides only: time is an argument.
//!
//! A connection *waits* (nothing whole has come from it yet, or it rests between two requests) or it *works*; it is a
//! *stranger* until it has brought a good token. Only one that waits, and has waited for [`WAITED_MIN`], can be told to
//! make room:
//!
//! - an address whose strangers hold its share loses a stranger of its own: the longest-waiting of those that have been
//!   answered and brought no token, however short it waited, else the longest-waiting;
//! - a stage that is full loses the one that waited longest of the address that has most places there;
//! - where none of a full stage has waited so long, an address with more than twice the places of the newcomer's loses
//!   the one that waited longest all the same: else a client that comes back at once takes each place that becomes free.
//!
//! Where none can be told, the new connection finds no place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;

use super::AddressKey;

/// A connection that waited less makes no room: a storm of phones must get through its handshakes.
const WAITED_MIN: Duration = Duration::from_secs(1);

/// How many places there are, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceLimits {
    /// Places at once.
    pub places_max: usize,
    /// Strangers at once of one address.
    pub strangers_max: usize,
}

impl PlaceLimits {
    /// So many places, a quarter of them for the strangers of one address.
    pub fn shared(places_max: usize) -> Self {
        Self {
            strangers_max: (places_max / 4).max(1),
            ..Self::unshared(places_max)
        }
    }

    /// So many places without shares, for a stage to which all come from a few addresses.
    pub fn unshared(places_max: usize) -> Self {
        Self {
            places_max,
            strangers_max: usize::MAX,
        }
    }
}

/// Tells a connection to make room. Called without a lock held; must not block.
pub type Evict = Arc<dyn Fn() + Send + Sync>;

/// The stage has no place for a new connection: come back in a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Strangers of the same address hold its share, and none has waited long enough.
    #[error("the address has as many connections without a token as it may")]
    Share,
    /// All places are taken, and none by a connection that has waited long enough.
    #[error("all places are taken")]
    Full,
}

/// The places of one stage. Cloned, it is the same stage.
#[derive(Clone)]
pub struct Places(Arc<Stage>);

struct Stage {
    limits: PlaceLimits,
    /// Places out, without those that were told to make room.
    taken: AtomicUsize,
    /// Told to make room, and still there.
    leaving: AtomicUsize,
    numbers: AtomicUsize,
    addresses: DashMap<AddressKey, Address>,
}

/// One address's places.
#[derive(Default)]
struct Address {
    members: BTreeMap<usize, Member>,
    strangers: usize,
    /// Since when, and its number.
    waiting_strangers: BTreeSet<(Instant, usize)>,
    /// The same of strangers that wait again: they had their chance to bring a token.
    resting_strangers: BTreeSet<(Instant, usize)>,
    waiting_known: BTreeSet<(Instant, usize)>,
}

struct Member {
    /// None while it works.
    waits_since: Option<Instant>,
    is_stranger: bool,
    /// It has worked before.
    was_served: bool,
    evict: Evict,
}

/// One place, given back when dropped.
pub struct Place {
    stage: Arc<Stage>,
    address: AddressKey,
    number: usize,
}

impl Places {
    /// A stage with these limits, all places free.
    pub fn new(limits: PlaceLimits) -> Self {
        Self(Arc::new(Stage {
            limits,
            taken: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            numbers: AtomicUsize::new(0),
            addresses: DashMap::new(),
        }))
    }

    /// A place for a connection from `address`, which waits as of now. `evict` tells it to make room, at most once.
    ///
    /// # Errors
    ///
    /// There is none, and no connection that can make room.
    pub fn admit(&self, address: AddressKey, now: Instant, evict: Evict) -> Result<Place, NoPlace> {
        let stage = &self.0;
        let number = stage.numbers.fetch_add(1, Ordering::Relaxed);
        let member = Member {
            waits_since: Some(now),
            is_stranger: true,
            was_served: false,
            evict,
        };
        stage.join(address, number, member, now)?;
        // From here on dropping it gives back what it has.
        let place = Place {
            stage: Arc::clone(stage),
            address,
            number,
        };
        stage.taken.fetch_add(1, Ordering::Relaxed);
        while stage.limits.places_max < stage.taken.load(Ordering::Relaxed) {
            if !stage.evict_one(now) && !stage.evict_one_for(address) {
                return Err(NoPlace::Full);
            }
        }
        Ok(place)
    }

    /// Tells the connection that waited longest to make room, of the address that has most. Whether there was one that
    /// had waited long enough.
    pub fn make_room(&self, now: Instant) -> bool {
        self.0.evict_one(now)
    }

    /// Places out, without those of connections that were told to make room.
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Connections that were told to make room and have not gone yet: their descriptors are still open.
    pub fn leaving(&self) -> usize {
        self.0.leaving.load(Ordering::Relaxed)
    }

    /// How many strangers an address has here.
    pub fn strangers_of(&self, address: AddressKey) -> usize {
        let address = self.0.addresses.get(&address);
        address.map_or(0, |address| address.strangers)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("limits", &self.0.limits)
            .field("taken", &self.taken())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("address", &self.address)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Stage {
    /// Adds a member to its address, in the place of the stranger that waited longest if the address has its share.
    fn join(
        &self,
        key: AddressKey,
        number: usize,
        member: Member,
        now: Instant,
    ) -> Result<(), NoPlace> {
        let mut address = self.addresses.entry(key).or_default();
        let mut evicted = None;
        if self.limits.strangers_max <= address.strangers {
            let resting = address.resting_strangers.first().copied();
            let waiting = address.waiting_strangers.first().copied();
            let waiting = waiting.filter(|since| long_enough(*since, now));
            let Some(longest) = resting.or(waiting) else {
                return Err(NoPlace::Share);
            };
            evicted = address.remove(longest.1);
        }
        address.insert(number, member);
        drop(address);
        if let Some(evicted) = evicted {
            self.tell(&evicted);
        }
        Ok(())
    }

    /// Of the address that has most places the connection that waited longest, if it waited long enough.
    fn evict_one(&self, now: Instant) -> bool {
        self.evict(|address| {
            let longest = address.longest();
            longest.filter(|since| long_enough(*since, now))
        })
    }

    /// The same however short it waited, of an address with more than twice as many places as the newcomer's.
    fn evict_one_for(&self, newcomer: AddressKey) -> bool {
        let own = self.addresses.get(&newcomer);
        let own = own.map_or(0, |address| address.members.len());
        self.evict(|address| {
            let longest = address.longest();
            longest.filter(|_| 2 * own < address.members.len())
        })
    }

    fn evict(&self, candidate: impl Fn(&Address) -> Option<(Instant, usize)>) -> bool {
        // A connection may begin to work, or go, between the look and the removal: then there may be another.
        while let Some(key) = self.address_to_make_room(&candidate) {
            let evicted = self.addresses.get_mut(&key).and_then(|mut address| {
                let (_, number) = candidate(&address)?;
                address.remove(number)
            });
            if let Some(evicted) = evicted {
                self.tell(&evicted);
                return true;
            }
        }
        false
    }

    fn address_to_make_room(
        &self,
        candidate: impl Fn(&Address) -> Option<(Instant, usize)>,
    ) -> Option<AddressKey> {
        let candidates = self.addresses.iter().filter_map(|address| {
            let (since, _) = candidate(&address)?;
            Some((
                address.members.len(),
                std::cmp::Reverse(since),
                *address.key(),
            ))
        });
        candidates.max().map(|(_, _, key)| key)
    }

    /// The member is out of its address already.
    fn tell(&self, evicted: &Member) {
        self.left();
        self.leaving.fetch_add(1, Ordering::Relaxed);
        (evicted.evict)();
    }

    fn left(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

fn long_enough((since, _): (Instant, usize), now: Instant) -> bool {
    WAITED_MIN <= now.saturating_duration_since(since)
}

impl Address {
    fn insert(&mut self, number: usize, member: Member) {
        self.strangers += usize::from(member.is_stranger);
        if let Some(since) = member.waits_since {
            self.waiting(&member).insert((since, number));
        }
        self.members.insert(number, member);
    }

    fn remove(&mut self, number: usize) -> Option<Member> {
        let member = self.members.remove(&number)?;
        self.strangers -= usize::from(member.is_stranger);
        if let Some(since) = member.waits_since {
            self.waiting(&member).remove(&(since, number));
        }
        Some(member)
    }

    /// Among whom a member waits.
    fn waiting(&mut self, member: &Member) -> &mut BTreeSet<(Instant, usize)> {
        match (member.is_stranger, member.was_served) {
            (true, false) => &mut self.waiting_strangers,
            (true, true) => &mut self.resting_strangers,
            (false, _) => &mut self.waiting_known,
        }
    }

    fn longest(&self) -> Option<(Instant, usize)> {
        let all = [
            self.waiting_strangers.first(),
            self.resting_strangers.first(),
            self.waiting_known.first(),
        ];
        all.into_iter().flatten().min().copied()
    }
}

impl Place {
    /// Something whole has come: the connection makes room for nobody until it waits again. Not if it was told to
    /// already.
    pub fn work(&self) -> bool {
        self.change(|_| None, |is_stranger| is_stranger)
    }

    /// Nothing is left to do for the connection until more comes.
    pub fn wait(&self, now: Instant) {
        self.change(|_| Some(now), |is_stranger| is_stranger);
    }

    /// A good token has come: the connection leaves its address's count.
    pub fn verified(&self) {
        self.change(|since| since, |_| false);
    }

    /// Whether nothing is being done for the connection now. One that was told to make room waits.
    pub fn waits(&self) -> bool {
        let address = self.stage.addresses.get(&self.address);
        let member = address
            .as_ref()
            .and_then(|address| address.members.get(&self.number));
        member.is_none_or(|member| member.waits_since.is_some())
    }

    /// From now on this is how the connection is told to make room. Not if it was told to already.
    pub fn evict_by(&self, evict: Evict) -> bool {
        let Some(mut address) = self.stage.addresses.get_mut(&self.address) else {
            return false;
        };
        let Some(member) = address.members.get_mut(&self.number) else {
            return false;
        };
        member.evict = evict;
        true
    }

    fn change(
        &self,
        since: impl FnOnce(Option<Instant>) -> Option<Instant>,
        is_stranger: impl FnOnce(bool) -> bool,
    ) -> bool {
        let Some(mut address) = self.stage.addresses.get_mut(&self.address) else {
            return false;
        };
        let Some(mut member) = address.remove(self.number) else {
            return false;
        };
        member.was_served |= member.waits_since.is_none();
        member.waits_since = since(member.waits_since);
        member.is_stranger = is_stranger(member.is_stranger);
        address.insert(self.number, member);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let member = self
            .stage
            .addresses
            .get_mut(&self.address)
            .and_then(|mut address| address.remove(self.number));
        match member {
            Some(_) => self.stage.left(),
            None => drop(self.stage.leaving.fetch_sub(1, Ordering::Relaxed)),
        }
        let is_empty = |_: &AddressKey, address: &Address| address.members.is_empty();
        self.stage.addresses.remove_if(&self.address, is_empty);
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    /// A stage, a clock that only the test moves, and the names of those that were told to make room.
    struct Scene {
        places: Places,
        now: Instant,
        told: Arc<Mutex<Vec<String>>>,
    }

    impl Scene {
        fn with(limits: PlaceLimits) -> Self {
            Self {
                places: Places::new(limits),
                now: clock::steady(),
                told: Arc::default(),
            }
        }

        fn come(&self, name: &str, from: &str) -> Result<Place, NoPlace> {
            let (told, name) = (Arc::clone(&self.told), name.to_owned());
            let evict = move || told.lock().unwrap().push(name.clone());
            self.places.admit(key(from), self.now, Arc::new(evict))
        }

        fn pass(&mut self, millis: u64) {
            self.now += Duration::from_millis(millis);
        }

        fn told(&self) -> Vec<String> {
            std::mem::take(&mut *self.told.lock().unwrap())
        }
    }

    fn key(address: &str) -> AddressKey {
        address.parse::<IpAddr>().unwrap().into()
    }

    const FLOOD: &str = "10.0.0.9";
    const HOME: &str = "10.0.0.1";

    #[test]
    fn an_address_beyond_its_share_loses_its_own_longest_waiting_connection() {
        let mut scene = Scene::with(PlaceLimits::shared(8));
        let home = scene.come("home", HOME).unwrap();
        let mut flood = vec![scene.come("first", FLOOD).unwrap()];
        scene.pass(10);
        flood.push(scene.come("second", FLOOD).unwrap());
        scene.pass(2_000);

        flood.push(scene.come("third", FLOOD).unwrap());

        assert_eq!(scene.told(), ["first"]);
        assert_eq!(scene.places.strangers_of(key(FLOOD)), 2);
        assert!(!flood[0].work(), "it was told to make room");
        assert!(home.work());
    }

    #[test]
    fn none_that_waited_under_a_second_makes_room() {
        let mut scene = Scene::with(PlaceLimits::shared(8));
        let _two = [
            scene.come("a", FLOOD).unwrap(),
            scene.come("b", FLOOD).unwrap(),
        ];
        scene.pass(999);
        assert_eq!(scene.come("c", FLOOD).unwrap_err(), NoPlace::Share);
        assert!(scene.told().is_empty());

        scene.pass(1);

        assert!(scene.come("c", FLOOD).is_ok());
        assert_eq!(scene.told(), ["a"]);
    }

    #[test]
    fn one_that_was_answered_and_brought_no_token_makes_room_for_another_of_its_address_at_once() {
        let mut scene = Scene::with(PlaceLimits::shared(8));
        let _fresh = scene.come("fresh", HOME).unwrap();
        scene.pass(10);
        let busy = scene.come("busy", HOME).unwrap();
        assert!(busy.work());
        assert_eq!(scene.come("neighbour", HOME).unwrap_err(), NoPlace::Share);

        busy.wait(scene.now);

        assert!(scene.come("neighbour", HOME).is_ok());
        assert_eq!(scene.told(), ["busy"]);
    }

    #[test]
    fn a_connection_that_brought_a_good_token_leaves_its_addresss_count() {
        let mut scene = Scene::with(PlaceLimits::shared(8));
        let known: Vec<_> = (0..6)
            .map(|_| {
                let place = scene.come("known", HOME).unwrap();
                place.verified();
                place.wait(scene.now);
                place
            })
            .collect();
        scene.pass(2_000);

        let _new = scene.come("new", HOME).unwrap();

        assert!(scene.told().is_empty());
        assert_eq!(scene.places.strangers_of(key(HOME)), 1);
        assert_eq!(known.len() + 1, scene.places.taken());
    }

    #[test]
    fn a_full_stage_takes_the_longest_waiting_of_the_address_that_has_most() {
        let mut scene = Scene::with(PlaceLimits::unshared(4));
        let _home = scene.come("home", HOME).unwrap();
        scene.pass(10);
        let busy = scene.come("busy", FLOOD).unwrap();
        assert!(busy.work());
        scene.pass(10);
        let _idle = scene.come("idle", FLOOD).unwrap();
        scene.pass(10);
        let _later = scene.come("later", FLOOD).unwrap();
        scene.pass(2_000);

        let _new = scene.come("new", "10.0.0.2").unwrap();

        assert_eq!(scene.told(), ["idle"]);
        assert_eq!(scene.places.taken(), 4);
        assert_eq!(scene.places.leaving(), 1, "its descriptor is still open");
    }

    #[test]
    fn a_full_stage_without_anybody_who_waits_has_no_place() {
        let mut scene = Scene::with(PlaceLimits::unshared(2));
        let both = [
            scene.come("a", HOME).unwrap(),
            scene.come("b", FLOOD).unwrap(),
        ];
        assert!(both.iter().all(Place::work));
        scene.pass(60_000);
        assert_eq!(scene.come("c", HOME).unwrap_err(), NoPlace::Full);
        assert_eq!(scene.places.taken(), 2);

        both[1].wait(scene.now);
        scene.pass(1_000);

        assert!(scene.come("c", HOME).is_ok());
        assert_eq!(scene.told(), ["b"]);
    }

    #[test]
    fn an_address_that_comes_back_at_once_does_not_take_each_place_that_becomes_free() {
        let mut scene = Scene::with(PlaceLimits::unshared(8));
        let mut flood: Vec<_> = (0..8)
            .map(|_| scene.come("flood", FLOOD).unwrap())
            .collect();
        scene.pass(10);
        assert_eq!(scene.come("flood", FLOOD).unwrap_err(), NoPlace::Full);

        let home: Vec<_> = (0..4)
            .map_while(|_| scene.come("home", HOME).ok())
            .collect();

        assert_eq!(home.len(), 2, "while the flood has more than twice as many");
        assert_eq!(scene.told(), ["flood"; 2]);
        flood.clear();
    }

    #[test]
    fn places_that_are_given_back_leave_nothing_behind() {
        let mut scene = Scene::with(PlaceLimits::shared(4));
        let first = scene.come("a", HOME).unwrap();
        scene.pass(2_000);
        let second = scene.come("b", HOME).unwrap();
        drop((first, second));

        assert_eq!((scene.places.taken(), scene.places.leaving()), (0, 0));
        assert!(scene.places.0.addresses.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Come(u8),
        Go(usize),
        Work(usize),
        Wait(usize),
        Verify(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u8..4).prop_map(Step::Come),
            1 => any::<usize>().prop_map(Step::Go),
            1 => any::<usize>().prop_map(Step::Work),
            1 => any::<usize>().prop_map(Step::Wait),
            1 => any::<usize>().prop_map(Step::Verify),
            2 => (0u64..1_500).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn the_bounds_hold_whatever_comes_and_an_address_of_its_own_is_let_in(
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut scene = Scene::with(PlaceLimits::shared(12));
            let mut places: Vec<Place> = Vec::new();
            for step in steps {
                let at = |index: usize| index % places.len().max(1);
                match step {
                    Step::Come(from) => places.extend(scene.come("", &format!("10.0.0.{from}")).ok()),
                    Step::Pass(millis) => scene.pass(millis),
                    _ if places.is_empty() => {}
                    Step::Go(index) => drop(places.swap_remove(at(index))),
                    Step::Work(index) => drop(places[at(index)].work()),
                    Step::Wait(index) => places[at(index)].wait(scene.now),
                    Step::Verify(index) => places[at(index)].verified(),
                }
                prop_assert!(scene.places.taken() <= 12);
                prop_assert_eq!(scene.places.taken() + scene.places.leaving(), places.len());
                for from in 0..4 {
                    let address = key(&format!("10.0.0.{from}"));
                    prop_assert!(scene.places.strangers_of(address) <= 3);
                }
            }
            for place in &places {
                place.wait(scene.now);
            }
            scene.pass(1_000);
            prop_assert!(scene.come("", "10.0.1.1").is_ok(), "everybody waits: somebody makes room");
        }
    }
}
