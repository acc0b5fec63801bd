//! Which offset of a partition ListOffsets is asked for, in place of a timestamp (KIP-79, KIP-405, KIP-734, KIP-1005,
//! KIP-1023).

use crate::ids::TimestampMs;

/// Which offset of a partition, by Kafka's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// Its end, of the records that the reader may see.
    Latest,
    /// Its log start offset.
    Earliest,
    /// That of the youngest record.
    MaxTimestamp,
    /// What only a second tier would have.
    Tiered,
    /// That of the first record of this time or later.
    At(TimestampMs),
}

impl OffsetSpec {
    /// Reads the request's timestamp. Some of the negative ones mean nothing before the version that brought them.
    pub fn of(wire: i64, version: i16) -> Option<Self> {
        match (wire, version) {
            (-1, _) => Some(Self::Latest),
            // All that is there is local.
            (-2, _) | (-4, 8..) => Some(Self::Earliest),
            (-3, 7..) => Some(Self::MaxTimestamp),
            (-5, 9..) | (-6, 11..) => Some(Self::Tiered),
            (0.., _) => Some(Self::At(TimestampMs(wire))),
            _ => None,
        }
    }

    /// The request's timestamp.
    pub fn to_wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::Tiered => -5,
            Self::At(at) => at.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Apache Kafka 4.1.1 answers; 11 is of 4.2.
    #[test]
    fn a_time_that_means_an_offset_is_known_from_the_version_that_brought_it() {
        for (wire, since, meant) in [
            (-1, 1, OffsetSpec::Latest),
            (-2, 1, OffsetSpec::Earliest),
            (-3, 7, OffsetSpec::MaxTimestamp),
            (-4, 8, OffsetSpec::Earliest),
            (-5, 9, OffsetSpec::Tiered),
            (-6, 11, OffsetSpec::Tiered),
        ] {
            assert_eq!(OffsetSpec::of(wire, since), Some(meant), "{wire}");
            if 1 < since {
                assert_eq!(OffsetSpec::of(wire, since - 1), None, "{wire}");
            }
        }
        assert_eq!(OffsetSpec::of(-7, 11), None);
        for asked in [
            OffsetSpec::Latest,
            OffsetSpec::Earliest,
            OffsetSpec::At(TimestampMs(7)),
        ] {
            assert_eq!(OffsetSpec::of(asked.to_wire(), 1), Some(asked));
        }
    }
}
