//! What a setting is called, what it may be, and what it is when nobody says: the rows of the tables in
//! [`super::topic_config`] and [`super::broker_config`].

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigKey {
    /// Kafka's name for it.
    pub name: &'static str,
    /// Its value when nobody says.
    pub default: &'static str,
    /// What it may be.
    pub accepts: Accepts,
    /// One sentence.
    pub doc: &'static str,
}

/// What a setting may be. Numbers include both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accepts {
    /// `true` or `false`.
    Boolean,
    /// A 32-bit number.
    Int(i32, i32),
    /// A 64-bit number.
    Long(i64, i64),
    /// A fraction.
    Double(f64, f64),
    /// One word of these.
    OneOf(&'static [&'static str]),
    /// Words of these, with commas between.
    ListOf(&'static [&'static str]),
    /// Any words, with commas between.
    List,
    /// Any text.
    Text,
}

/// A setting's type as Kafka's DescribeConfigs names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// BOOLEAN.
    Boolean,
    /// STRING.
    String,
    /// INT.
    Int,
    /// LONG.
    Long,
    /// DOUBLE.
    Double,
    /// LIST.
    List,
}

impl ConfigKey {
    /// Its type.
    pub fn config_type(&self) -> ConfigType {
        match self.accepts {
            Accepts::Boolean => ConfigType::Boolean,
            Accepts::Int(..) => ConfigType::Int,
            Accepts::Long(..) => ConfigType::Long,
            Accepts::Double(..) => ConfigType::Double,
            Accepts::ListOf(_) | Accepts::List => ConfigType::List,
            Accepts::OneOf(_) | Accepts::Text => ConfigType::String,
        }
    }

    /// Whether it may be this. If not, what it may be.
    pub(super) fn check(&self, value: &str) -> Result<(), String> {
        self.accepts.check(value.trim())
    }
}

impl Accepts {
    fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::Boolean => one_of(&["true", "false"], &value.to_ascii_lowercase()),
            Self::Int(least, most) => in_range(value, least, most),
            Self::Long(least, most) => in_range(value, least, most),
            Self::Double(least, most) => in_range(value, least, most),
            Self::OneOf(words) => one_of(words, value),
            Self::ListOf(words) => list_items(value).try_for_each(|word| one_of(words, word)),
            Self::List | Self::Text => Ok(()),
        }
    }
}

/// The words of a list; none in an empty one.
pub(super) fn list_items(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

fn one_of(words: &[&str], value: &str) -> Result<(), String> {
    match words.contains(&value) {
        true => Ok(()),
        false => Err(format!("one of {}", words.join(", "))),
    }
}

fn in_range<N: PartialOrd + std::str::FromStr + std::fmt::Display>(
    value: &str,
    least: N,
    most: N,
) -> Result<(), String> {
    match value.parse::<N>() {
        Ok(number) if least <= number && number <= most => Ok(()),
        _ => Err(format!("a number from {least} to {most}")),
    }
}
