//! How many sockets one person and one house have, in whatever shard: wide, since families share a token, and bounded,
//! since one token must not take the places of a complex.

use std::hash::{BuildHasher as _, RandomState};

use resident_token::{Resident, Role};
use service_kit::bounds::{Count, Counts};

/// Sockets of one subject.
const SUBJECT_MAX: usize = 20;
/// Sockets of one subject who is an operator: walls of screens, and programs that listen to every line.
const OPERATOR_MAX: usize = 200;
/// Sockets of one house.
const HOUSE_MAX: usize = 50;

/// The counts of all shards. Cloned, they are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct SocketCounts {
    /// By a keyed hash of whose they are: a count is 24 bytes at its socket then, and no client can aim at another's.
    by_owner: Counts<u64>,
    hashes: RandomState,
}

/// Whose sockets are counted together.
#[derive(Hash)]
enum Owner<'a> {
    Subject(Option<&'a str>, &'a str),
    House(Option<&'a str>, &'a str, &'a str),
}

/// One socket, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct CountedSocket {
    _of_subject: Count<u64>,
    _of_house: Option<Count<u64>>,
}

impl SocketCounts {
    /// One more socket of this person, unless there are as many as one may have.
    pub(crate) fn take(&self, resident: &Resident) -> Option<CountedSocket> {
        let issuer = resident.issuer.as_deref();
        let subject_max = if resident.roles.contains(Role::Operator) {
            OPERATOR_MAX
        } else {
            SUBJECT_MAX
        };
        let subject = Owner::Subject(issuer, &resident.subject);
        let of_subject = self.of(&subject, subject_max)?;
        let of_house = match (&resident.line, &resident.house) {
            (Some(line), Some(house)) => {
                let house = Owner::House(issuer, line.as_str(), house.as_str());
                Some(self.of(&house, HOUSE_MAX)?)
            }
            _ => None,
        };
        Some(CountedSocket {
            _of_subject: of_subject,
            _of_house: of_house,
        })
    }

    fn of(&self, owner: &Owner<'_>, max: usize) -> Option<Count<u64>> {
        self.by_owner.take(self.hashes.hash_one(owner), max)
    }
}

#[cfg(test)]
mod tests {
    use event_model::{House, Line};
    use resident_token::Roles;

    use super::*;

    fn resident(subject: &str, house: &str) -> Resident {
        Resident {
            subject: subject.to_owned(),
            issuer: None,
            token_id: None,
            line: Some(Line::new("101").unwrap()),
            house: Some(House::new(house).unwrap()),
            roles: Roles::default(),
            expires_at: jiff::Timestamp::MAX,
        }
    }

    #[test]
    fn a_person_has_20_sockets_and_a_house_50_and_their_neighbours_theirs() {
        let counts = SocketCounts::default();
        let take = |person: &str, house: &str, sockets: usize| -> Vec<CountedSocket> {
            let person = resident(person, house);
            (0..sockets).map_while(|_| counts.take(&person)).collect()
        };

        let mut kim = take("kim", "1502", 60);
        assert_eq!(kim.len(), 20);
        let mother = take("mother", "1502", 60);
        let father = take("father", "1502", 60);
        assert_eq!((mother.len(), father.len()), (20, 10));
        assert_eq!(take("lee", "1503", 60).len(), 20);

        kim.pop();
        assert_eq!(
            take("father", "1502", 60).len(),
            1,
            "what is closed makes room"
        );
    }

    #[test]
    fn an_operator_has_200_sockets() {
        let counts = SocketCounts::default();
        let mut operator = resident("desk", "0");
        operator.roles = [Role::Operator].into_iter().collect();
        (operator.line, operator.house) = (None, None);

        let held: Vec<_> = (0..300).map_while(|_| counts.take(&operator)).collect();

        assert_eq!(held.len(), 200);
    }
}
