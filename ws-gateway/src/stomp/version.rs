//! The versions of STOMP that are spoken here, and how one is agreed on.

/// A version of STOMP. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// No escapes, no heart-beats, no NACK; a subscription may have no id.
    V1_0,
    /// Escapes `\n \c \\`, heart-beats, NACK.
    V1_1,
    /// Escapes `\r \n \c \\`, an optional CR before each LF, `ack` headers.
    V1_2,
}

impl Version {
    /// Every version, the lowest first.
    pub const ALL: [Version; 3] = [Version::V1_0, Version::V1_1, Version::V1_2];

    /// All of them as the `version` header of an ERROR lists them.
    pub const LIST: &'static str = "1.0,1.1,1.2";

    /// As it stands in `accept-version` and `version`.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V1_0 => "1.0",
            Version::V1_1 => "1.1",
            Version::V1_2 => "1.2",
        }
    }

    /// The highest version that `accept-version` offers and we speak. No header means 1.0 (STOMP 1.2 CONNECT).
    /// Entries we do not know and spaces around entries are passed over.
    pub fn negotiate(accept_version: Option<&str>) -> Option<Version> {
        let Some(offered) = accept_version else {
            return Some(Version::V1_0);
        };
        let known = |name: &str| {
            Self::ALL
                .into_iter()
                .find(|version| version.as_str() == name.trim())
        };
        offered.split(',').filter_map(known).max()
    }
}
