//! What the settings of every component share: how a bad value is described, secrets, lists.

use std::{convert::Infallible, fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What stands in for a secret wherever one would be shown.
const REDACTED: &str = "…";

/// A value that a component does not accept. The composition root adds the section and where the value came from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: allowed is {allowed}")]
pub struct Invalid {
    /// The key inside the component's section.
    pub key: &'static str,
    /// What would be accepted, in words.
    pub allowed: String,
}

impl Invalid {
    /// Describes a bad `key`.
    pub fn new(key: &'static str, allowed: impl Into<String>) -> Self {
        Self { key, allowed: allowed.into() }
    }
}

/// Checks that the value of `key` is within `range`; `unit` says what it counts, where its name does not.
///
/// # Errors
/// It is not: the bounds are what is accepted.
pub fn within<T: PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
    unit: &str,
) -> Result<(), Invalid> {
    if range.contains(&value) {
        return Ok(());
    }
    let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
    Err(Invalid::new(key, format!("{} to {}{unit}", range.start(), range.end())))
}

/// A token or key. Shows as `…` in logs, errors and `config check`; only [`Secret::reveal`] gives the text.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Never log it; compare what a client sent in constant time.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// For `#[serde(deserialize_with = "runtime::config::list")]`: a sequence of strings or numbers, or one
/// comma-separated string, which is the only form an environment variable has, and whose empty items are dropped. So are
/// blanks around an item.
///
/// # Errors
/// An item that `T` does not parse, or another type of value.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let parse = |item: &str| item.trim().parse().map_err(D::Error::custom);
    match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => text.split(',').filter(|item| !item.trim().is_empty()).map(parse).collect(),
        OneOrMany::Many(items) => items.into_iter().map(|item| parse(&item.text())).collect(),
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "allowed is a list or one comma-separated string")]
enum OneOrMany {
    One(String),
    Many(Vec<Item>),
}

/// An item, whichever scalar the file holds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Text(String),
    Whole(i64),
    Real(f64),
}

impl Item {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => number.to_string(),
            Self::Real(number) => number.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{IntoDeserializer, value};

    use super::*;

    #[test]
    fn a_list_may_be_one_comma_separated_string() {
        let text: value::StrDeserializer<'_, value::Error> = "1, 2,,3 ".into_deserializer();
        assert_eq!(list::<_, u8>(text), Ok(vec![1, 2, 3]));
        let empty: value::StrDeserializer<'_, value::Error> = "".into_deserializer();
        assert_eq!(list::<_, u8>(empty), Ok(vec![]));
    }

    #[test]
    fn a_list_may_be_a_sequence_and_names_a_bad_item() {
        fn items<const N: usize>(
            texts: [&'static str; N],
        ) -> value::SeqDeserializer<std::array::IntoIter<&'static str, N>, value::Error> {
            value::SeqDeserializer::new(texts.into_iter())
        }
        assert_eq!(list::<_, u8>(items(["4", "5"])), Ok(vec![4, 5]));
        assert!(list::<_, u8>(items(["4", "car"])).is_err());
    }

    #[test]
    fn a_list_may_hold_numbers() {
        let numbers = value::SeqDeserializer::<_, value::Error>::new([4.5_f64, 6.0].into_iter());
        assert_eq!(list::<_, f64>(numbers), Ok(vec![4.5, 6.0]));
    }

    #[test]
    fn a_secret_never_shows_its_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "… … Some(…)");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
